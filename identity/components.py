"""Which records have to do with one another, and so are decided together.

Everything here counts in places 0 to size - 1, in the order of record ids, and names a
component for its smallest place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from identity.pairs import Bools, Floats, Ints

LARGEST = 200  # records of which every pair is looked at: their number grows with the square
RAISE = 2.0  # bits by which the floor is raised for a component that is too large


@dataclass(frozen=True, slots=True)
class Parts:
    """Components, the too large ones cut where they are weakest.

    Attributes:
        home: the smallest place of each record's part. Shape (size,).
        crowded: whether a record's part is larger than ``LARGEST`` all the same. Shape (size,).
        crowds: the smallest places of the components that were larger than ``LARGEST``.
    """

    home: Ints
    crowded: Bools
    crowds: Ints


def connected(size: int, low: Ints, high: Ints) -> Ints:
    """The smallest place that each place is connected to. Shape (size,).

    Every root takes the smallest root it touches as its parent, then all paths are made
    short, until no link is left between two roots. This needs O(log² size) rounds: Liu and
    Tarjan, Simple Concurrent Labeling Algorithms for Connected Components, algorithm S.
    """
    root = np.arange(size)
    while True:
        low, high = root[low], root[high]
        apart = low != high
        if not apart.any():
            return root
        low, high = low[apart], high[apart]
        np.minimum.at(root, np.maximum(low, high), np.minimum(low, high))
        while not np.array_equal(root, shorter := root[root]):
            root = shorter


def parts(
    links: tuple[Ints, Ints],
    weight: Floats,
    must: tuple[Ints, Ints],
    size: int,
    bits: tuple[float, float],
) -> Parts:
    """Components over the links of enough bits and all must links.

    In a component above ``LARGEST`` the floor is raised step by step to the ceiling, and
    no further: what is enough for one person by itself is never cut.

    Args:
        links: low and high places of scored pairs. Shape (pairs,) each.
        weight: their bits. Shape (pairs,).
        must: low and high places that stay together whatever the floor.
        size: how many records there are.
        bits: the floor, and the ceiling up to which it may be raised.
    """
    floor, ceiling = bits
    rows = np.flatnonzero(weight >= floor)
    home = _over(size, links, rows, must)
    crowded = (np.bincount(home, minlength=size) > LARGEST)[home]
    crowds = np.unique(home[crowded])
    while floor < ceiling and crowded.any():
        floor = min(floor + RAISE, ceiling)
        rows = rows[crowded[links[0][rows]] & (weight[rows] >= floor)]
        kept = crowded[must[0]]
        must = must[0][kept], must[1][kept]
        home = np.where(crowded, _over(size, links, rows, must), home)
        crowded &= (np.bincount(home, minlength=size) > LARGEST)[home]
    return Parts(home, crowded, crowds)


def _over(size: int, links: tuple[Ints, Ints], rows: Ints, must: tuple[Ints, Ints]) -> Ints:
    low = np.concatenate((links[0][rows], must[0]))
    return connected(size, low, np.concatenate((links[1][rows], must[1])))


def by_size(members: Ints, home: Ints) -> Iterator[Ints]:
    """The members (ascending) of each home, homes of one size at a time.

    Yields:
        One row a home, ascending in both directions. Shape (homes, size of each).
    """
    order = np.argsort(home, kind="stable")
    ordered, homes = members[order], home[order]
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    sizes = np.diff(starts, append=len(homes))
    for size in np.flatnonzero(np.bincount(sizes)).tolist():
        yield ordered[starts[sizes == size][:, None] + np.arange(size)]


def all_pairs(sizes: Ints) -> Ints:
    """How many pairs there are among so many records."""
    pairs: Ints = sizes * (sizes - 1) // 2
    return pairs


def missing_pairs(found: Parts, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """The pairs inside parts that were never scored, so that each part can be judged whole.

    Parts above ``LARGEST`` are left out: there are too many such pairs to look at.

    Args:
        found: the parts.
        low: places of the scored pairs that lie inside a part. Shape (pairs,).
        high: the places of their other records.
    """
    size = len(found.home)
    sizes = np.bincount(found.home, minlength=size)
    known = np.bincount(found.home[low], minlength=size)
    lacking = (known < all_pairs(sizes)) & ~found.crowded
    members = np.flatnonzero(lacking[found.home])
    if not len(members):
        return members, members
    wanted = []
    for rows in by_size(members, found.home[members]):
        one, other = np.triu_indices(rows.shape[1], 1)
        wanted.append((rows[:, one] * size + rows[:, other]).ravel())
    here = lacking[found.home[low]]
    asked, told = np.concatenate(wanted), low[here] * size + high[here]
    absent = np.sort(asked[~np.isin(asked, told, assume_unique=True)])
    return absent // size, absent % size
