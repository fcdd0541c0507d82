"""One thread that hears of changes: PostgreSQL LISTEN, and a look every 30 seconds anyway.

Invariants, each named by a test in ``tests/integration/policy/test_following.py``:

1. It looks after every notification, after every connecting, and every ``LOOK`` seconds: a
   notification that was lost delays a change, it does not hide it.
2. A connection that broke is opened again, for as long as it takes.
3. It holds one connection, which is not one of the pool's, and leaves none behind.
4. It ends within moments of being told to, whatever it waits for.
5. It tells how long ago it completed a look: a connection may be dead without a word.

The driver's connection is SQLAlchemy's: its own names are used, the driver is not imported.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa

from cdp.logs import get_logger

LOOK: Final = 30.0  # seconds
LATE: Final = LOOK + 15.0  # seconds since a look after which nobody may rely on being told
FIRST_WAIT: Final = 0.1  # seconds before a lost connection is tried again; then twice as long
LONGEST_WAIT: Final = 5.0  # seconds
NAME: Final = "kith policy"  # of its connection, for who looks at pg_stat_activity
PATIENCE: Final = 5.0  # seconds that `stop` waits for the thread
_log = get_logger(__name__)


def tell(event: str, failure: Exception) -> None:
    """Log a failure; where the log itself cannot be written to, that stops nothing."""
    with suppress(OSError, ValueError):
        _log.error(event, exc_info=failure)


class Follower:
    """A thread that calls ``look`` whenever there may be something new.

    Args:
        engine: of the workspace.
        channel: of NOTIFY.
        look: is given a connection that commits by itself; how long it may take until the next
            look is what it returns, in seconds.
    """

    def __init__(
        self, engine: sa.Engine, channel: str, look: Callable[[sa.Connection], float]
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._look = look
        self._stopping = threading.Event()
        self._woken, self._wake = os.pipe()
        self._failures = engine.dialect.loaded_dbapi.Error, sa.exc.SQLAlchemyError, OSError
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
        self.listening = False
        self._looked: float | None = None  # of the monotonic clock

    @property
    def age(self) -> float | None:
        """Seconds since a look was completed; None: none was yet."""
        looked = self._looked
        return None if looked is None else time.monotonic() - looked

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and leave no connection."""
        if not self._stopping.is_set():
            self._stopping.set()
            os.write(self._wake, b"x")
            self._thread.join(PATIENCE)
            if not self._thread.is_alive():
                os.close(self._wake)
                os.close(self._woken)

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            try:
                self._listen()
            except self._failures as failure:
                tell("policy_follower_lost", failure)
            except Exception as failure:  # noqa: BLE001 - a thread that ended would follow no more
                tell("policy_follower_failed", failure)
            wait = FIRST_WAIT if self.listening else min(2 * wait, LONGEST_WAIT)
            self.listening = False
            self._stopping.wait(wait)

    def _listen(self) -> None:
        """Look, and wait for the next reason to look, until told to end."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            driver: Any = connection.connection.driver_connection
            connection.detach()  # the pool has one more for others, and this one is closed
            connection.execute(sa.text(f"SET application_name = '{NAME}'"))
            # Listen first: what is committed between the two is heard, or seen by the look.
            connection.execute(sa.text(f"LISTEN {self._channel}"))
            while not self._stopping.is_set():
                driver.notifies.clear()
                seconds = self._look(connection)
                self._looked = time.monotonic()
                self.listening = True
                self._wait(driver, seconds)
        finally:
            connection.close()

    def _wait(self, driver: Any, seconds: float) -> None:
        """Return when something was notified, the time is over, or it is to end."""
        if driver.notifies:  # heard while it looked
            return
        waiting = select.poll()
        for handle in (driver.fileno(), self._woken):
            waiting.register(handle, select.POLLIN)
        waiting.poll(seconds * 1000)
        if not self._stopping.is_set():
            driver.poll()  # raises where the connection is gone
