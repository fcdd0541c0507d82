"""Whether a load that replaces the one before is followed: what it lacks would be destroyed.

A sender says: what came under an earlier load and not since is gone. A query that broke, a table
that is empty for a moment and a row that could not be read look the same as people who left.

Invariants, each named by a test in ``tests/integration/feeds/test_loads.py``:

1. A load of which no row came destroys nobody.
2. A record whose row of this load was rejected is not gone.
3. While a row of the load could not be told whose it is, nobody is destroyed.
4. A load that lacks more than half of the records before it destroys nobody, unless a person
   said so for this reading.
5. What is not followed stands among the rejected rows, with its rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cdp.ingest.writing import SetAside
from cdp.storage.schema import record, source_order, sync_run
from cdp.storage.statements import Statement, bytes_array, send
from connectors.base import Outdated
from connectors.record import Sensitive

MOST: Final = 0.5  # share of the records of loads that one message may end
FEW: Final = 20  # records, of which any share may end
EMPTY: Final = "load_empty"
_KEEPS: Final = (
    "its people stay, and the next load is judged anew; "
    "if they are gone, run it once more with --all-may-go"
)
STEPS: Final = {
    EMPTY: f"see that the sender reads its rows: no row came under this load; {_KEEPS}",
    "load_unread": "correct the rejected rows that name no record, and send the load again",
    "load_shrunk": f"see that the load is whole: it lacks over half of the records; {_KEEPS}",
}


@dataclass(frozen=True, slots=True)
class Load:
    """What is known of one load when the one before is said to be over.

    Attributes:
        came: records that stand under it.
        older: records that stand under an earlier one.
        unread: rows that nobody can tell whose they are.
        ended: whether the reading is over. Before, a load without a row may only begin.
        confirmed: a person said that everybody may go.
    """

    came: int
    older: int
    unread: int
    ended: bool
    confirmed: bool


def refusal(load: Load) -> str | None:
    """The rule by which a load is not followed; None: it is. Pure."""
    if load.older == 0:
        return None
    if load.came == 0 and not (load.ended and load.confirmed):
        return EMPTY
    if load.unread:
        return "load_unread"
    if load.confirmed:
        return None
    lost = load.older > FEW and load.older > MOST * (load.came + load.older)
    return "load_shrunk" if lost else None


def counted(connection: sa.Connection, source: str, load: int) -> tuple[int, int]:
    """How many records stand under a load, and how many under an earlier one."""
    mine = source_order.c.source == source
    there = sa.exists().where(record.c.key == source_order.c.key)
    counts = sa.select(
        sa.func.count().filter(source_order.c.load == load),
        sa.func.count().filter(source_order.c.load < load),
    ).where(mine, there)
    came, older = connection.execute(counts).one()
    return came, older


def unread_before(connection: sa.Connection, source: str, run_id: int) -> int:
    """Rows that runs rejected which did not end: they may be of the load that goes on now."""
    run = sync_run.c
    ended = (
        sa.select(sa.func.coalesce(sa.func.max(run.id), 0))
        .where(run.source == source, run.finished_at.is_not(None))
        .scalar_subquery()
    )
    rejected = sa.select(sa.func.coalesce(sa.func.sum(run.rejected), 0)).where(
        run.source == source, run.id > ended, run.id < run_id
    )
    return int(connection.scalar(rejected) or 0)


def still_there(connection: sa.Connection, keys: Sequence[tuple[bytes, int]]) -> None:
    """Note that rows of these records came in their loads, though they were rejected."""
    if keys:
        newest = dict(sorted(keys, key=lambda one: one[1]))
        loads = "{" + ",".join(str(newest[key]) for key in sorted(newest)) + "}"
        send(connection, _STILL_THERE, bytes_array(sorted(newest)), loads)


def kept(row: Outdated, rule: str) -> SetAside:
    """What stands among the rejected rows of a load that is not followed."""
    said = Sensitive(f"load {row.load}")
    return SetAside(row.position, "", rule, STEPS[rule], said, None, keys=())


_STILL_THERE = Statement(
    "still_there",
    ("bytea[]", "bigint[]"),
    """
    UPDATE kith.source_order o SET load = x.load
      FROM unnest($1, $2) AS x(key, load) WHERE o.key = x.key AND o.load < x.load
    """,
)
