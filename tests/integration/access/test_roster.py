"""The roster and what holds while somebody asks: `cdp/access/roster.py`."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access import roster
from cdp.access.circumstances import THIS_MACHINE
from cdp.access.principals import subject_of
from cdp.access.roster import Line, present
from cdp.declaration import parse
from cdp.errors import Refused, Stop
from policies import enforcer
from policies.conditions import needed
from policies.decision import Policy
from policies.enforcer import compile_policy, read_source
from policies.policyfile import POLICY_FILE, read_rules
from policies.reasons import Reason
from policies.vocabulary import NO_CIRCUMSTANCES, Circumstances
from tests.integration.reveals.house import House

pytestmark = pytest.mark.integration
FOLDER = Path(enforcer.__file__).parent
TODAY = dt.date(2026, 5, 4)  # of the retailer's clock: a Monday, 17:30 in Shanghai
SHIFT = {"days": ["mon"], "from": "09:00", "to": "18:00"}


@pytest.fixture
def house(engine: sa.Engine, home) -> House:
    """A house whose stores have a time zone and a network, and whose clerk has a shift."""
    house = House(engine, home)
    written = house.written()
    tree = [
        {**node, **({"time_zone": "Asia/Shanghai", "networks": ["10.1.0.0/16"]}
                    if node["id"] == "kith" else {})}
        for node in written["organisation"]
    ]  # fmt: skip
    principals = [
        {**one, **({"shift": SHIFT} if one["id"] == "clerk.bj01" else {})}
        for one in written["principals"]
    ]
    house.declare(organisation=tree, principals=principals)
    return house


def put(house: House, line: Line, who: str = "operator") -> None:
    """A line of the roster, by somebody."""
    with house.engine.begin() as connection:
        roster.put(connection, house.workspace, subject_of(house.workspace, who), line)


def conditional(house: House, *lines: str) -> Policy:
    """Have the policy say more lines."""
    source = read_source()
    text = (FOLDER / POLICY_FILE).read_text(encoding="utf-8") + "".join(f"{one}\n" for one in lines)
    compiled = compile_policy(replace(source, rules=read_rules(text)))
    policy = Policy(compiled, house.workspace.declaration.organisation)
    object.__setattr__(house.workspace, "pin", policy)
    return policy


def held(house: House, who: str, address: str | None = None) -> Circumstances:
    """What holds for somebody of what their role's lines need."""
    subject = replace(subject_of(house.workspace, who), circumstances=NO_CIRCUMSTANCES)
    return present(house.workspace, subject, address).circumstances


def test_without_a_line_for_today_nobody_is_at_the_store(house: House) -> None:
    """Roster 1: principal, day and node must be those of the line, where the node is."""
    conditional(house, "p, clerk, read, district, clear, service, allow, at_store")
    assert held(house, "clerk.bj01") == NO_CIRCUMSTANCES
    for line in (
        Line("clerk.bj01", TODAY - dt.timedelta(days=1), "BJ01"),
        Line("clerk.bj01", TODAY, "BJ02"),
        Line("clerk.sz01", TODAY, "BJ01"),
    ):
        put(house, line)
    assert held(house, "clerk.bj01") == NO_CIRCUMSTANCES
    put(house, Line("clerk.bj01", TODAY, "BJ01"))
    assert held(house, "clerk.bj01") == Circumstances.AT_STORE
    house.later(hours=7)  # it is tomorrow in Shanghai, and today in London
    assert held(house, "clerk.bj01") == NO_CIRCUMSTANCES


