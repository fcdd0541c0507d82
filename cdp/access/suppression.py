"""Which groups of a table of counts may be shown, so that nobody is counted out.

Invariants, each named by a test in ``tests/unit/access/test_suppression.py``, the last one in
``test_suppression_by_place.py`` beside it:

1. No group of fewer than ``SMALLEST`` people is shown, and no total of fewer.
2. From the total, the groups that are shown, the names of those that are not, and this rule,
   the size of no hidden group follows exactly.
3. What is hidden follows from which groups are small, and hardly from how small they are.
4. Of groups by place, in which somebody may be counted twice, no sum and no difference of what
   is shown is the size of a hidden group, or of few people of any places and values. That holds
   also where a condition says that all are of one place.

A small group alone would be the total minus the others. So two groups that are large enough are
hidden with the small ones: the first in the order of their names, not the smallest, for choosing
by size would tell about sizes. Where even so the sizes are at the edge of what is possible, or
there are no two such groups, no group is shown, only the total.

After: L. Willenborg and T. de Waal, Elements of Statistical Disclosure Control (2001), on
primary and secondary suppression; with a rule that looks at names because an attacker knows it.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Final, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)

SMALLEST: Final = 10  # people
_BESIDE: Final = 2  # groups that are large enough, hidden with the small ones


def shown(
    counts: Mapping[Key, int], order: Sequence[Key], smallest: int = SMALLEST
) -> dict[Key, int]:
    """Return the groups that may be shown, where everybody is in one.

    Args:
        counts: of each group that has people at all, 1 or more.
        order: the same groups in an order that does not depend on the counts.
        smallest: the size from which a group may be shown.
    """
    small = {key for key in order if counts[key] < smallest}
    return _beside(counts, order, small, smallest)


def shown_by_place(
    counts: Mapping[tuple[str | None, Value], int],
    once: Mapping[Value, int],
    order: Sequence[tuple[str | None, Value]],
    smallest: int = SMALLEST,
) -> dict[tuple[str | None, Value], int]:
    """Return the groups that may be shown, where somebody may be of several places.

    Three times: the values without the places, of which everybody has one; then each place by
    itself, since all may be known to be of it; then whole places, since nobody may be of two.

    Args:
        counts: of each place and value that has people at all; of no place: None.
        once: of each value, each person once.
        order: the same groups, in an order that does not depend on the counts.
        smallest: the size from which a group may be shown.
    """
    if 0 < sum(counts.values()) - sum(once.values()) < smallest:  # so many places too many
        return {}
    values = shown(once, list(dict.fromkeys(value for _, value in order)), smallest)
    left: dict[tuple[str | None, Value], int] = {}
    places: dict[str | None, list[tuple[str | None, Value]]] = {}
    for key in order:
        places.setdefault(key[0], []).append(key)
    for mine in places.values():
        small = {key for key in mine if _tells(key, counts, once, smallest)}
        first = [key for key in mine if key[1] not in values]
        rest = [key for key in mine if key[1] in values]
        seen = _beside(counts, [*first, *rest], small, smallest)
        left |= {key: counts[key] for key in rest if key in seen}
    return _whole_places(left, order)


def total_shown(total: int, smallest: int = SMALLEST) -> int | None:
    """Return the total, or None where so few cannot be told from nobody."""
    return total if total >= smallest else None


def _beside(
    counts: Mapping[Key, int], order: Sequence[Key], small: Collection[Key], smallest: int
) -> dict[Key, int]:
    """Hide the small groups, and the first large ones with them."""
    if not small:
        return {key: counts[key] for key in order}
    large = [key for key in order if key not in small]
    hidden = [counts[key] for key in (*small, *large[:_BESIDE])]
    if len(large) < _BESIDE or not _open(hidden, smallest):
        return {}
    return {key: counts[key] for key in large[_BESIDE:]}


def _tells(
    key: tuple[str | None, Value],
    counts: Mapping[tuple[str | None, Value], int],
    once: Mapping[Value, int],
    smallest: int,
) -> bool:
    """Say whether few have this value and are of this place, or not of it, or of another one."""
    place, value = key
    others = once[value] - counts[key]
    elsewhere = others if place is None else others - counts.get((None, value), 0)
    return counts[key] < smallest or 0 < others < smallest or 0 < elsewhere < smallest


def _whole_places(
    left: Mapping[tuple[str | None, Value], int], order: Sequence[tuple[str | None, Value]]
) -> dict[tuple[str | None, Value], int]:
    """Where nothing of a place is shown, show nothing of two others: it would be what is left."""
    places = dict.fromkeys(place for place, _ in order)
    seen = list(dict.fromkeys(key[0] for key in order if key in left))
    kept = set(seen if len(seen) == len(places) else seen[_BESIDE:])
    return {key: left[key] for key in order if key in left and key[0] in kept}


def _open(hidden: Sequence[int], smallest: int) -> bool:
    """Say whether of each hidden group another size is possible, small ones staying small."""
    up = [count + 1 != smallest for count in hidden]
    down = [count not in {1, smallest} for count in hidden]
    return all(
        (up[one] and any(_without(down, one))) or (down[one] and any(_without(up, one)))
        for one in range(len(hidden))
    )


def _without(flags: Sequence[bool], place: int) -> list[bool]:
    return [*flags[:place], *flags[place + 1 :]]
