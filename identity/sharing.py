"""How many people use a phone number.

A number with one name on it is strong evidence. A family's number is weaker, and a
clerk's own number, typed in for every member who would not give one, is none at all.
Whether two names can be one person's is judged the same way as in the comparison of
names: equal, sounding alike, one slip apart, or a masked form of the other.

Invariants:
    1. A number used by more than ``most_people`` people, or on more than ``MOST_HOLDERS``
       records, is no evidence and no block.
    2. The count depends on the records that hold the number and on nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from identity.columns import Bools, Columns, Ints, Lists, ordered

MOST_HOLDERS = 200  # records; a number on more of them names nobody, whoever they are
NAME_PARTS = ("name", "sound", "surname", "given", "name_near")


@dataclass(frozen=True, slots=True)
class PhoneUse:
    """The numbers that more than one person uses.

    Attributes:
        phones: keyed numbers, ascending. Shape (numbers,).
        people: how many people use each, at least 2. Shape (numbers,).
    """

    phones: Ints
    people: Ints

    def of(self, phones: Ints) -> Ints:
        """How many people use each of ``phones``; 1 where nothing speaks for more."""
        places = np.searchsorted(self.phones, phones)
        inside = np.flatnonzero(places < len(self.phones))
        known = inside[self.phones[places[inside]] == phones[inside]]
        people = np.ones(len(phones), np.int64)
        people[known] = self.people[places[known]]
        return people


def count_use(features: Columns) -> PhoneUse:
    """Count the people behind every number of these records.

    The records must hold all holders of a number for its count to be right.
    """
    phones = features.lists["phones"]
    keys, rows, starts, sizes = _holders(phones)
    busy = _busy(features, rows, starts, sizes)
    full = sizes > MOST_HOLDERS
    several = dict(zip(keys[starts[full]].tolist(), sizes[full].tolist(), strict=True))
    wanted = busy & ~full
    told = np.repeat(wanted, sizes)
    names = _names(features, rows[told])
    unionids = features.singles["unionid"][rows[told]].tolist()
    first = 0
    for phone, size in zip(keys[starts[wanted]].tolist(), sizes[wanted].tolist(), strict=True):
        last = first + size
        people = _users(names[first:last], unionids[first:last])
        if people > 1:
            several[phone] = people
        first = last
    return PhoneUse(
        np.array(sorted(several), np.int64),
        np.array([several[phone] for phone in sorted(several)], np.int64),
    )


def _holders(phones: Lists) -> tuple[Ints, Ints, Ints, Ints]:
    """Numbers ascending with the records that hold them; where each begins, and how many."""
    rows = phones.rows()
    order = ordered(phones.keys)  # the records of a number stay ascending
    keys, rows = phones.keys[order], rows[order]
    starts = np.flatnonzero(np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1])))
    return keys, rows, starts, np.diff(starts, append=len(keys))


def _names(features: Columns, rows: Ints) -> list[tuple[Any, ...]]:
    """The names of records as ``count_people`` takes them."""
    singles = [features.singles[part][rows].tolist() for part in NAME_PARTS[:-1]]
    near = features.lists["name_near"].take(rows)
    keys, starts = near.keys.tolist(), near.starts.tolist()
    slips = [keys[a:b] for a, b in pairwise(starts)]
    return [
        (name or None, sound or None, surname or None, given or None, slip)
        for name, sound, surname, given, slip in zip(*singles, slips, strict=True)
    ]


def _busy(features: Columns, rows: Ints, starts: Ints, sizes: Ints) -> Bools:
    """Which numbers may have several people: those that show two names or three unionids."""
    busy = sizes > MOST_HOLDERS
    if not len(starts):
        return busy
    for feature in ("name", "surname"):
        keys = features.singles[feature][rows]
        least = np.minimum.reduceat(np.where(keys == 0, np.iinfo(np.int64).max, keys), starts)
        busy |= np.maximum.reduceat(keys, starts) > least
    told = (features.singles["unionid"][rows] != 0).astype(np.int64)
    return busy | (np.add.reduceat(told, starts) > 2)


def _users(names: list[tuple[Any, ...]], unionids: list[int]) -> int:
    """Count the people behind the records that hold one number."""
    if len({one[0] for one in names} - {None}) < 2 and len({one[2] for one in names} - {None}) < 2:
        names = []  # one name, or none: whatever is behind it, nothing speaks for two people
    # One spare unionid: a second WeChat account is common and no second person.
    return max(count_people(names), len(set(unionids) - {0}) - 1)


def judged(features: Columns, use: PhoneUse, most_people: int) -> Columns:
    """Sort every record's numbers by how many people use them.

    Returns:
        ``features`` with ``phones_own`` and ``phones_shared`` in place of ``phones``;
        ``phones_near`` is empty where a number names nobody. ``birth_least`` is the
        smaller of the birth date and its exchanged form.
    """
    phones = features.lists["phones"]
    people = use.of(phones.keys)
    crowded = np.unique(phones.rows()[people > most_people])
    near = features.lists["phones_near"]
    lists = {name: keys for name, keys in features.lists.items() if name != "phones"}
    lists["phones_own"] = phones.kept(people == 1)
    lists["phones_shared"] = phones.kept((people > 1) & (people <= most_people))
    lists["phones_near"] = near.kept(_outside(near.rows(), crowded, len(features)))
    birth, swapped = features.singles["birth"], features.singles["birth_swapped"]
    least = np.where(swapped == 0, birth, np.minimum(birth, swapped))
    return Columns(features.ids, {**features.singles, "birth_least": least}, lists)


def _outside(rows: Ints, chosen: Ints, records: int) -> Bools:
    """Whether each of ``rows`` is none of ``chosen``."""
    kept = np.ones(records, np.bool_)
    kept[chosen] = False
    return kept[rows]


def wrong_shares(person: Columns, most_people: int) -> tuple[float, float]:
    """Measure how often a number leads to somebody else, by hiding one name at a time.

    On every number with at least two named records, each record in turn is taken as if it
    had no name. If the other names are one person's, the number looks like one person's:
    was the hidden record that person? If the others are several people's: was it the one
    that a given other record belongs to? Numbers that name nobody are left out.

    Args:
        person: features as ``judged`` gives them.
        most_people: see invariant 1.

    Returns:
        The share of wrong answers for numbers of one person, and of several, each with
        one wrong and one right answer added.
    """
    own, shared = [1, 2], [1, 2]
    for numbers in ("phones_own", "phones_shared"):
        held = person.lists[numbers]
        named = held.kept(person.singles["name"][held.rows()] != 0)
        _, rows, starts, sizes = _holders(named)
        names = person.singles["name"][rows]
        differ = _spread(names, starts)
        # Where all have one name, whoever is hidden, the others answer right.
        own[1] += int(sizes[~differ & (sizes > 1)].sum())
        told = _names(person, rows[np.repeat(differ, sizes)])
        first = 0
        for size in sizes[differ].tolist():
            _hide(told[first : first + size], most_people, own, shared)
            first += size
    return own[0] / own[1], shared[0] / shared[1]


def _spread(keys: Ints, starts: Ints) -> Bools:
    """Whether the keys of each block, which begin at ``starts``, are not all equal."""
    if not len(starts):
        return np.zeros(0, np.bool_)
    spread: Bools = np.minimum.reduceat(keys, starts) != np.maximum.reduceat(keys, starts)
    return spread


def _hide(
    names: list[tuple[Any, ...]], most_people: int, own: list[int], shared: list[int]
) -> None:
    """Hide each of the names on one number in turn; count wrong answers and all answers."""
    if count_people(names) > most_people:
        return
    for place, hidden in enumerate(names):
        others = names[:place] + names[place + 1 :]
        if count_people(others) == 1:
            own[0] += not any(compatible(hidden, other) for other in others)
            own[1] += 1
        else:
            shared[0] += sum(not compatible(hidden, other) for other in others)
            shared[1] += len(others)


def count_people(names: Iterable[tuple[Any, ...]]) -> int:
    """Count the people behind the names on one number; at least 1.

    Args:
        names: one tuple of (name, sound, surname, given, name_near) per record, None
            where the record has none.
    """
    whole: list[list[tuple[Any, ...]]] = []
    masked: list[tuple[Any, ...]] = []
    for candidate in names:
        if candidate[0] is None:
            masked.append(candidate)
            continue
        same = [group for group in whole if any(compatible(candidate, other) for other in group)]
        joined = [candidate, *(member for group in same for member in group)]
        whole = [group for group in whole if not any(group is found for found in same)] + [joined]
    # A masked name may be anybody of its surname: it is one person more only where nobody
    # has that surname, and it never makes two people one.
    surnames = {member[2] for group in whole for member in group}
    unknown = {candidate[2] for candidate in masked} - surnames - {None}
    return max(1, len(whole) + len(unknown))


def compatible(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Tell whether two names can be one person's."""
    name, sound, surname, given, near = one
    other_name, other_sound, other_surname, other_given, other_near = other
    if name is None or other_name is None:
        return surname is not None and surname == other_surname
    return (
        name == other_name
        or (sound is not None and sound == other_sound)
        or not set(near or ()).isdisjoint(other_near or ())
        or (given is not None and given == other_surname and surname == other_given)
    )
