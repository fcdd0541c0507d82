"""What the removal of a source would take, said beforehand. Counts only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from cdp.storage.schema import metadata, record, source_removal


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go, and whom it would change.

    Attributes:
        source: its name.
        records: of it.
        frozen: of these, kept for a reason by a person; they go too.
        people: who have a record of it.
        known_only_by_it: of these, who would be gone.
        losing_fields: who stay, and lose the value of a field that it gives them.
        renamed: who stay under another profile id, since the oldest record is of it.
        may_split: who stay, and whose other records hang together by it alone.
        waiting: records of it that nobody has resolved yet.
        rows: beside the records, by table.
        begun: whether its removal has begun, and has to be gone on with.
        removed: whether it was removed before, to the end.
    """

    source: str
    records: int
    frozen: int
    people: int
    known_only_by_it: int
    losing_fields: int
    renamed: int
    may_split: int
    waiting: int
    rows: Mapping[str, int]
    begun: bool
    removed: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the source is there."""
        return not (self.records or any(self.rows.values()) or self.begun or self.removed)

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


def plan_of(connection: sa.Connection, source: str) -> Plan:
    """Count what a source brought. Reads no value."""
    given = {"source": source}
    counts = connection.execute(_RECORDS, given).one()
    people = connection.execute(_PEOPLE, given).one()
    rows = {
        table.name: connection.scalar(
            sa.select(sa.func.count()).select_from(table).where(table.c.source == source)
        )
        or 0
        for table in metadata.sorted_tables
        if "source" in table.c and table.name not in {record.name, source_removal.name}
    }
    noted = connection.execute(
        sa.select(source_removal.c.ended_at).where(source_removal.c.source == source)
    ).one_or_none()
    return Plan(
        source,
        counts.records,
        counts.frozen,
        people.people,
        people.only,
        people.losing,
        people.renamed,
        _splits(connection, source),
        counts.waiting,
        rows,
        begun=noted is not None and noted.ended_at is None,
        removed=noted is not None and noted.ended_at is not None,
    )


def apart(members: Iterable[int], edges: Iterable[tuple[int, int]]) -> int:
    """Into how many groups records fall that only these edges join. Pure."""
    parent = {one: one for one in members}

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for low, high in edges:
        if low in parent and high in parent:
            parent[root(low)] = root(high)
    return sum(parent[one] == one for one in parent)


def _splits(connection: sa.Connection, source: str) -> int:
    """How many people fall apart without the source's records, as far as edges tell."""
    members: dict[str, list[int]] = {}
    for profile_id, number in connection.execute(_STAYING, {"source": source}):
        members.setdefault(profile_id, []).append(number)
    several = {one: numbers for one, numbers in members.items() if len(numbers) > 1}
    edges = _edges(connection, [n for numbers in several.values() for n in numbers])
    return sum(
        apart(numbers, ((n, other) for n in numbers for other in edges.get(n, ()))) > 1
        for numbers in several.values()
    )


def _edges(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for start in range(0, len(numbers), _PART):
        part = {"ids": list(numbers[start : start + _PART])}
        for low, high in connection.execute(_DIRECT, part):
            found.setdefault(low, []).append(high)
    return found


_PART: Final = 10_000  # records whose edges are asked for together
_RECORDS: Final = sa.text(
    """
    SELECT count(*) AS records, count(*) FILTER (WHERE r.state = 'frozen') AS frozen,
           count(*) FILTER (WHERE m.record_id IS NULL) AS waiting
      FROM kith.record r LEFT JOIN kith.membership m ON m.record_id = r.id
     WHERE r.source = :source
    """
)
_PEOPLE: Final = sa.text(
    """
    WITH theirs AS (
        SELECT m.profile_id, count(*) AS records, count(*) FILTER (WHERE r.source = :source) AS own
          FROM kith.membership m JOIN kith.record r ON r.id = m.record_id
         WHERE m.profile_id IN (
            SELECT o.profile_id FROM kith.membership o
              JOIN kith.record s ON s.id = o.record_id WHERE s.source = :source)
         GROUP BY m.profile_id)
    SELECT count(*) AS people, count(*) FILTER (WHERE t.own = t.records) AS only,
           count(*) FILTER (WHERE t.own < t.records AND EXISTS (
               SELECT FROM jsonb_each_text(p.golden) g
                 JOIN kith.record r ON r.id = CAST(g.value AS bigint)
                WHERE r.source = :source)) AS losing,
           count(*) FILTER (WHERE t.own < t.records AND a.source = :source) AS renamed
      FROM theirs t JOIN kith.profile p ON p.id = t.profile_id
      JOIN kith.record a ON a.id = p.anchor_id
    """
)
_STAYING: Final = sa.text(
    """
    SELECT m.profile_id, m.record_id
      FROM kith.membership m JOIN kith.record r ON r.id = m.record_id
     WHERE r.source <> :source AND m.profile_id IN (
        SELECT o.profile_id FROM kith.membership o
          JOIN kith.record s ON s.id = o.record_id WHERE s.source = :source)
     ORDER BY m.profile_id, m.record_id
    """
)
_DIRECT: Final = sa.text(
    """
    SELECT e.low_id, e.high_id FROM kith.edge e
     WHERE e.low_id = ANY(CAST(:ids AS bigint[])) AND e.direct AND e.weight > 0
    """
)
