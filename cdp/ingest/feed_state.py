"""Where a feed stands, kept sealed until its next reading.

Invariants, each named by a test in ``tests/integration/feeds/test_states.py``:
    1. A state is stored sealed, under the key of rejected rows, and bound to its source.
    2. A state of another way of reading is void: the feed is read from the beginning.
    3. A state that does not open is a Stop that says how to go on; it is never ignored.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from cdp.errors import KithError, Stop
from cdp.storage.schema import source_order, source_state, sync_run
from cdp.storage.source_schema import source_watch
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.base import Mark, State
from connectors.record import Raw

STATE = "state"
RESET = "run cdp source reset NAME: the next sync reads everything, which changes nothing twice"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one source stands. It says nothing of what a state holds.

    Attributes:
        source: its name.
        started_at: of the last run; None: there was none.
        finished_at: None: it runs, or was broken off.
        position: rows that the last run has committed.
        rejected_share: of the rows of the last run; None of a run without rows.
        state_at: when its state was committed; None: it has none.
        newest_at: the newest time that a feed gave.
        lag: seconds since then, or since the last run ended where the source gives no times.
    """

    source: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    position: int
    rejected_share: float | None
    state_at: dt.datetime | None
    newest_at: dt.datetime | None
    lag: float | None

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        times = {name: value.isoformat() for name, value in self._times() if value is not None}
        return asdict(self) | times

    def _times(self) -> list[tuple[str, dt.datetime | None]]:
        names = ("started_at", "finished_at", "state_at", "newest_at")
        return [(name, getattr(self, name)) for name in names]


@dataclass(frozen=True, slots=True)
class Backfill(Raw):
    """A reading from an earlier place, beside where the feed stands.

    Attributes:
        since: where it begins; None: at the beginning.
        since_text: names that place; a backfill since another one begins anew.
    """

    since: State | None = None
    since_text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a reset forgets: whether there was a state, and the orders of how many records."""

    source: str
    state: bool
    orders: int


def beside(source: str) -> str:
    """Under what name the state of a backfill is kept; no source is called so."""
    return f"{source} (backfill)"


def end_backfill(connection: sa.Connection, source: str) -> None:
    """Forget the state of a backfill that came to its end."""
    connection.execute(sa.delete(source_state).where(source_state.c.source == beside(source)))


def begun_backfill(connection: sa.Connection, source: str) -> bool:
    """Whether a backfill was broken off, so that the next one goes on from there."""
    there = sa.select(sa.exists().where(source_state.c.source == beside(source)))
    return bool(connection.scalar(there))


def place_of(source: str) -> RejectPlace:
    """Where the state of a source is sealed for: no row is ever rejected there."""
    return RejectPlace(source, STATE, 0, STATE)


def kept(
    connection: sa.Connection, workspace: Workspace, source: str, read_as: str
) -> State | None:
    """Return the state that a source is read on from; None: from the beginning.

    Raises:
        Stop: there is one, and it does not open.
    """
    row = connection.execute(
        sa.select(source_state).where(source_state.c.source == source)
    ).one_or_none()
    if row is None or row.read_as != read_as:
        return None
    try:
        return State.of(workspace.vault.open_reject(place_of(source), bytes(row.sealed)))
    except (KithError, ValueError):
        raise Stop("state_unreadable", RESET, source=source) from None


def keep(
    connection: sa.Connection, workspace: Workspace, source: str, read_as: str, mark: Mark
) -> None:
    """Store a state, in the transaction of what came before it."""
    fresh = insert(source_state).values(
        source=source,
        read_as=read_as,
        sealed=workspace.vault.seal_reject(place_of(source), mark.state.text()),
        newest_at=mark.at,
        at=workspace.now(),
    )
    renewed = ("read_as", "sealed", "newest_at", "at")
    connection.execute(
        fresh.on_conflict_do_update(
            index_elements=["source"], set_={name: fresh.excluded[name] for name in renewed}
        )
    )


def forget(connection: sa.Connection, source: str) -> Forgotten:
    """Forget the state of a source, and how new its rows were; its records stay."""
    state = connection.execute(sa.delete(source_state).where(source_state.c.source == source))
    end_backfill(connection, source)
    connection.execute(sa.delete(source_watch).where(source_watch.c.source == source))
    orders = connection.execute(sa.delete(source_order).where(source_order.c.source == source))
    return Forgotten(source, bool(state.rowcount), orders.rowcount)


def standings(
    connection: sa.Connection, sources: Sequence[str], now: dt.datetime
) -> list[Standing]:
    """How sources stand, in their order."""
    newest = (
        sa.select(sync_run)
        .ext(distinct_on(sync_run.c.source))
        .where(sync_run.c.source.in_(sources))
        .order_by(sync_run.c.source, sync_run.c.id.desc())
    )
    runs = {row.source: row for row in connection.execute(newest)}
    # Not what it says: whoever only watches may not read that.
    times = source_state.c.source, source_state.c.newest_at, source_state.c.at
    stated = sa.select(*times).where(source_state.c.source.in_(sources))
    states: dict[str, Any] = {row.source: row for row in connection.execute(stated)}
    return [_standing(name, runs.get(name), states.get(name), now) for name in sources]


def _standing(source: str, run: sa.Row[Any] | None, state: Any, now: dt.datetime) -> Standing:
    started = run.started_at if run else None
    finished = run.finished_at if run else None
    newest = state.newest_at if state else None
    since = newest or finished
    return Standing(
        source=source,
        started_at=started,
        finished_at=finished,
        position=run.position if run else 0,
        rejected_share=run.rejected / run.read if run and run.read else None,
        state_at=state.at if state else None,
        newest_at=newest,
        lag=(now - since).total_seconds() if since else None,
    )
