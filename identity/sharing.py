"""How many people use a phone number, a mail address, a membership card.

A number with one name on it is strong evidence. A family's number is weaker, and a
clerk's own number, typed in for every member who would not give one, is none at all.
``identity.namesakes`` says whether two names can be one person's.

What is counted is called a number here: phones, mail addresses, and the accounts for which
the catalogue says ``most_people``. Of a phone it matters whether one person uses it or
several. Any other number either names somebody or, above its own limit, nobody. The limit
of an account stands in its key, see ``counted_key``: the types that a workspace adds are
known where values are read, and not here.

Invariants:
    1. A number used by more people than its limit, or on more than ``MOST_HOLDERS``
       records, is no evidence and no block.
    2. The count depends on the records that hold the number and on nothing else.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from identity import identifiers
from identity.columns import Bools, Columns, Ints, ordered
from identity.namesakes import NAME_PARTS, compatible, count_people, people_behind

MOST_HOLDERS = 200  # records; a number on more of them names nobody, whoever they are
LIMIT = 0xFF  # of a counted key: these bits are its limit, which is below MOST_HOLDERS


@dataclass(frozen=True, slots=True)
class PhoneUse:
    """The phones that more than one person uses, and the other numbers that name nobody.

    Attributes:
        phones: keyed numbers, ascending. Shape (numbers,).
        people: how many people use each, at least 2; negative where no two of them have a
            surname in common, so that a surname says which of them is meant. More than
            ``MOST_HOLDERS`` where it names nobody. Shape (numbers,).
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


def counted_key(key: int, most_people: int) -> int:
    """The key of an account that at most so many people hold: its last bits say how many.

    Args:
        key: of 63 bits.
        most_people: from 1 to ``MOST_HOLDERS`` - 1.
    """
    return key & ~LIMIT | most_people


def numbers(features: Columns) -> tuple[Ints, Ints]:
    """The numbers of these records: places of records, and the keyed number of each."""
    phones, counted = features.lists["phones"], features.lists["counted"]
    email = features.singles["email"]
    mailed = np.flatnonzero(email)
    return (
        np.concatenate((phones.rows(), mailed, counted.rows())),
        np.concatenate((phones.keys, email[mailed], counted.keys)),
    )


def count_use(features: Columns) -> PhoneUse:
    """Count the people behind every number of these records.

    The records must hold all holders of a number for its count to be right.
    """
    phones, counted = features.lists["phones"], features.lists["counted"]
    email = features.singles["email"]
    mailed = np.flatnonzero(email)
    several = _phones_of_several(features, _holders(phones.rows(), phones.keys))
    mail = _holders(mailed, email[mailed])
    limit = identifiers.most_people("email")
    several |= _of_nobody(features, mail, np.full(len(mail.starts), limit))
    cards = _holders(counted.rows(), counted.keys)
    several |= _of_nobody(features, cards, cards.keys[cards.starts] & LIMIT)
    found = sorted(several)
    return PhoneUse(
        np.array(found, np.int64), np.array([several[number] for number in found], np.int64)
    )


@dataclass(frozen=True, slots=True)
class _Holders:
    """Numbers ascending with the places of the records that hold them.

    Attributes:
        keys, rows: shape (numbers held,).
        starts, sizes: where each number begins, and how many records hold it.
    """

    keys: Ints
    rows: Ints
    starts: Ints
    sizes: Ints


def _phones_of_several(features: Columns, held: _Holders) -> dict[int, int]:
    """The people on every phone that more than one person uses."""
    full = held.sizes > MOST_HOLDERS
    wanted = _busy(features, held) & ~full
    found = dict.fromkeys(held.keys[held.starts[full]].tolist(), MOST_HOLDERS + 1)
    phones = held.keys[held.starts[wanted]].tolist()
    people = _people_on(features, held, wanted)
    return found | {phone: told for phone, told in zip(phones, people, strict=True) if told != 1}


def _of_nobody(features: Columns, held: _Holders, limits: Ints) -> dict[int, int]:
    """The numbers with more people than their limit; they are all alike."""
    full = held.sizes > MOST_HOLDERS
    # No more records than the limit are no more people than it.
    wanted = (held.sizes > limits) & ~full
    wanted &= _busy(features, held)
    crowded = full.copy()
    crowded[wanted] = np.abs(_people_on(features, held, wanted)) > limits[wanted]
    return dict.fromkeys(held.keys[held.starts[crowded]].tolist(), MOST_HOLDERS + 1)


