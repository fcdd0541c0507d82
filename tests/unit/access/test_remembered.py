"""What another system said, kept for a while."""

import datetime as dt
import threading

import pytest

from cdp.access.remembered import FAILURE_KEPT, Remembered
from cdp.errors import Retry

HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)


class Away(Retry):
    """It does not answer."""


class System:
    """Another system, and a clock."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
        self.asked = 0
        self.is_away = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def answer(self) -> int:
        """What it says: how often it was asked."""
        self.asked += 1
        assert self.may_answer.wait(20)
        if self.is_away:
            raise Away("it does not answer", "try again")
        return self.asked

    def remembered(self, patience: float = 20) -> Remembered[int]:
        """What is kept of it."""
        return Remembered(self.answer, lambda: self.now, patience)


def test_what_was_said_is_kept_until_it_is_too_old() -> None:
    """Remembered 2: for who wants it that new, and no longer."""
    system = System()
    kept = system.remembered()
    assert [kept.get(HOUR), kept.get(HOUR)] == [1, 1]
    system.now += HOUR - SECOND
    assert kept.get(HOUR) == 1
    assert kept.get(SECOND) == 2
    system.now += HOUR
    assert kept.get(HOUR) == 3


def test_nobody_asks_again_who_has_just_failed() -> None:
    """Remembered 3: told at once for some seconds, of the same kind; then it is asked again."""
    system = System()
    kept = system.remembered()
    system.is_away = True
    for _ in range(5):
        with pytest.raises(Away, match="it does not answer"):
            kept.get(HOUR)
    assert system.asked == 1
    system.is_away = False
    system.now += FAILURE_KEPT
    assert kept.get(HOUR) == 2
    assert kept.get(HOUR) == 2
    system.is_away, system.now = True, system.now + HOUR
    with pytest.raises(Away):
        kept.get(HOUR)
    system.now -= HOUR  # a clock that was set back keeps nobody out
    assert kept.get(2 * HOUR) == 2


def test_one_asks_and_the_others_take_what_it_gets() -> None:
    """Remembered 1: many at once cost one question."""
    system = System()
    kept, got = system.remembered(), []
    system.may_answer.clear()
    threads = [threading.Thread(target=lambda: got.append(kept.get(HOUR))) for _ in range(8)]
    for one in threads:
        one.start()
    while system.asked == 0:
        threading.Event().wait(0.01)
    system.may_answer.set()
    for one in threads:
        one.join()
    assert got == [1] * 8


def test_nobody_waits_long_for_a_slow_answer() -> None:
    """Remembered 1: whoever comes while it is asked is told to try again, and holds nobody up."""
    system = System()
    kept = system.remembered(patience=0.05)
    system.may_answer.clear()
    first = threading.Thread(target=lambda: kept.get(HOUR))
    first.start()
    while system.asked == 0:
        threading.Event().wait(0.01)
    for _ in range(3):
        with pytest.raises(Retry, match="slow to answer"):
            kept.get(HOUR)
    system.may_answer.set()
    first.join()
    assert (kept.get(HOUR), system.asked) == (1, 1)


def test_what_breaks_otherwise_keeps_nobody_from_asking() -> None:
    """Remembered 1: whatever ends the question, the next one may ask."""
    system = System()
    kept = Remembered(lambda: 1 // (system.asked - 1), lambda: system.now)
    system.asked = 1
    with pytest.raises(ZeroDivisionError):
        kept.get(HOUR)
    system.asked = 2
    assert kept.get(HOUR) == 1
