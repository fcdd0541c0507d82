"""How well records of one kind find company: per source, per type of identifier.

A source whose records stay alone brings profiles that nobody else knows about: often a
column that was not mapped, and the first place to look when recall is low.
"""

from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass

import numpy as np

from identity.partitions import numbered, share


@dataclass(frozen=True, slots=True)
class Coverage:
    """The records of one kind, and the profiles they are in."""

    kind: str  # such as a source, or a type of identifier
    records: int
    match_rate: float  # of these records, those in a profile of two or more of any kind
    profiles: int  # with at least one of these records
    consolidation: float  # of these records, how many a profile that has any holds

    def to_dict(self) -> dict[str, float | int | str]:
        """Return the figures by name, ready for JSON."""
        return asdict(self)


def coverage(
    predicted: Mapping[Hashable, Hashable], kinds: Mapping[Hashable, AbstractSet[str]]
) -> tuple[Coverage, ...]:
    """Measure every kind of record.

    Args:
        predicted: the profile of each record.
        kinds: the kinds each record is of, such as the types of identifier that it has;
            a record may be of several or of none. Records without a profile are left out.

    Returns:
        One line for each kind that has records, in the order of names.
    """
    profile_of = numbered(list(predicted.values()))
    together = np.bincount(profile_of)[profile_of] > 1
    # Records have few different sets of kinds: each set is looked at once, not each record.
    sets: dict[frozenset[str], int] = {}
    none: frozenset[str] = frozenset()
    set_of = np.fromiter(
        (sets.setdefault(frozenset(kinds.get(r, none)), len(sets)) for r in predicted),
        np.int64,
        len(predicted),
    )
    lines = []
    for kind in sorted(set().union(*sets)):
        has = np.fromiter((kind in one for one in sets), np.bool_, len(sets))[set_of]
        records, profiles = int(has.sum()), len(np.unique(profile_of[has]))
        matched = int((together & has).sum())
        lines.append(
            Coverage(kind, records, share(matched, records), profiles, share(records, profiles))
        )
    return tuple(lines)
