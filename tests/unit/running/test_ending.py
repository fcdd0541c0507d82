"""How a run ended, and what follows."""

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
from connectors import errors as at_the_edge

CANARY = "canary-龘-13957149163"
PATIENCES = Patiences(Patience(30.0, 20), Patience(600.0, 5))
hows = st.sampled_from([How.RETRY, How.STOP])


@given(hows, st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0, 1e12))
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
    assert sequel(Ending(How.PAUSE), 0, PATIENCES, 0.5).paused


def test_what_is_no_failure_counts_as_none() -> None:
    """Somebody else at work, or a run that we ended, leaves the count as it was (invariant 4)."""
    assert sequel(Ending(How.DONE), 7, PATIENCES, 0.5).failures == 0
    assert sequel(Ending(How.BUSY), 7, PATIENCES, 0.5).failures == 7
    assert sequel(ending.BROKEN_OFF, 7, PATIENCES, 0.5) == ending.Sequel(7, 0.0)


class _Fault:
    """What a driver raised."""

    pgcode = "57P01"


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
