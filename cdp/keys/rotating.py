"""What is stored under older versions of a key, brought under the newest, batch by batch.

Invariants, each named by a test in ``tests/integration/keys/test_rotation.py``:

1. Every row opens at every moment: it is under the older version or the newer one.
2. A batch is committed whole, and the rows are all there is of the job's state: killed, or
   stopped by a full disk, it goes on where the last commit ended.
3. It waits for nobody: rows that somebody holds are left for the next pass.
4. What others write under the older version meanwhile is found by a later pass.
5. Two jobs on one key do not run at once; the second says so.
6. No cell is touched, but the sealed features where the features key itself is rotated.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import sqlalchemy as sa

from cdp.errors import Stop
from cdp.storage.locks import is_collision, only_one
from cdp.storage.schema import workspace as workspace_table
from cdp.workspace import Workspace

Progress = Callable[[int, int], None]  # rows done, rows to do

BATCH: Final = 2000  # rows
ATTEMPTS: Final = 5  # at one batch, when others change the same rows
MOST_PASSES: Final = 10  # over rows that others held, or wrote with an older key meanwhile
PAUSE: Final = 0.2  # seconds before rows that others hold are tried again
MOST_NAMED: Final = 20  # rows that do not open
STEP: Final = "wait until it has ended, or end it; it can go on later"
_DISK_FULL: Final = "53100"  # PostgreSQL manual, appendix A


class Batch(NamedTuple):
    """What became of one batch."""

    seen: int  # rows
    last: int  # the highest of their ids
    done: int
    refused: Mapping[int, str]  # id: why it does not open


class Work(Protocol):
    """The rows of one key: which are older, and how a few of them are made new."""

    @property
    def purpose(self) -> str:
        """The key."""

    @property
    def version(self) -> int:
        """Its version that rows are brought under."""

    def left(self, connection: sa.Connection) -> int:
        """Count the rows under older versions."""

    def make(self, connection: sa.Connection, after: int, most: int) -> Batch:
        """Bring the first ``most`` rows with an id above ``after`` under the version.

        Rows that others hold are passed over. In a transaction.
        """


@dataclass(frozen=True, slots=True)
class RotationReport:
    """What a job did.

    Attributes:
        key: purpose.
        version: that rows are under now.
        rows: brought under it.
        left: rows that others held all the while, or wrote with an older ring.
        refused: rows that do not open, by id, with the rule; the first twenty.
        refused_count: how many there are.
    """

    key: str
    version: int
    rows: int
    left: int
    refused: Mapping[int, str] = field(default_factory=dict)
    refused_count: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is under an older version any more."""
        return not (self.left or self.refused_count)


def bring_under(
    workspace: Workspace, work: Work, progress: Progress, batch: int = BATCH
) -> RotationReport:
    """Bring every row of ``work`` under the newest version of its key.

    Raises:
        Refused: another such job runs.
        Stop: the disk is full; what was committed stays.
        KeyMissing, OtherWorkspace: the ring lacks a version, or is another workspace's.
    """
    with workspace.engine.connect() as connection:
        stored = connection.execute(sa.select(workspace_table)).one()
        workspace.keyring.confirm(stored.id, stored.key_check)
    with only_one(workspace.engine, f"rotate {work.purpose}", STEP):
        return _Job(workspace.engine, work, batch).run(progress)


class _Job:
    """One run: pass after pass, each batch in a transaction of its own."""

    def __init__(self, engine: sa.Engine, work: Work, batch: int) -> None:
        self._engine = engine
        self._work = work
        self._batch = batch
        self._rows = 0
        self._refused: dict[int, str] = {}

    def run(self, progress: Progress) -> RotationReport:
        left = self._left()
        expected = left
        progress(0, expected)
        for again in range(MOST_PASSES):
            if not left:
                break
            if again:
                time.sleep(PAUSE)
            self._refused = {}  # a row that another mended meanwhile opens now
            self._pass(progress, expected)
            left = self._left() - len(self._refused)
        named = dict(sorted(self._refused.items())[:MOST_NAMED])
        work, refused = self._work, len(self._refused)
        return RotationReport(work.purpose, work.version, self._rows, max(left, 0), named, refused)

    def _pass(self, progress: Progress, expected: int) -> None:
        after = -1
        while (made := self._commit(after)).seen:
            after = made.last
            self._rows += made.done
            self._refused |= made.refused
            progress(self._rows, max(self._rows, expected))

    def _commit(self, after: int) -> Batch:
        for attempt in range(ATTEMPTS):
            try:
                with self._engine.begin() as connection:
                    return self._work.make(connection, after, self._batch)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "pgcode", None) == _DISK_FULL:
                    raise _full(self._work.purpose, self._rows) from None
                if not is_collision(error) or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _left(self) -> int:
        with self._engine.connect() as connection:
            return self._work.left(connection)


def _full(key: str, rows: int) -> Stop:
    return Stop(
        "the database's disk is full",
        f"make room, then run: cdp key rotate {key} --resume",
        key=key,
        rows_done=rows,
    )
