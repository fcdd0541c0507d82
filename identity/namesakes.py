"""How many people are behind the names on one number.

Whether two names can be one person's is judged the same way as in the comparison of names:
equal, sounding alike, one slip apart, or a masked form of the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NAME_PARTS = ("name", "sound", "surname", "given", "given_end", "given_length", "name_near")


@dataclass(frozen=True, slots=True)
class People:
    """Who is behind the names on one number.

    Attributes:
        count: how many people they are; at least 1.
        apart: whether they are several, and no two of them have a surname in common.
    """

    count: int
    apart: bool


def count_people(names: Iterable[tuple[Any, ...]]) -> int:
    """Count the people behind the names on one number; at least 1.

    Args:
        names: one tuple of ``NAME_PARTS`` per record, None where the record has none.
    """
    return people_behind(names).count


def people_behind(names: Iterable[tuple[Any, ...]]) -> People:
    """Sort the names on one number by person."""
    whole: list[list[tuple[Any, ...]]] = []
    masked: list[tuple[Any, ...]] = []
    for candidate in names:
        if candidate[0] is None:
            masked.append(candidate)
            continue
        same = [group for group in whole if any(compatible(candidate, other) for other in group)]
        joined = [candidate, *(member for group in same for member in group)]
        whole = [group for group in whole if not any(group is found for found in same)] + [joined]
    # A masked name may be anybody that it fits: it is one person more only where it fits
    # nobody, and it never makes two people one.
    members = [member for group in whole for member in group]
    unknown = [one for one in masked if not any(compatible(one, member) for member in members)]
    surnames = {one[2] for one in unknown} - {None}
    ends = any(one[2] is None and one[4] is not None for one in unknown)
    # What only ends a given name may be whoever is behind a surname that stands alone.
    count = len(whole) + max(len(surnames), ends)
    if count < 2 or ends:
        return People(max(1, count), apart=False)
    held = [surname for group in whole for surname in {one[2] for one in group} - {None}]
    held += surnames
    return People(count, apart=len(held) == len(set(held)))


def compatible(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Tell whether two names can be one person's."""
    name, sound, surname, given, end, length, near = one
    other_name, other_sound, other_surname, other_given, other_end, other_length, other_near = other
    if name is None or other_name is None:
        shown = [
            mine == theirs
            for mine, theirs in ((surname, other_surname), (end, other_end))
            if mine is not None and theirs is not None
        ]
        return bool(shown) and all(shown)
    return (
        name == other_name
        or (sound is not None and sound == other_sound)
        # Of one length, it is a brother's or a sister's: see the comparison of names.
        or (
            (length is None or length != other_length)
            and not set(near or ()).isdisjoint(other_near or ())
        )
        or (given is not None and given == other_surname and surname == other_given)
    )
