"""How a run ended, and what follows."""

import errno
import pickle
from itertools import pairwise

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cdp import errors
from cdp.ingest.contract import ContractPause
from cdp.running import ending
from cdp.running.ending import Ending, How, Patience, Patiences, of_error, sequel
from cdp.running.worker import is_away
from connectors import errors as at_the_edge
from identity.errors import NotEnoughMemoryError

CANARY = "canary-龘-13957149163"
PATIENCES = Patiences(Patience(30.0, 20), Patience(600.0, 5))
hows = st.sampled_from([How.RETRY, How.STOP])


@given(hows, st.integers(0, 30), st.floats(0, 1, exclude_max=True), st.floats(0, 1e12))
def test_waiting_is_bounded(how: How, failures: int, drawn: float, asked: float) -> None:
    """Invariants 2 and 3: never more than the limit, never less than was asked within it."""
    patience = PATIENCES.stop if how is How.STOP else PATIENCES.retry
    found = sequel(Ending(how, "rule", "step", asked), failures, PATIENCES, drawn)
    assert found.failures == failures + 1
    assert found.paused == (failures + 1 >= patience.most)
    if found.paused:
        assert found.wait is None
    else:
        assert found.wait is not None
        assert min(asked, patience.cap) <= found.wait <= patience.cap
        assert found.wait >= patience.base / 2


@pytest.mark.parametrize("drawn", [0.0, 0.999])
def test_who_asked_us_to_wait_is_not_asked_earlier(drawn: float) -> None:
    """Invariant 3: ten minutes instead of half of one; a year is an hour, the limit."""
    waits = [
        sequel(Ending(How.RETRY, after=asked), 0, PATIENCES, drawn).wait for asked in (600.0, 3e7)
    ]
    assert waits == [600.0, 3600.0]


@given(st.floats(0, 1, exclude_max=True))
def test_waiting_doubles_until_the_limit(drawn: float) -> None:
    """Of two failures in a row the second waits twice as long, by the same draw."""
    waits = [sequel(Ending(How.RETRY), n, PATIENCES, drawn).wait or 0 for n in range(12)]
    for one, following in pairwise(waits):
        assert following == pytest.approx(min(2 * one, 1800 * (1 + drawn)))


def test_an_error_that_a_person_must_mend_pauses_sooner() -> None:
    """A Stop is given up after five times, a Retry after twenty, a contract's pause at once."""
    assert sequel(Ending(How.STOP), 4, PATIENCES, 0.5).paused
    assert not sequel(Ending(How.RETRY), 4, PATIENCES, 0.5).paused
    assert sequel(Ending(How.PAUSE), 0, PATIENCES, 0.5) == ending.Sequel(1, None, paused=True)


def test_what_is_no_failure_counts_as_none() -> None:
    """Somebody else at work, or a run that we ended, leaves the count as it was (invariant 4)."""
    assert sequel(Ending(How.DONE), 7, PATIENCES, 0.5).failures == 0
    busy = [sequel(Ending(How.BUSY), 7, PATIENCES, drawn) for drawn in (0.0, 0.5)]
    assert busy == [ending.Sequel(7, 30.0), ending.Sequel(7, 45.0)]  # half of it is drawn
    assert sequel(ending.BROKEN_OFF, 7, PATIENCES, 0.5) == ending.Sequel(7, 0.0)


class _Fault:
    """What a driver raised."""

    pgcode = "57P01"


class _FullError(Exception):
    """What a driver raises where the database has no room."""

    pgcode = "53100"


@pytest.mark.parametrize(
    ("error", "how", "rule"),
    [
        (at_the_edge.Retry("pos", "not_reachable", "Wait.", after=7.0), How.RETRY, "not_reachable"),
        (at_the_edge.Stop("pos", "file_missing", "Put it there."), How.STOP, "file_missing"),
        (errors.Retry("lock_lost", "begin again"), How.RETRY, "lock_lost"),
        (errors.Stop("state_unreadable", "reset it"), How.STOP, "state_unreadable"),
        (errors.Refused("already_running", "wait"), How.BUSY, "already_running"),
        (errors.Refused("key_withheld", "ask"), How.STOP, "key_withheld"),
        (errors.Stop("too_few_records", "bring in two"), How.DONE, ""),
        (ContractPause("contract_required", "fill it"), How.PAUSE, "contract_required"),
        (sa.exc.OperationalError(CANARY, None, Exception(CANARY)), How.RETRY, "database_failed"),
        (MemoryError(CANARY), How.STOP, "memory_limit"),
        (ValueError(CANARY), How.STOP, "unforeseen"),
        (OSError(errno.ENOSPC, CANARY, CANARY), How.RETRY, "disk_full"),
        (OSError(errno.EMFILE, CANARY, CANARY), How.RETRY, "machine_failed"),
        (OSError(errno.ENOENT, CANARY, CANARY), How.STOP, "unforeseen"),
        (sa.exc.OperationalError(CANARY, None, _FullError(CANARY)), How.RETRY, "disk_full"),
        (NotEnoughMemoryError(100, 200), How.STOP, "not_enough_memory"),
    ],
)
def test_each_error_has_its_ending_and_shows_no_value(
    error: Exception, how: How, rule: str
) -> None:
    """Invariant 1: rule and next step, or a crash's number; also on its way between processes."""
    found = pickle.loads(pickle.dumps(of_error(error)))
    assert (found.how, found.rule) == (how, rule)
    assert CANARY not in repr(found)
    assert found.next_step or not found.failed


def test_the_field_at_fault_is_named() -> None:
    """A Stop that names a place in the declaration keeps it."""
    stop = at_the_edge.Stop("pos", "column_missing", "Correct it.", field="fields.phone")
    assert of_error(stop).next_step == "Correct it. (fields.phone)"


def test_a_resolve_that_takes_long_gets_more_time_and_is_given_up_in_the_end() -> None:
    """Invariant 6: 2, 4, 8, 16, 24 hours; after a day a person has to look, and is told how."""
    minutes = [ending.minutes_for_resolve(120, n, "time_limit") for n in range(7)]
    assert minutes == [120, 240, 480, 960, 1440, 1440, 1440]
    assert ending.minutes_for_resolve(120, 3, "database_failed") == 120
    assert ending.minutes_for_resolve(120, 3, None) == 120
    assert ending.minutes_for_resolve(2880, 3, "time_limit") == 2880
    late = [ending.of_late_resolve(one, 120) for one in minutes]
    assert [one.how for one in late] == [How.RETRY] * 4 + [How.PAUSE] * 3
    assert "cdp worker resume" in late[-1].next_step
    assert ending.of_late_resolve(2880, 2880).how is How.PAUSE
    assert all(one.rule == "time_limit" for one in late)


def test_what_a_resolve_lacks_is_said() -> None:
    """The memory that it needs, as the command says it."""
    assert "200 MB" in of_error(NotEnoughMemoryError(100, 200)).next_step


def test_a_connection_that_was_lost_is_the_database_away() -> None:
    """Whatever class the driver gives the error; what a statement did wrong is not."""
    lost = sa.exc.DatabaseError("SELECT", None, Exception(), connection_invalidated=True)
    assert is_away(lost)
    assert is_away(sa.exc.OperationalError("SELECT", None, Exception()))
    assert not is_away(sa.exc.ProgrammingError("SELECT", None, Exception()))
    assert not is_away(sa.exc.InvalidRequestError())