def _people_on(features: Columns, held: _Holders, wanted: Bools) -> Ints:
    """Count the people on each of the wanted numbers. Shape (wanted numbers,)."""
    rows = held.rows[np.repeat(wanted, held.sizes)]
    names, unionids = _names(features, rows), features.singles["unionid"][rows].tolist()
    ends = np.cumsum(held.sizes[wanted]).tolist()
    people = [users(names[a:b], unionids[a:b]) for a, b in pairwise([0, *ends])]
    return np.array(people, np.int64)


def _holders(rows: Ints, keys: Ints) -> _Holders:
    """Sort records by the numbers they hold."""
    order = ordered(keys)  # the records of a number stay ascending
    keys, rows = keys[order], rows[order]
    starts = np.flatnonzero(np.concatenate((keys[:1] == keys[:1], keys[1:] != keys[:-1])))
    return _Holders(keys, rows, starts, np.diff(starts, append=len(keys)))


def _names(features: Columns, rows: Ints) -> list[tuple[Any, ...]]:
    """The names of records as ``count_people`` takes them."""
    singles = [features.singles[part][rows].tolist() for part in NAME_PARTS[:-1]]
    near = features.lists["name_near"].take(rows)
    keys, starts = near.keys.tolist(), near.starts.tolist()
    slips = [keys[a:b] for a, b in pairwise(starts)]
    return [
        (*(part or None for part in parts), slip)
        for *parts, slip in zip(*singles, slips, strict=True)
    ]


def _busy(features: Columns, held: _Holders) -> Bools:
    """Which numbers may have several people: two names, two parts of one, or three unionids."""
    rows, starts = held.rows, held.starts
    busy = np.zeros(len(starts), np.bool_)
    if not len(starts):
        return busy
    for feature in ("name", "surname", "given_end"):
        keys = features.singles[feature][rows]
        least = np.minimum.reduceat(np.where(keys == 0, np.iinfo(np.int64).max, keys), starts)
        busy |= np.maximum.reduceat(keys, starts) > least
    told = (features.singles["unionid"][rows] != 0).astype(np.int64)
    return busy | (np.add.reduceat(told, starts) > 2)


def users(names: list[tuple[Any, ...]], unionids: list[int]) -> int:
    """Count the people behind the records that hold one number, as in ``PhoneUse.people``."""
    if all(len({one[part] for one in names} - {None}) < 2 for part in (0, 2, 4)):
        names = []  # one name, or none: whatever is behind it, nothing speaks for two people
    behind = people_behind(names)
    people = behind.count
    # One spare unionid: a second WeChat account is common and no second person.
    accounts = len(set(unionids) - {0}) - 1
    if accounts > people:
        return accounts
    return -people if behind.apart else people


def kind(people: int, most_people: int) -> int:
    """What counts about a number: 0 for one person's, 3 for nobody's, else several people's.

    Args:
        people: as in ``PhoneUse.people``.
        most_people: see invariant 1.
    """
    if abs(people) > most_people:
        return 3
    return 0 if people == 1 else 1 if people > 0 else 2


def judged(features: Columns, use: PhoneUse, most_people: int) -> Columns:
    """Sort every record's numbers by how many people use them.

    Returns:
        ``features`` with ``phones_own`` and ``phones_shared`` in place of ``phones``;
        ``phones_apart`` are those of the latter whose people have each a surname of their
        own. ``phones_near`` is empty where a number names nobody. ``email_own`` and
        ``counted_own`` are the mail addresses and counted accounts that name somebody.
        ``birth_least`` is the smaller of the birth date and its exchanged form.
    """
    phones = features.lists["phones"]
    told = use.of(phones.keys)
    people = np.abs(told)
    crowded = np.unique(phones.rows()[people > most_people])
    near = features.lists["phones_near"]
    counted = features.lists["counted"]
    raw = {"phones", "counted"}
    lists = {name: keys for name, keys in features.lists.items() if name not in raw}
    lists["counted_own"] = counted.kept(use.of(counted.keys) <= MOST_HOLDERS)
    lists["phones_own"] = phones.kept(people == 1)
    lists["phones_shared"] = phones.kept((people > 1) & (people <= most_people))
    lists["phones_apart"] = phones.kept((told < 0) & (people <= most_people))
    lists["phones_near"] = near.kept(_outside(near.rows(), crowded, len(features)))
    birth, swapped = features.singles["birth"], features.singles["birth_swapped"]
    least = np.where(swapped == 0, birth, np.minimum(birth, swapped))
    email = features.singles["email"]
    own = np.where(use.of(email) <= MOST_HOLDERS, email, 0)
    singles = {**features.singles, "birth_least": least, "email_own": own}
    return Columns(features.ids, singles, lists)


