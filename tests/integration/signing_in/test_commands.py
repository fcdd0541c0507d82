"""`cdp access`: accounts, sessions and keys, as somebody in charge handles them."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from cdp.access import administering, keys, sessions
from cdp.cli.access import app, duration
from cdp.declaration import parse
from cdp.errors import KithError, Refused, Stop
from tests.integration.retailer import declaration
from tests.integration.signing_in.house import House

pytestmark = pytest.mark.integration
WHO = "clerk.bj01"


@pytest.fixture
def cdp(house: House, monkeypatch: pytest.MonkeyPatch):
    """Runs `cdp access ...` in the workspace of the house."""
    monkeypatch.setattr("cdp.cli.session.workspace", lambda: house.workspace)

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"])
        if isinstance(done.exception, KithError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


def told(house: House) -> list[tuple[str, str, str, str | None]]:
    return [
        (one["action"], one["actor"], one["decision"], one.get("detail"))
        for one in house.retailer.events()
    ]


def test_an_account_from_invitation_to_its_last_session(house: House, cdp) -> None:
    """Administering 1 to 3: each command does its work and leaves its event."""
    by = ("--as", "operator")
    invited = cdp("add-account", WHO, *by)
    assert len(bytes.fromhex(invited["invitation"])) == 32
    assert invited["link"] is None
    assert [one["state"] for one in cdp("list-accounts")] == ["invited"]
    again = cdp("reset-account", WHO, *by)
    assert again["invitation"] != invited["invitation"]
    with house.engine.begin() as connection:
        now = house.workspace.now()
        one, *_ = (sessions.begin(connection, house.keys, WHO, "password", now) for _ in range(3))
    assert len(cdp("list-sessions", "--principal", WHO)) == 3
    cdp("end-session", one.id, *by)
    assert cdp("end-sessions", WHO, *by)["ended"] == 2
    assert {each["state"] for each in cdp("list-sessions")} == {"ended"}
    cdp("lock", WHO, *by)
    assert [each["state"] for each in cdp("list-accounts")] == ["locked"]
    cdp("unlock", WHO)
    events = told(house)
    assert [event[0] for event in events] == [
        "account.add", "account.reset", "session.end", "session.end_all",
        "account.lock", "account.unlock",
    ]  # fmt: skip
    assert {event[1] for event in events[:-1]} == {"operator"}
    assert events[-1][1] == "command-line"
    assert [event[3] == WHO for event in events] == [True, True, False, True, True, True]


CHANGES = (
    ("add-account", WHO), ("reset-account", WHO), ("lock", WHO), ("unlock", WHO),
    ("end-session", "x"), ("end-sessions", WHO), ("issue-key", WHO), ("rotate-key", "x"),
    ("revoke-key", "x"),
)  # fmt: skip
IN_VAIN = (
    ("reset-account", WHO), ("lock", "nobody"), ("unlock", "nobody"), ("end-session", "x"),
    ("rotate-key", "x"), ("revoke-key", "x"), ("add-account", "nobody"), ("issue-key", "nobody"),
)  # fmt: skip


def test_who_may_not_configure_is_refused(house: House, cdp) -> None:
    """Administering 1: the one who is named, with an event, and nothing is done."""
    for words in CHANGES:
        with pytest.raises(Refused, match="no_rule"):
            cdp(*words, "--as", "manager.bj01")
        _, actor, decision, detail = told(house)[-1]
        assert (actor, decision, detail) == ("manager.bj01", "deny", words[1])
    assert len(told(house)) == len(CHANGES)
    assert house.row("account", principal_id=WHO) is None


def test_what_is_not_done_leaves_no_event_that_it_was(house: House, cdp) -> None:
    """Administering 2: a command that finds nothing says so, and so does the log: nothing."""
    for words in IN_VAIN:
        with pytest.raises(Stop):
            cdp(*words)
    assert told(house) == []


def test_an_id_that_the_log_cannot_hold_is_told_by_its_digest(house: House) -> None:
    """Administering 2: a long number in an id is kept out, and still tells two targets apart."""
    details = []
    for target in ("emp-20260001", "emp-20260002"):
        with administering.allowed(house.workspace, None, "account.lock", target):
            pass
        details.append(told(house)[-1][3])
    assert details[0] != details[1]
    assert all(detail.startswith("digest ") and "2026" not in detail for detail in details)


def test_acting_as_another_role_on_the_command_line(house: House, cdp) -> None:
    """Principals 3: ``--as who/role@node``; one that is not theirs is refused."""
    cdp("add-account", WHO, "--as", "operator/operator@kith")
    with pytest.raises(Refused, match="operator/operator@kith"):
        cdp("lock", WHO, "--as", "operator/compliance@kith")
    with pytest.raises(Stop, match="no_such_principal"):
        cdp("lock", WHO, "--as", "nobody/operator@kith")


def test_a_sync_says_how_many_changed(house: House, cdp) -> None:
    """A second one changes nothing."""
    assert cdp("sync") == {"changed": 0}
    with house.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.principal SET assignments = '{}' WHERE id = 'crm'"))
    assert cdp("sync") == {"changed": 1}
    assert cdp("sync") == {"changed": 0}


def moved(house: House, *entries: dict[str, object]) -> None:
    """Have cdp.yaml say that the clerk is a manager, crm is gone and others are new."""
    content = declaration()
    clerk, *others = (one for one in content["principals"] if one["id"] != "crm")
    principals = [{**clerk, "role": "manager"}, *others, *entries]
    path = house.workspace.settings.declaration
    house.workspace.__dict__["declaration"] = parse({**content, "principals": principals}, path)


def changes(house: House) -> list[tuple[str, str, str | None]]:
    """Events of principals that changed: who did it, as what, and what changed."""
    return [
        (one["actor"], one["role"], one["detail"])
        for one in house.retailer.events()
        if one["action"] == "principal.change"
    ]


NEW = {"id": "new", "roles": [{"role": "clerk", "node": one} for one in ("BJ01", "BJ02")]}
CHANGED = [
    "clerk.bj01: was clerk BJ01; is manager BJ01",
    "crm: was service kith to crm; is nobody",
    "new: was nobody; is clerk BJ01, clerk BJ02",
]


@pytest.mark.parametrize("by", ["operator", None])
def test_who_may_do_what_changes_with_an_event(house: House, cdp, by: str | None) -> None:
    """Administering 4: of each who changed what they were and what they are; once."""
    moved(house, NEW)
    named = ("--as", by) if by else ()
    assert cdp("sync", *named) == {"changed": 3}
    who = ("operator", "operator") if by else ("command-line", "platform")
    assert changes(house) == [(*who, one) for one in CHANGED]
    assert cdp("sync", *named) == {"changed": 0}
    assert len(changes(house)) == 3


@pytest.mark.parametrize("words", [("sync",), ("issue-key", "new"), ("add-account", "new")])
def test_a_refused_command_applies_nothing_of_cdp_yaml(house: House, cdp, words) -> None:
    """Administering 1: whoever may not configure changes nobody, whatever the file says."""
    moved(house, NEW)
    with pytest.raises(Refused, match="no_rule"):
        cdp(*words, "--as", "analyst")
    assert house.row("principal", id="new") is None
    assert house.row("principal", id="crm").assignments == ["service@kith"]
    assert changes(house) == []
    cdp(*words, "--as", "operator")
    assert len(changes(house)) == 3


def test_what_the_log_cannot_hold_is_told_by_its_digest(house: House, cdp) -> None:
    """Administering 4: many stores, or a number in an id, leave an event all the same."""
    many = [
        {"role": role, "node": node}
        for role in ("clerk", "manager")
        for node in ("BJ01", "BJ02", "SZ01")
    ]
    number = {"id": "emp-20260001", "role": "clerk", "node": "BJ01"}
    moved(house, {**NEW, "roles": many}, number)
    cdp("sync")
    told = [one[2] for one in changes(house)]
    assert told[2].startswith("digest ")
    assert told[3].startswith("new: was nobody; is 6 roles, digest ")


def test_a_key_with_scopes_is_rotated_and_revoked(house: House, cdp) -> None:
    """Keys 4 and 5 on the command line: scopes, successor, listing without a secret."""
    issued = cdp("issue-key", "crm", "--scope", "read", "--scope", "find", "--life", "30d")
    assert issued["scopes"] == ["find", "read"]
    successor = cdp("rotate-key", issued["id"], "--overlap", "24h")
    cdp("revoke-key", successor["id"], "--as", "operator")
    listed = {one["id"]: one for one in cdp("list-keys")}
    assert listed[successor["id"]]["state"] == "revoked"
    assert listed[successor["id"]]["scopes"] == ["find", "read"]
    assert listed[issued["id"]]["last_used_at"] is None
    assert not any(secret(one["key"]) in json.dumps(listed) for one in (issued, successor))
    with house.engine.begin() as connection:
        now, digests = house.workspace.now(), house.retailer.keys
        assert keys.authenticate(connection, digests, issued["key"], now) is not None
        assert keys.authenticate(connection, digests, successor["key"], now) is None


def secret(text: str) -> str:
    return text.rpartition("_")[2]


@pytest.mark.parametrize("text", ["", "h", "24", "24 h", "-1h", "1.5h", "1y", "99999h", "２４h"])
def test_a_duration_is_a_number_and_a_unit(text: str) -> None:
    """What cannot be read is refused with an example."""
    with pytest.raises(typer.BadParameter, match="such as 24h"):
        duration(text)
