"""The review queue: pairs of profiles that a person should judge, most worthwhile first.

A pair is here because its best evidence lies between the two thresholds of the epoch, or
above both while something else holds the two apart. Pairs that somebody has decided are
left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from cdp.profiles.evidence import Finding, findings
from cdp.profiles.reader import Located
from cdp.resolution import epochs
from cdp.resolution.decisions import labels
from cdp.resolution.permission import Permission
from cdp.storage.schema import epoch as epoch_table
from identity.comparisons import COMPARISONS
from identity.model import Model

__all__ = ["Advice", "Suggestion", "classify", "labels", "queue"]

JUST_BELOW: Final = 3.0  # bits; what a threshold one step lower would have joined
_DIFFERS: Final = 0  # the level number


class Advice(StrEnum):
    """How the evidence looks before a person has looked. The order is the queue's."""

    RECOMMENDED = "recommended"  # nearly enough, and nothing contradicts
    CAREFUL = "careful"  # something contradicts, or there is little to go by
    NOT_RECOMMENDED = "not recommended"  # an identifier says that they are two


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two profiles that may be one person.

    Attributes:
        one, other: profile ids, the older first.
        records: of both together.
        bits: of the best pair of records between them.
        advice: see ``Advice``.
        reasons: why it is that, in words.
        low_id, high_id: the records of the best pair.
        findings: what comparing those gave.
    """

    one: str
    other: str
    records: int
    bits: float
    advice: Advice
    reasons: tuple[str, ...]
    low_id: int
    high_id: int
    findings: tuple[Finding, ...]


def classify(
    levels: Sequence[int], bits: float, model: Model, exclusive: Iterable[str] = ()
) -> tuple[Advice, tuple[str, ...]]:
    """Advise on two profiles.

    Args:
        levels: of the best pair of records between them.
        bits: of that pair.
        model: the epoch they were scored with.
        exclusive: names of identifiers that differ between any of their records, of
            which nobody has two.
    """
    against = tuple(f"{name} differs, and nobody has two" for name in exclusive)
    if against:
        return Advice.NOT_RECOMMENDED, against
    reasons = [
        f"{comparison.name} differs"
        for comparison, level in zip(COMPARISONS, levels, strict=True)
        if level == _DIFFERS and not comparison.several
    ]
    if bits >= model.join_bits:
        reasons.append("these two records agree, other records of theirs do not")
    elif bits < model.join_bits - JUST_BELOW:
        reasons.append(f"{model.join_bits - bits:.1f} bits short of joining by itself")
    if reasons:
        return Advice.CAREFUL, tuple(reasons)
    return Advice.RECOMMENDED, (
        f"nothing contradicts; {model.join_bits - bits:.1f} bits short of joining by itself",
    )


def queue(connection: sa.Connection, permission: Permission) -> list[Suggestion]:
    """Everything worth judging that the subject may decide.

    Recommended pairs come first; within a class those that would change most: records
    joined times bits.

    Raises:
        Stop: an edge was scored by an epoch of another release.
    """
    active = epochs.active(connection)
    if active is None:
        return []
    model = active[1]
    stored: dict[str, Any] = {}
    found = []
    decided = {(row.one, row.other) for row in connection.execute(_DECIDED)}
    rows = connection.execute(_APART, {"suggest": model.suggest_bits}).all()
    people = _people(connection, {one for row in rows for one in (row.one, row.other)})
    for pair, edges in _by_pair(rows).items():
        both = [people[one] for one in pair]
        if pair in decided or any(permission.why_not(one.located) for one in both):
            continue
        best = edges[0]
        if best.epoch not in stored:
            stored[best.epoch] = connection.scalar(
                sa.select(epoch_table.c.model).where(epoch_table.c.id == best.epoch)
            )
        advice, reasons = classify(best.levels, best.weight, model, _exclusive(edges))
        found.append(
            Suggestion(
                pair[0],
                pair[1],
                sum(one.records for one in both),
                best.weight,
                advice,
                reasons,
                best.low_id,
                best.high_id,
                findings(best.levels, best.weights, stored[best.epoch]),
            )
        )
    order = list(Advice)
    return sorted(found, key=lambda s: (order.index(s.advice), -s.records * s.bits, s.one, s.other))


def _by_pair(rows: Iterable[sa.Row[Any]]) -> Mapping[tuple[str, str], list[sa.Row[Any]]]:
    """The edges between each two profiles, the best first, as they come."""
    pairs: dict[tuple[str, str], list[sa.Row[Any]]] = {}
    for row in rows:
        pairs.setdefault((row.one, row.other), []).append(row)
    return pairs


def _exclusive(edges: Iterable[sa.Row[Any]]) -> list[str]:
    """The identifiers that differ on some edge although nobody has two of them."""
    differ = [
        comparison.name
        for edge in edges
        for comparison, level in zip(COMPARISONS, edge.levels, strict=True)
        if comparison.exclusive and level == _DIFFERS
    ]
    return list(dict.fromkeys(differ))


@dataclass(frozen=True, slots=True)
class _Person:
    located: Located
    records: int


def _people(connection: sa.Connection, ids: Iterable[str]) -> Mapping[str, _Person]:
    rows = connection.execute(_PEOPLE, {"ids": sorted(ids)})
    return {
        row.id: _Person(Located(row.id, frozenset(row.stores), frozenset(row.purposes)), row.size)
        for row in rows
    }


# Of each pair of profiles the one with the older anchor stands first.
_APART = sa.text(
    """
    SELECT e.low_id, e.high_id, e.weight, e.levels, e.weights, e.epoch,
           CASE WHEN p.anchor_id < q.anchor_id THEN p.id ELSE q.id END AS one,
           CASE WHEN p.anchor_id < q.anchor_id THEN q.id ELSE p.id END AS other
    FROM kith.edge e
    JOIN kith.membership l ON l.record_id = e.low_id
    JOIN kith.membership h ON h.record_id = e.high_id AND h.profile_id <> l.profile_id
    JOIN kith.profile p ON p.id = l.profile_id
    JOIN kith.profile q ON q.id = h.profile_id
    WHERE e.weight >= :suggest
    ORDER BY e.weight DESC, e.low_id, e.high_id
    """
)
_DECIDED = sa.text(
    """
    SELECT DISTINCT CASE WHEN p.anchor_id < q.anchor_id THEN p.id ELSE q.id END AS one,
           CASE WHEN p.anchor_id < q.anchor_id THEN q.id ELSE p.id END AS other
    FROM kith.decision_link k
    JOIN kith.decision d ON d.id = k.decision_id AND d.undone_at IS NULL
    JOIN kith.membership l ON l.record_id = k.low_id
    JOIN kith.membership h ON h.record_id = k.high_id AND h.profile_id <> l.profile_id
    JOIN kith.profile p ON p.id = l.profile_id
    JOIN kith.profile q ON q.id = h.profile_id
    """
)
_PEOPLE = sa.text(
    "SELECT id, stores, purposes, size FROM kith.profile WHERE id = ANY(CAST(:ids AS text[]))"
)
