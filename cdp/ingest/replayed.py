"""What was rejected or set aside, tried again batch by batch: what rows and values share.

Invariants, each named by a test in ``tests/integration/sync/test_replaying.py``:

1. A batch is committed by whoever holds the right to sync the source, and by nobody else.
2. A rehearsal rolls each batch back.
3. What fails in a way that nobody foresaw stays as it is, and holds up nothing beside it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from cdp.ingest.destroyed import hold_ledger
from cdp.ingest.parking import RULE as PARKED
from cdp.ingest.parking import failing, next_step
from cdp.ingest.removed import require_not_removed
from cdp.ingest.reports import Progress
from cdp.ingest.storing import committed
from cdp.storage.locks import Hold, only_one
from cdp.storage.schema import reject
from cdp.workspace import Workspace

REASON: Final = "prepare a rejected row again"
REPLAYED: Final = "replayed"  # stands where a sync names the content it read
STEP: Final = "wait until the sync has ended"
COUNTS: Final = ("tried", "stored", "values", "unchanged", "superseded", "shredded",
                  "already_there", "not_replayable")  # fmt: skip


@dataclass(slots=True)
class Replayed:
    """What became of rejected rows and values that were tried again.

    Attributes:
        source: its name.
        tried: rows and values.
        stored: rows that are a record now.
        values: values that a record has now.
        unchanged: rows that say what is stored already.
        superseded: rows that a newer one of their record made void.
        shredded: rows of destroyed records.
        already_there: rows of records that are stored, and nobody can tell which is newer.
        not_replayable: broken lines, and rows that say deleted: only their source can tell.
        still_bad: rows and values by rule.
    """

    source: str
    tried: int = 0
    stored: int = 0
    values: int = 0
    unchanged: int = 0
    superseded: int = 0
    shredded: int = 0
    already_there: int = 0
    not_replayable: int = 0
    still_bad: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many stay where they are."""
        return self.already_there + self.not_replayable + sum(self.still_bad.values())

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self) | {"still_bad": dict(sorted(self.still_bad.items())), "left": self.left}

    def add(self, more: "Replayed") -> None:
        """Take in the counts of a batch that was committed."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.still_bad.update(more.still_bad)


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried again.

    Attributes:
        waiting: asks for the ids of what waits, in order.
        batch: how many of them go into one transaction.
        tried: tries these ids, in a transaction, and says what they came to.
    """

    waiting: sa.Select[Any]
    batch: int
    tried: Callable[[sa.Connection, Sequence[int]], Replayed]


def try_again(
    workspace: Workspace, name: str, trial: Trial, progress: Progress, *, rehearse: bool
) -> Replayed:
    """Try what waits of a source, batch by batch.

    Raises:
        Refused: a sync of this source runs, or it is being removed.
        Retry: the right to do this alone was lost with its connection.
    """
    total = Replayed(name)
    with only_one(workspace.engine, f"sync {name}", STEP) as hold:
        with workspace.engine.connect() as connection:
            require_not_removed(connection, name)
            waiting = list(connection.scalars(trial.waiting))
        progress(0, len(waiting))
        for start in range(0, len(waiting), trial.batch):
            part = waiting[start : start + trial.batch]
            total.add(_batch(workspace, trial, (name, part), None if rehearse else hold))
            progress(start + len(part), len(waiting))
    return total


def _batch(
    workspace: Workspace, trial: Trial, part: tuple[str, Sequence[int]], hold: Hold | None
) -> Replayed:
    """Try some of a source; without a hold nothing is kept of it."""
    name, ids = part
    try:
        return _tried(workspace, trial, ids, hold)
    except Exception as error:  # noqa: BLE001 - raised again, where none alone is at fault
        engine = workspace.engine
        # They failed before, so many that fail again tell nothing of the program.
        found = failing(engine, ids, error, partial(_alone, trial), name, most=len(ids))
    fine = [one for one in ids if id(one) not in found]
    done = _tried(workspace, trial, fine, hold) if fine else Replayed(name)
    again = {one: found[id(one)] for one in ids if id(one) in found}
    if hold is not None:
        _renumber(workspace, again)
    done.tried += len(again)
    done.still_bad[PARKED] += len(again)
    return done


def _tried(workspace: Workspace, trial: Trial, ids: Sequence[int], hold: Hold | None) -> Replayed:
    def work(connection: sa.Connection) -> Replayed:
        found = _alone(trial, connection, ids)
        if hold is None:
            raise _RehearsedError(found)
        hold.require(connection)
        return found

    try:
        return committed(workspace.engine, work)
    except _RehearsedError as end:
        return end.found


def _alone(trial: Trial, connection: sa.Connection, ids: Sequence[int]) -> Replayed:
    hold_ledger(connection)
    return trial.tried(connection, ids)


def _renumber(workspace: Workspace, again: Mapping[int, str]) -> None:
    """Name the crash of today beside rows that are parked. No other rule is changed."""
    kept = reject.c
    with workspace.engine.begin() as connection:
        for number, crash in again.items():
            connection.execute(
                sa.update(reject)
                .where(kept.id == number, kept.rule == PARKED, kept.record_id.is_(None))
                .values(next_step=next_step(crash))
            )


class _RehearsedError(Exception):
    """Ends the transaction of a rehearsal."""

    def __init__(self, found: Replayed) -> None:
        super().__init__()
        self.found = found
