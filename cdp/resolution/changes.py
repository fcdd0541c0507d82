"""What a new partition changes: the one place that says so. Pure.

Invariants:
    1. Applying the changes to what was gives what is now, record by record.
    2. A partition that is as it was gives no change at all.
    3. A person is known by the anchor, their oldest record. Of two people who become one,
       the older anchor stays; a side that splits off is known by its own oldest record.
    4. Exchanging before and after turns every merge into the split that undoes it.
"""

from dataclasses import dataclass

import numpy as np

from identity.pairs import Ints

NONE = -1  # the anchor of a record that belonged to nobody yet


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences between two partitions of the same records, in anchors.

    Attributes:
        created: anchors of people made of records that belonged to nobody. Ascending.
        gone, into: people who ended, and the people that their anchors are in now.
        new, out_of: people who split off, and the people that their anchors were in.
        moved, moved_from, moved_to: records that changed from one person to another.
        joined, joined_to: records that belonged to nobody before.
    """

    created: Ints
    gone: Ints
    into: Ints
    new: Ints
    out_of: Ints
    moved: Ints
    moved_from: Ints
    moved_to: Ints
    joined: Ints
    joined_to: Ints

    @property
    def fresh(self) -> Ints:
        """Anchors that get a profile; if their ids led elsewhere, they no longer do."""
        return np.sort(np.concatenate((self.created, self.new)))

    @property
    def empty(self) -> bool:
        """Whether everybody is as they were."""
        return not (len(self.moved) or len(self.joined))

    @property
    def touched(self) -> Ints:
        """Anchors of the people who exist now and have other members than before."""
        there = np.concatenate((self.moved_from, self.moved_to, self.joined_to))
        return np.setdiff1d(there, self.gone)


def compare(records: Ints, was: Ints, now: Ints) -> Changes:
    """Say what changed.

    Args:
        records: record ids, ascending: every member of every person among them, before
            and after.
        was: the anchor of each record's person before, ``NONE`` for nobody.
        now: the anchor of each record's person after.

    Raises:
        ValueError: an anchor is missing from the records, or is not in its own person;
            then the records are not all that belong together.
    """
    _check(records, was[was != NONE], was)
    _check(records, now, now)
    is_anchor, was_anchor = now == records, was == records
    created = is_anchor & (was == NONE)
    gone = was_anchor & ~is_anchor
    new = is_anchor & (was != NONE) & ~was_anchor
    moved = (was != NONE) & (was != now)
    joined = was == NONE
    return Changes(
        created=records[created],
        gone=records[gone],
        into=now[gone],
        new=records[new],
        out_of=was[new],
        moved=records[moved],
        moved_from=was[moved],
        moved_to=now[moved],
        joined=records[joined],
        joined_to=now[joined],
    )


def _check(records: Ints, anchors: Ints, partition: Ints) -> None:
    """Refuse a partition whose anchors are not records of it, each in its own person."""
    named = np.unique(anchors)
    places = np.searchsorted(records, named)
    if len(named) and (places[-1] >= len(records) or (records[places] != named).any()):
        raise ValueError("an anchor is missing from the records")
    if (partition[places] != named).any():
        raise ValueError("an anchor does not belong to the person it stands for")
