"""Why records were joined: comparison names, levels and bits; never a value.

A stored edge holds numbers, one for each comparison of its epoch in the order of
``identity.comparisons.COMPARISONS``. Here they get their names back.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp.errors import Stop
from identity.comparisons import COMPARISONS, MISSING


@dataclass(frozen=True, slots=True)
class Member:
    """One record of the profile."""

    record_id: int
    source: str
    store: str | None
    first_seen: dt.datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """What one comparison of two records gave."""

    comparison: str  # such as "birth date"
    level: str  # such as "day and month exchanged"
    bits: float  # log2 of how much likelier this is for one person than for two


@dataclass(frozen=True, slots=True)
class Link:
    """Two records, compared. ``bits`` is the sum of the findings and the epoch's prior."""

    low_id: int
    high_id: int
    bits: float
    epoch: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was compared inside one profile."""

    profile_id: str
    records: tuple[Member, ...]
    links: tuple[Link, ...]


def findings(
    levels: Sequence[int], weights: Sequence[float], model: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """Name the numbers of an edge; what was not given on both sides is left out.

    Args:
        levels: level numbers, -1 for missing.
        weights: bits.
        model: the stored epoch the edge was scored with.

    Raises:
        Stop: the epoch compares other things than this release, so its numbers have no
            certain names.
    """
    known = model.get("comparisons", {})
    fits = set(known) == {comparison.name for comparison in COMPARISONS} and all(
        [level["level"] for level in known[c.name]] == [level.label for level in c.levels]
        for c in COMPARISONS
    )
    if not fits or not len(levels) == len(weights) == len(COMPARISONS):
        raise Stop(
            "evidence_of_another_version", "run: cdp identity resolve --retrain", field="epoch"
        )
    return tuple(
        Finding(comparison.name, comparison.label(level), bits)
        for comparison, level, bits in zip(COMPARISONS, levels, weights, strict=True)
        if level != MISSING
    )
