"""Removes events and rejected rows whose time is over while a worker runs: a step in each turn.

Invariants, each named by a test in ``tests/integration/running/test_expiring.py``:

1. Once an hour; of several workers one at a time; what was broken off is gone on with.
2. How long they are kept is read from ``cdp.yaml`` as it is now.
3. Whatever goes wrong with it ends no worker.
"""

from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Final

import sqlalchemy as sa

from cdp import logs
from cdp.declaration import Declaration
from cdp.errors import KithError, Refused
from cdp.ingest import reject_upkeep
from cdp.resolution import inbound_upkeep
from cdp.workspace import Workspace

EVERY: Final = 3600.0  # seconds
_log = logs.get_logger("kith.worker")


class Expiring:
    """Removes what is over, of all sources."""

    def __init__(self, workspace: Workspace, seconds: Callable[[], float]) -> None:
        """Begin with the first step; ``seconds`` only grow."""
        self._workspace, self._seconds = workspace, seconds
        self._due = seconds()
        self._steps: Generator[None, None, None] | None = None
        self._under: Declaration | None = None

    def step(self, declared: Declaration) -> bool:
        """Remove some, if it is time; return whether there may be more at once."""
        if declared is not self._under:
            self.close()  # it may be kept for longer now
            self._under = declared
        if self._steps is None:
            if self._seconds() < self._due:
                return False
            self._steps = self._expire(declared)
        try:
            next(self._steps)
        except (StopIteration, KithError) as ended:
            self._end(ended)
            return False
        except BaseException:
            self.close()
            raise
        return True

    def close(self) -> None:
        """Break off; the next step begins anew."""
        if self._steps is not None:
            with suppress(sa.exc.DBAPIError):  # the database went away, and the lock with it
                self._steps.close()
        self._steps = None

    def _expire(self, declared: Declaration) -> Generator[None, None, None]:
        for what, expire in (
            ("events_expired", inbound_upkeep.expire_alone),
            ("rejected_rows_expired", reject_upkeep.expire_alone),
        ):
            gone = 0
            try:
                with closing(expire(self._workspace, declared)) as steps:
                    for some in steps:
                        gone += some
                        yield
            finally:
                if gone:
                    _log.info(what, rows=gone)

    def _end(self, ended: Exception) -> None:
        self._steps, self._due = None, self._seconds() + EVERY
        if isinstance(ended, KithError) and not isinstance(ended, Refused):
            _log.warning("expiring_failed", rule=ended.rule)
