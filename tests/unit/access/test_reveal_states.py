"""The life of a request: `cdp/access/reveal_states.py`."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.access.reveal_states import (
    REVIEW_WITHIN,
    SKEW,
    WAITS,
    Act,
    Actor,
    Deed,
    Request,
    State,
    Wrong,
    after,
    at_time,
)

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
MINE, OTHER = Actor("ada", "headquarters", "kith"), Actor("bo", "compliance", "kith")
OWN = {Act.WITHDRAW, Act.USE}
LEADS = {
    ("open", "approve"): "approved", ("open", "reject"): "rejected",
    ("open", "withdraw"): "withdrawn", ("approved", "withdraw"): "withdrawn",
    ("approved", "use"): "used", ("to-review", "justify"): "justified",
    ("to-review", "fault"): "not-justified", ("overdue", "justify"): "justified",
    ("overdue", "fault"): "not-justified", ("not-justified", "justify"): "justified",
}  # fmt: skip


def request(state: State = State.OPEN, ends: dt.timedelta = WAITS) -> Request:
    """A request made now."""
    return Request(
        "gtrcvbqd", MINE, "p0", "national_id", "fraud", "case 4711", state, NOW, NOW, NOW + ends
    )


def by(act: Act) -> Actor:
    """Who may do it."""
    return MINE if act in OWN else OTHER


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("act", Act)
def test_only_the_listed_acts_lead_on(state: State, act: Act) -> None:
    """Invariant 1: every pair of state and act, and nothing else than the list."""
    done = after(request(state), Deed(act, by(act)), NOW)
    wanted = LEADS.get((state.value, act.value))
    if wanted is None:
        assert done == Wrong("settled")
    else:
        assert isinstance(done, Request)
        assert done.state.value == wanted


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("act", Act)
def test_nobody_takes_the_part_of_the_other(state: State, act: Act) -> None:
    """Invariant 2: whatever the state, one's own is not judged and another's is not used."""
    wrong = OTHER if act in OWN else Actor(MINE.id, "compliance", "kith")
    done = after(request(state), Deed(act, wrong), NOW)
    assert done == Wrong("not_yours" if act in OWN else "own_request")


@given(st.integers(-7200, 200_000), st.sampled_from([State.OPEN, State.APPROVED]))
def test_what_waits_ends_at_its_end_and_when_a_clock_is_set_back(seconds, state) -> None:
    """Invariants 3 and 4: it stands from five seconds before its last time until its end."""
    now = NOW + dt.timedelta(seconds=seconds)
    seen = at_time(request(state, dt.timedelta(minutes=15)), now)
    stands = NOW - SKEW <= now < NOW + dt.timedelta(minutes=15)
    assert (seen.state is state) == stands
    assert seen.state in {state, State.EXPIRED}
    done = after(request(state, dt.timedelta(minutes=15)), Deed(Act.WITHDRAW, MINE), now)
    assert isinstance(done, Request) == stands


@given(st.lists(st.integers(-100_000, 400_000), min_size=1, max_size=6), st.sampled_from(State))
def test_time_never_runs_backwards_for_one_request(times, state) -> None:
    """Invariant 4: whatever clocks say, what has ended stays ended."""
    seen = request(state)
    for seconds in times:
        later = at_time(seen, NOW + dt.timedelta(seconds=seconds))
        assert later.latest_at >= seen.latest_at
        if seen.state in {State.EXPIRED, State.OVERDUE}:
            assert later.state is seen.state
        seen = later


def test_a_broken_glass_is_overdue_and_can_still_be_reviewed() -> None:
    """Invariant 5: a review that comes late still counts; a clock set back changes nothing."""
    broken = request(State.TO_REVIEW, REVIEW_WITHIN)
    assert at_time(broken, NOW + REVIEW_WITHIN - dt.timedelta(seconds=1)).state is State.TO_REVIEW
    overdue = at_time(broken, NOW + REVIEW_WITHIN)
    assert overdue.state is State.OVERDUE
    assert at_time(overdue, NOW).state is State.OVERDUE
    assert at_time(broken, NOW - dt.timedelta(days=9)).state is State.TO_REVIEW
    done = after(overdue, Deed(Act.JUSTIFY, OTHER, "seen"), NOW + dt.timedelta(days=9))
    assert isinstance(done, Request)
    assert (done.state, done.second, done.comment) == (State.JUSTIFIED, OTHER, "seen")


@given(st.integers(1, 10_000))
def test_no_grant_is_longer_than_a_day(minutes: int) -> None:
    """Invariant 3: whatever was given, and used once."""
    given_ = dt.timedelta(minutes=minutes)
    done = after(request(), Deed(Act.APPROVE, OTHER, None, given_), NOW)
    assert isinstance(done, Request)
    assert done.ends_at == NOW + min(given_, dt.timedelta(hours=24))
    used = after(done, Deed(Act.USE, MINE), NOW)
    assert isinstance(used, Request)
    assert used.used_at == NOW
    assert after(used, Deed(Act.USE, MINE), NOW) == Wrong("settled")
    assert replace(used, state=State.APPROVED, used_at=None) == done


@pytest.mark.parametrize("act", Act)
def test_another_spelling_of_an_id_is_the_same_person(act: Act) -> None:
    """Invariant 2: it judges nothing of its own, and does nothing that only the id itself may."""
    state = next(State(state) for state, done in LEADS if done == act.value)
    done = after(request(state), Deed(act, replace(MINE, id="Ada")), NOW)
    assert done == Wrong("not_yours" if act in OWN else "own_request")