def _outside(rows: Ints, chosen: Ints, records: int) -> Bools:
    """Whether each of ``rows`` is none of ``chosen``."""
    kept = np.ones(records, np.bool_)
    kept[chosen] = False
    return kept[rows]


@dataclass(slots=True)
class _Tally:
    """Answers counted, with one wrong and one right one added."""

    wrong: int = 1
    all: int = 2

    def add(self, wrong: int, answers: int) -> None:
        """Count more answers."""
        self.wrong += wrong
        self.all += answers

    @property
    def share(self) -> float:
        """The share of wrong answers."""
        return self.wrong / self.all


@dataclass(frozen=True, slots=True)
class WrongShares:
    """How often a number leads to somebody else, see ``wrong_shares``.

    Attributes:
        own: on a number of one person.
        apart: on one of several people, where the surname says which of them.
        shared: on one of several people.
    """

    own: float
    apart: float
    shared: float


def wrong_shares(person: Columns, most_people: int) -> WrongShares:
    """Measure how often a number leads to somebody else, by hiding one name at a time.

    On every number with at least two named records, each record in turn is taken as if it
    had no name. If the other names are one person's, the number looks like one person's:
    was the hidden record that person? If the others are several people's: was it the one
    that a given other record belongs to? If they have each a surname of their own, the
    given name alone is hidden: was it the one with that surname? Numbers that name nobody
    are left out.

    Args:
        person: features as ``judged`` gives them.
        most_people: see invariant 1.
    """
    own, apart, shared = _Tally(), _Tally(), _Tally()
    for numbers in ("phones_own", "phones_shared"):
        held = person.lists[numbers]
        named = held.kept(person.singles["name"][held.rows()] != 0)
        of = _holders(named.rows(), named.keys)
        rows, sizes = of.rows, of.sizes
        names = person.singles["name"][rows]
        differ = _spread(names, of.starts)
        # Where all have one name, whoever is hidden, the others answer right.
        own.add(0, int(sizes[~differ & (sizes > 1)].sum()))
        told = _names(person, rows[np.repeat(differ, sizes)])
        first = 0
        for size in sizes[differ].tolist():
            _hide(told[first : first + size], most_people, (own, apart, shared))
            first += size
    return WrongShares(own.share, apart.share, shared.share)


def _spread(keys: Ints, starts: Ints) -> Bools:
    """Whether the keys of each block, which begin at ``starts``, are not all equal."""
    if not len(starts):
        return np.zeros(0, np.bool_)
    spread: Bools = np.minimum.reduceat(keys, starts) != np.maximum.reduceat(keys, starts)
    return spread


def _hide(
    names: list[tuple[Any, ...]], most_people: int, tallies: tuple[_Tally, _Tally, _Tally]
) -> None:
    """Hide each of the names on one number in turn; count wrong answers and all answers."""
    own, apart, shared = tallies
    if len(names) == 2 and most_people > 1:  # most are: whoever is hidden, one name is left
        own.add(0 if compatible(*names) else 2, 2)
        return
    if count_people(names) > most_people:
        return
    for place, hidden in enumerate(names):
        others = names[:place] + names[place + 1 :]
        wrong = [not compatible(hidden, other) for other in others]
        behind = people_behind(others)
        if behind.count == 1:
            own.add(all(wrong), 1)
            continue
        shared.add(sum(wrong), len(wrong))
        if behind.apart:
            named = [
                told for told, other in zip(wrong, others, strict=True) if other[2] == hidden[2]
            ]
            apart.add(sum(named), len(named))