def test_a_line_with_a_condition_holds_only_under_it(house: House) -> None:
    """A clerk reads a field on shift and in the network, and is refused with a reason otherwise."""
    line = "p, clerk, read, remark, mask, service, allow, on_shift+in_network"
    policy = conditional(house, line)
    assert policy.needed == {"clerk": Circumstances.ON_SHIFT | Circumstances.IN_NETWORK}

    def asked(address: str | None) -> str:
        subject = present(house.workspace, subject_of(house.workspace, "clerk.bj01"), address)
        return policy.decide(subject, "read", "remark", "service", frozenset({"BJ01"})).reason

    assert asked("10.1.2.3") == Reason.GRANTED
    assert asked(THIS_MACHINE) == Reason.GRANTED
    assert asked("192.0.2.1") == asked(None) == Reason.NOT_NOW
    house.later(minutes=30)  # six in Shanghai
    assert asked("10.1.2.3") == Reason.NOT_NOW
    assert held(house, "clerk.sz01", "10.1.2.3") == Circumstances.IN_NETWORK  # has no shift
    assert held(house, "manager.bj01", "10.1.2.3") == NO_CIRCUMSTANCES  # nothing depends on it


def test_a_command_is_in_the_network(house: House) -> None:
    """Whoever types a command is where the keys are."""
    conditional(house, "p, clerk, read, remark, mask, service, allow, in_network")
    assert subject_of(house.workspace, "clerk.bj01").circumstances == Circumstances.IN_NETWORK


def test_only_who_may_configure_writes_the_roster(house: House) -> None:
    """Roster 2: others are refused; both leave their events."""
    line = Line("clerk.bj01", TODAY, "BJ01")
    for who in ("clerk.bj01", "manager.bj01", "headquarters", "compliance"):
        with house.engine.begin() as connection:
            subject = subject_of(house.workspace, who)
            with pytest.raises(Refused):
                roster.put(connection, house.workspace, subject, line)
            with pytest.raises(Refused):
                roster.clear(connection, house.workspace, subject, line.principal, line.day)
    put(house, line)
    put(house, line)  # twice is once
    with house.engine.begin() as connection:
        operator = subject_of(house.workspace, "operator")
        assert roster.lines(connection, TODAY, TODAY) == [line]
        assert roster.clear(connection, house.workspace, operator, line.principal, TODAY) == 1
        assert roster.lines(connection, TODAY, TODAY) == []
    told = [(e["action"], e["decision"], e["detail"]) for e in house.events()]
    assert told[:8] == [("roster.set", "deny", None), ("roster.clear", "deny", None)] * 4
    assert told[8:] == [
        *[("roster.set", "allow", "clerk.bj01 at BJ01")] * 2,
        ("roster.clear", "allow", None),
    ]


def test_a_line_about_nobody_or_nowhere_is_refused(house: House) -> None:
    """Nothing is written that could not hold."""
    for line in (Line("nobody", TODAY, "BJ01"), Line("clerk.bj01", TODAY, "nowhere")):
        with pytest.raises(Stop):
            put(house, line)
    with house.engine.connect() as connection:
        assert roster.lines(connection, TODAY, TODAY) == []


def test_a_policy_without_conditions_asks_nothing(house: House) -> None:
    """Roster 3: no statement, and the subject is the very same."""
    subject = subject_of(house.workspace, "clerk.bj01")
    statements: list[str] = []
    sa.event.listen(house.engine, "before_cursor_execute", lambda *c: statements.append(c[2]))
    assert present(house.workspace, subject, "10.1.2.3") is subject
    assert statements == []
    assert house.workspace.policy.needed == needed(house.workspace.policy.compiled.table) == {}


def test_a_shift_that_cannot_be_read_is_refused(house: House) -> None:
    """Also one without a time zone: nobody could say when it is."""
    written, path = house.written(), house.workspace.settings.declaration
    for shift in ({**SHIFT, "to": "09:00"}, "9 to 5", None):
        garbled = [
            {**one, "shift": shift} if one["id"] == "clerk.bj01" else one
            for one in written["principals"]
        ]
        with pytest.raises(Stop, match="shift_wrong"):
            parse({**written, "principals": garbled}, path)
    for node in written["organisation"]:
        node.pop("time_zone", None)
    with pytest.raises(Stop, match="shift_without_time_zone"):
        parse(written, path)
