"""The review queue: pairs of profiles that a person should judge, most worthwhile first.

A pair is here because its best evidence lies between the two thresholds of the epoch, or
above both while something else holds the two apart. Pairs that somebody has decided are
left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.profiles.evidence import Finding, findings
from cdp.profiles.reader import is_profile_id
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
        place: where it stands in the queue; what follows comes ``after`` it.
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
    place: str


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


def queue(
    connection: sa.Connection, permission: Permission, limit: int | None = None, after: str = ""
) -> list[Suggestion]:
    """What is worth judging and the subject may decide, a page of it.

    Recommended pairs come first; within a class those that would change most: records
    joined times bits. The database sorts, and hands out this page only.

    Args:
        connection: any.
        permission: who asks.
        limit: pairs at the most; None gives all.
        after: the place of the last pair of the page before.

    Raises:
        Stop: an edge was scored by an epoch of another release, or there is no such place.
    """
    active = epochs.active(connection)
    if active is None or permission.refusal() is not None:
        return []
    model = active[1]
    reach = permission.reach()
    parameters = {
        "suggest": model.suggest_bits,
        "join": model.join_bits,
        "just_below": model.join_bits - JUST_BELOW,
        "everybody": reach.all,
        "stores": sorted(reach.stores),
        "most": limit,
        **(_Place.read(after) if after else _START).parameters(),
    }
    stored: dict[str, Any] = {}
    return [
        _suggestion(connection, row, model, stored)
        for row in connection.execute(_QUEUE, parameters)
    ]


def _suggestion(
    connection: sa.Connection, row: sa.Row[Any], model: Model, stored: dict[str, Any]
) -> Suggestion:
    if row.epoch not in stored:
        stored[row.epoch] = connection.scalar(
            sa.select(epoch_table.c.model).where(epoch_table.c.id == row.epoch)
        )
    differ = [
        COMPARISONS[place].name for place, yes in zip(_EXCLUSIVE, row.apart, strict=True) if yes
    ]
    advice, reasons = classify(row.levels, row.weight, model, differ)
    return Suggestion(
        row.one,
        row.other,
        row.records,
        row.weight,
        advice,
        reasons,
        row.low_id,
        row.high_id,
        findings(row.levels, row.weights, stored[row.epoch]),
        _Place(row.rank, row.worth, row.one, row.other).text,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a pair stands in the queue."""

    rank: int
    worth: float
    one: str
    other: str

    @property
    def text(self) -> str:
        """As it is handed out."""
        return f"{self.rank}_{self.worth!r}_{self.one}_{self.other}"

    @classmethod
    def read(cls, text: str) -> "_Place":
        """The place that a text stands for."""
        try:
            rank, worth, one, other = text.split("_")
            found = cls(int(rank), float(worth), one, other)
        except ValueError:
            raise Stop("no_such_place", "pass the place of a pair that was listed") from None
        if not (0 <= found.rank < len(Advice) and is_profile_id(one) and is_profile_id(other)):
            raise Stop("no_such_place", "pass the place of a pair that was listed")
        return found

    def parameters(self) -> dict[str, object]:
        """For the statement."""
        return {"rank": self.rank, "worth": self.worth, "one": self.one, "other": self.other}


_START: Final = _Place(-1, 0.0, "", "")
_EXCLUSIVE: Final = tuple(at for at, comparison in enumerate(COMPARISONS) if comparison.exclusive)


def _any_differs(places: Iterable[int]) -> str:
    """SQL: whether one of these comparisons says that the values differ; arrays start at 1."""
    return (
        "(" + " OR ".join(f"coalesce(levels[{at + 1}] = {_DIFFERS}, false)" for at in places) + ")"
    )


_APART: Final = ", ".join(
    f"bool_or(coalesce(levels[{at + 1}] = {_DIFFERS}, false)) OVER pair" for at in _EXCLUSIVE
)
_SINGLE: Final = _any_differs(at for at, one in enumerate(COMPARISONS) if not one.several)
# Of each pair of profiles the one with the older anchor stands first. The rank is the
# number of the advice that ``classify`` gives.
_OLDER_FIRST: Final = """
           CASE WHEN p.anchor_id < q.anchor_id THEN p.id ELSE q.id END AS one,
           CASE WHEN p.anchor_id < q.anchor_id THEN q.id ELSE p.id END AS other
"""
_PEOPLE: Final = """
    JOIN kith.membership l ON l.record_id = low_id
    JOIN kith.membership h ON h.record_id = high_id AND h.profile_id <> l.profile_id
    JOIN kith.profile p ON p.id = l.profile_id
    JOIN kith.profile q ON q.id = h.profile_id
"""
_QUEUE: Final = sa.text(
    f"""
    WITH decided AS (
        SELECT {_OLDER_FIRST}
        FROM kith.decision_link k
        JOIN kith.decision d ON d.id = k.decision_id AND d.undone_at IS NULL
        {_PEOPLE}
    ), edges AS (
        SELECT low_id, high_id, weight, levels, weights, epoch, p.size + q.size AS records,
               {_OLDER_FIRST}
        FROM kith.edge
        {_PEOPLE}
        WHERE weight >= :suggest AND NOT EXISTS (
            SELECT FROM kith.record r WHERE r.state = 'frozen' AND r.id IN (low_id, high_id)
        ) AND (CAST(:everybody AS boolean) OR (
            p.stores && CAST(:stores AS text[]) AND q.stores && CAST(:stores AS text[])))
    ), told AS (
        SELECT *, ARRAY[{_APART}]::boolean[] AS apart,
               row_number() OVER (pair ORDER BY weight DESC, low_id, high_id) AS place
        FROM edges WINDOW pair AS (PARTITION BY one, other)
    ), ranked AS (
        SELECT *, records * weight AS worth,
               CASE WHEN true = ANY(apart) THEN 2
                    WHEN {_SINGLE} OR weight >= :join OR weight < :just_below THEN 1
                    ELSE 0 END AS rank
        FROM told WHERE place = 1
    )
    SELECT * FROM ranked r
    WHERE NOT EXISTS (SELECT FROM decided d WHERE d.one = r.one AND d.other = r.other)
    AND (rank, -worth, one COLLATE "C", other COLLATE "C")
        > (:rank, - CAST(:worth AS double precision), :one, :other)
    ORDER BY rank, worth DESC, one COLLATE "C", other COLLATE "C" LIMIT :most
    """
)
