"""What another system said, kept for a while: also that it did not answer.

Many requests come at the same time, and each needs what one of them may ask for. Whoever asks
holds no lock meanwhile, and nobody asks a system again that has just failed.

Invariants, each named by a test in ``tests/unit/access/test_remembered.py``:

1. One asks at a time; the others take what it gets, and wait for it no longer than a moment.
2. What was said is kept until it is too old for who wants it.
3. A failure is kept for some seconds: until then everybody is told at once, and nobody asks.
"""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from cdp.errors import Retry

FAILURE_KEPT: Final = dt.timedelta(seconds=10)
PATIENCE: Final = 3.0  # seconds that one waits for another who asks
T = TypeVar("T")


class _Said(NamedTuple, Generic[T]):
    what: T
    at: dt.datetime


class Remembered(Generic[T]):
    """What one question to another system gave last. Any number of threads may use it."""

    def __init__(
        self,
        ask: Callable[[], T],
        now: Callable[[], dt.datetime],
        patience: float = PATIENCE,
    ) -> None:
        """Remember nothing yet.

        Args:
            ask: asks the system; raises `Retry` where it does not answer.
            now: the clock.
            patience: seconds that one waits for another who asks.
        """
        self._ask = ask
        self._now = now
        self._patience = patience
        self._changed = threading.Condition()
        self._said: _Said[T] | None = None
        self._failed: _Said[Retry] | None = None
        self._is_asked = False

    def get(self, age: dt.timedelta) -> T:
        """Return what was said less than ``age`` ago, asking if need be.

        Raises:
            Retry: the system does not answer, or did not a moment ago, or another thread asks
                it and gets no answer soon.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_settled(age), self._patience)
            if self._said is not None and self._now() - self._said.at < age:
                return self._said.what
            if self._failed is not None and self._is_recent(self._failed):
                raise _anew(self._failed.what)
            if self._is_asked:
                raise Retry("another system is slow to answer", "try again in a moment")
            self._is_asked = True
        return self._fetched()

    def _is_settled(self, age: dt.timedelta) -> bool:
        known = self._said is not None and self._now() - self._said.at < age
        return known or not self._is_asked

    def _is_recent(self, failed: _Said[Retry]) -> bool:
        since = self._now() - failed.at
        return dt.timedelta(0) <= since < FAILURE_KEPT

    def _fetched(self) -> T:
        said: _Said[T] | None = None
        failed: _Said[Retry] | None = None
        try:
            said = _Said(self._ask(), self._now())
        except Retry as error:
            failed = _Said(_anew(error), self._now())  # without its traceback
            raise
        finally:
            with self._changed:
                self._said, self._failed = said or self._said, failed
                self._is_asked = False
                self._changed.notify_all()
        return said.what


def _anew(error: Retry) -> Retry:
    return type(error)(error.rule, error.next_step, **error.where)
