"""One record's features as plain integers, for so few records that numpy would cost more.

Every function here does what one of its name does for columns; whoever repairs people takes
whichever is cheaper for how many there are.

Invariant, held by property tests in ``tests/unit/identity/test_plain.py``:
    1. The answers are those of ``identity.sharing`` and ``identity.blocking``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from identity import identifiers, sharing
from identity.blocking import RULES
from identity.namesakes import NAME_PARTS
from identity.sharing import LIMIT, users

MOST = 40  # records; measured: with so many numpy costs about as much

# By name: a single feature's key (0 for missing) or the keys of a list feature.
Plain = Mapping[str, Any]


def numbers(record: Plain) -> list[int]:
    """The numbers of a record, see ``identity.sharing``."""
    mail = record["email"]
    return [*record["phones"], *((mail,) if mail else ()), *record["counted"]]


def count_use(records: Iterable[Plain]) -> dict[int, int]:
    """How many people use each number of these records; left out where it is one.

    Args:
        records: at most ``sharing.MOST_HOLDERS`` of them, by ascending id: all holders of a number
            for its count to be right.
    """
    phones: dict[int, list[Plain]] = {}
    limited: dict[int, tuple[int, list[Plain]]] = {}
    mailboxes = identifiers.most_people("email")
    for record in records:
        for phone in record["phones"]:
            phones.setdefault(phone, []).append(record)
        if record["email"]:
            limited.setdefault(record["email"], (mailboxes, []))[1].append(record)
        for card in record["counted"]:
            limited.setdefault(card, (card & LIMIT, []))[1].append(record)
    found = {phone: _people_on(held) for phone, held in phones.items() if _busy(held)}
    found = {phone: people for phone, people in found.items() if people != 1}
    for number, (limit, held) in limited.items():
        if len(held) > limit and _busy(held) and abs(_people_on(held)) > limit:
            found[number] = sharing.MOST_HOLDERS + 1
    return found


def _busy(held: list[Plain]) -> bool:
    """Whether a number may have several people: two names, two parts of one, or three unionids."""
    if len(held) < 2:
        return False
    return (
        any(len({one[name] for one in held} - {0}) > 1 for name in ("name", "surname", "given_end"))
        or sum(one["unionid"] != 0 for one in held) > 2
    )


def _people_on(held: list[Plain]) -> int:
    names = [
        (*(one[part] or None for part in NAME_PARTS[:-1]), list(one[NAME_PARTS[-1]]))
        for one in held
    ]
    return users(names, [one["unionid"] for one in held])


def judged(record: Plain, people: Callable[[int], int], most_people: int) -> dict[str, Any]:
    """Sort a record's numbers by how many people use them.

    Args:
        record: as it was delivered.
        people: how many people use a number.
        most_people: see invariant 1 of ``identity.sharing``.
    """
    told = [(phone, people(phone)) for phone in record["phones"]]
    known = [(phone, count) for phone, count in told if abs(count) <= most_people]
    birth, swapped, mail = record["birth"], record["birth_swapped"], record["email"]
    return {
        **record,
        "counted_own": tuple(
            one for one in record["counted"] if people(one) <= sharing.MOST_HOLDERS
        ),
        "phones_own": tuple(phone for phone, count in told if count == 1),
        "phones_shared": tuple(phone for phone, count in told if 1 < abs(count) <= most_people),
        "phones_apart": tuple(phone for phone, count in known if count < 0),
        "phones_near": record["phones_near"] if len(known) == len(told) else (),
        "birth_least": min(birth, swapped) if swapped else birth,
        "email_own": mail if mail and people(mail) <= sharing.MOST_HOLDERS else 0,
    }


def keys_of(record: Plain) -> list[tuple[int, int]]:
    """The blocking keys of a record as ``judged`` gives it: (number of the rule, key)."""
    found = []
    for number, rule in enumerate(RULES):
        common = 0
        for name in rule.together:
            if not record[name]:
                break
            common ^= record[name]
        else:
            if rule.each is None:
                found.append((number, common))
            else:
                found += [(number, common ^ key) for key in record[rule.each]]
    return found
