"""Which groups of a table of counts may be shown, so that nobody is counted out.

Invariants, each named by a test in ``tests/unit/access/test_suppression.py``:

1. No group of fewer than ``SMALLEST`` people is shown, and no total of fewer.
2. From the total, the groups that are shown, the names of those that are not, and this rule,
   the size of no hidden group follows exactly.
3. What is hidden follows from which groups are small, and hardly from how small they are.

A small group alone would be the total minus the others. So two groups that are large enough are
hidden with the small ones: the first in the order of their names, not the smallest, for choosing
by size would tell about sizes. Where even so the sizes are at the edge of what is possible, or
there are no two such groups, no group is shown, only the total.

After: L. Willenborg and T. de Waal, Elements of Statistical Disclosure Control (2001), on
primary and secondary suppression; with a rule that looks at names because an attacker knows it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

Key = TypeVar("Key")

SMALLEST: Final = 10  # people
_BESIDE: Final = 2  # groups that are large enough, hidden with the small ones


def shown(
    counts: Mapping[Key, int], order: Sequence[Key], smallest: int = SMALLEST
) -> dict[Key, int]:
    """Return the groups that may be shown.

    Args:
        counts: of each group that has people at all, 1 or more.
        order: the same groups in an order that does not depend on the counts.
        smallest: the size from which a group may be shown.
    """
    small = [key for key in order if counts[key] < smallest]
    large = [key for key in order if counts[key] >= smallest]
    if not small:
        return {key: counts[key] for key in order}
    hidden = [counts[key] for key in (*small, *large[:_BESIDE])]
    if len(large) < _BESIDE or not _open(hidden, smallest):
        return {}
    return {key: counts[key] for key in order if key in large[_BESIDE:]}


def total_shown(total: int, smallest: int = SMALLEST) -> int | None:
    """Return the total, or None where so few cannot be told from nobody."""
    return total if total >= smallest else None


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
