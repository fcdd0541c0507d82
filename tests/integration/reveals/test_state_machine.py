"""Requests in the database beside a small model of them: the same outcomes, step by step."""

import datetime as dt
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cdp.access.answers import Revealed
from cdp.access.reveal_states import Act, Request
from cdp.storage.schema import reveal, reveal_request
from tests.integration.reveals.house import House, code

pytestmark = pytest.mark.integration
ASKERS, JUDGES = ("headquarters", "second"), ("officer", "compliance", "headquarters", "south")
STEPS = [
    dt.timedelta(minutes=1), dt.timedelta(minutes=16), dt.timedelta(hours=25),
    dt.timedelta(hours=73), dt.timedelta(seconds=-3), dt.timedelta(minutes=-1),
    dt.timedelta(hours=-30),
]  # fmt: skip
PLACES = st.integers(0, 5)
WHOM = st.sampled_from(["ada", "far"])


@dataclass
class Kept:
    """What the model knows of one request."""

    id: str
    who: str
    person: str
    state: str
    ends: dt.datetime
    latest: dt.datetime


class Model:
    """The rules again, said another way: a list, and a clock that each request remembers."""

    def __init__(self) -> None:
        self.all: list[Kept] = []

    def end(self, now: dt.datetime) -> None:
        """What is over is over."""
        for one in self.all:
            over = max(now, one.latest) >= one.ends
            back = one.latest - now > dt.timedelta(seconds=5)
            if one.state in {"open", "approved"} and (over or back):
                one.state, one.latest = "expired", max(now, one.latest)
            if one.state == "to-review" and now >= one.ends:
                one.state, one.latest = "overdue", max(now, one.latest)

    def standing(self, who: str, person: str) -> list[Kept]:
        """The request that still may come to something."""
        mine = [one for one in self.all if (one.who, one.person) == (who, person)]
        return [one for one in mine if one.state in {"open", "approved"}]


class Requests(RuleBasedStateMachine):
    """Two who ask, four who judge, two people, one clock."""

    house: House

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        with self.house.engine.begin() as connection:
            connection.execute(sa.delete(reveal))
            connection.execute(sa.delete(reveal_request))

    def pick(self, place: int) -> Kept | None:
        """One of the requests there are."""
        return self.model.all[place % len(self.model.all)] if self.model.all else None

    @rule(who=st.sampled_from(ASKERS), whom=WHOM)
    def ask(self, who: str, whom: str) -> None:
        """Ask for a field of the sensitive tier."""
        now, person = self.house.now, getattr(self.house, whom)
        self.model.end(now)
        answer = self.house.ask(who, person)
        if self.model.standing(who, person):
            assert code(answer) == "already_asked"
            return
        assert isinstance(answer, Request)
        ends = now + dt.timedelta(hours=24)
        self.model.all.append(Kept(answer.id, who, person, "open", ends, now))

    @rule(place=PLACES, who=st.sampled_from(JUDGES), act=st.sampled_from(Act))
    def judge(self, place: int, who: str, act: Act) -> None:
        """Judge any of the requests."""
        one = self.pick(place)
        if one is None or act in {Act.WITHDRAW, Act.USE}:
            return
        now = self.house.now
        self.model.end(now)
        answer = code(self.house.judge(who, one.id, act))
        leads = {
            ("open", "approve"): "approved", ("open", "reject"): "rejected",
            ("to-review", "justify"): "justified", ("to-review", "fault"): "not-justified",
            ("overdue", "justify"): "justified", ("overdue", "fault"): "not-justified",
            ("not-justified", "justify"): "justified",
        }.get((one.state, act.value))  # fmt: skip
        if who == one.who:
            assert answer == "own_request"
        elif who in {"south", "headquarters"}:
            assert answer == "no_such_request"
        elif leads is None:
            assert answer == "request_settled"
        else:
            assert answer == "done"
            one.state, one.latest = leads, max(now, one.latest)
            if leads == "approved":
                one.ends = one.latest + dt.timedelta(minutes=15)

    @rule(place=PLACES, who=st.sampled_from(ASKERS))
    def withdraw(self, place: int, who: str) -> None:
        """Take any of the requests back."""
        one = self.pick(place)
        if one is None:
            return
        now = self.house.now
        answer = code(self.house.withdraw(who, one.id))
        back = one.latest - now > dt.timedelta(seconds=5)
        stands = one.state in {"open", "approved"} and not back and max(now, one.latest) < one.ends
        if who != one.who:
            assert answer == "no_such_request"
        elif stands:
            assert answer == "done"
            one.state, one.latest = "withdrawn", max(now, one.latest)
        else:
            assert answer == "request_settled"

    @rule(who=st.sampled_from(ASKERS), whom=WHOM)
    def reveal(self, who: str, whom: str) -> None:
        """Reveal under whatever was granted."""
        now, person = self.house.now, getattr(self.house, whom)
        self.model.end(now)
        answer = self.house.reveal(who, person, "national_id", "fraud")
        granted = [one for one in self.model.standing(who, person) if one.state == "approved"]
        if not granted:
            assert code(answer) == "needs_approval"
        elif whom == "far":
            assert code(answer) == "no_value"  # and the grant is kept
        else:
            assert isinstance(answer, Revealed)
            assert answer.request == granted[0].id
            granted[0].state, granted[0].latest = "used", max(now, granted[0].latest)

    @rule(who=st.sampled_from(ASKERS))
    def break_glass(self, who: str) -> None:
        """Break the glass."""
        now = self.house.now
        self.model.end(now)
        answer = self.house.broken(who, self.house.ada, "national_id", "fraud")
        mine = [one.state for one in self.model.all if one.who == who]
        if {"overdue", "not-justified"} & set(mine):
            assert code(answer) == "glass_barred"
            return
        assert isinstance(answer, Revealed)
        ends = now + dt.timedelta(hours=72)
        assert answer.request is not None
        self.model.all.append(Kept(answer.request, who, self.house.ada, "to-review", ends, now))

    @rule(step=st.sampled_from(STEPS))
    def clock(self, step: dt.timedelta) -> None:
        """Set the clock forward, or back."""
        self.house.retailer.clock += step

    @invariant()
    def the_database_says_the_same(self) -> None:
        """State and latest time of each request, as stored."""
        columns = reveal_request.c.id, reveal_request.c.state, reveal_request.c.latest_at
        with self.house.engine.connect() as connection:
            stored = {row.id: row for row in connection.execute(sa.select(*columns))}
        told = {one: (row.state, row.latest_at) for one, row in stored.items()}
        assert told == {one.id: (one.state, one.latest) for one in self.model.all}


def test_the_database_and_a_small_model_agree(house: House) -> None:
    """Reveals 2 to 4, states 1 to 5: whatever is done in whatever order, under any clock."""
    house.declare(reveals={"per_hour": 1000, "people_per_hour": 10, "sensitive_per_hour": 100})
    Requests.house = house
    run_state_machine_as_test(
        Requests,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
