"""``cdp reveal`` as people type it."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from cdp import logs
from cdp.cli import session
from cdp.cli.app import app
from cdp.errors import Refused
from tests.integration.access.shop import NATIONAL_ID, PHONE, VALUES
from tests.integration.reveals.house import REASON, House

pytestmark = pytest.mark.integration
FOR_FRAUD = ("--purpose", "fraud", "--reason", REASON)
Run = Callable[..., Result]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """The log, which a command writes to standard error."""
    before, out = structlog.get_config(), io.StringIO()
    logs.write_to(out)
    yield out
    structlog.configure(**before)


@pytest.fixture
def run(house: House, monkeypatch: pytest.MonkeyPatch, written: io.StringIO) -> Run:
    """Runs ``cdp ...`` in the workspace of the house."""
    monkeypatch.setattr(session, "open_workspace", lambda *_, **__: house.workspace)
    monkeypatch.setattr(session, "settings", lambda: house.workspace.settings)

    def invoke(*words: str) -> Result:
        done = CliRunner().invoke(app, list(words))
        if isinstance(done.exception, Exception):
            raise done.exception
        return done

    return invoke


def content(done: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(done.stdout)


def test_from_request_to_value(house: House, run: Run) -> None:
    """Each command in the order of the howto; the value is printed once, by one of them."""
    with pytest.raises(Refused, match="needs_approval"):
        run("reveal", "field", house.ada, "national_id", "--as", "headquarters", *FOR_FRAUD)
    words = ("reveal", "request", house.ada, "national_id", "--as", "headquarters", *FOR_FRAUD)
    asked = content(run(*words, "--json"))
    listed = content(run("reveal", "list", "--as", "officer", "--state", "open", "--json"))
    assert [one["id"] for one in listed] == [asked["id"]]
    with pytest.raises(Refused, match="own_request"):
        run("reveal", "approve", asked["id"], "--as", "headquarters")
    run("reveal", "approve", asked["id"], "--as", "officer", "--minutes", "5", "--comment", "Seen")
    status = run("reveal", "status", "--as", "headquarters").stdout
    assert "approved" in status
    assert not [value for value in VALUES if value in status]
    shown = run("reveal", "field", house.ada, "national_id", "--as", "headquarters", *FOR_FRAUD)
    assert NATIONAL_ID in shown.stdout
    assert "Clear the screen by 09:31:00 UTC" in shown.stderr
    counted = content(run("reveal", "status", "--as", "headquarters", "--json"))
    assert (counted["fields"], counted["people"], counted["sensitive"]) == (1, 1, 1)


def test_rejecting_and_withdrawing(house: House, run: Run) -> None:
    """Both end a request; who is not part of it hears that there is none."""
    for verb, who in (("reject", "officer"), ("withdraw", "headquarters")):
        words = ("request", house.ada, "national_id", "--as", "headquarters", *FOR_FRAUD)
        asked = content(run("reveal", *words, "--json"))["id"]
        with pytest.raises(Refused, match="no_such_request"):
            run("reveal", verb, asked, "--as", "manager.bj01")
        done = content(run("reveal", verb, asked, "--as", who, "--json"))
        assert done["state"] == {"reject": "rejected", "withdraw": "withdrawn"}[verb]


def test_a_broken_glass_is_hard_to_overlook(house: House, run: Run, written: io.StringIO) -> None:
    """Said at once, first in the status, and before every later answer until it is reviewed."""
    words = (house.ada, "national_id", "--as", "headquarters", *FOR_FRAUD, "--emergency")
    shown = run("reveal", "field", *words, "--json")
    assert content(shown)["value"] == NATIONAL_ID
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["event"] == "glass_broken"
    assert json.loads(line)["level"] == "warning"
    mine = content(shown)["request"]
    for who in ("headquarters", "officer"):
        status = run("reveal", "status", "--as", who).stdout
        assert status.startswith("GLASS BROKEN, NOT REVIEWED")
    later = run("profile", "show", house.ada, "--as", "headquarters", "--json")
    assert content(later)["profile_id"] == house.ada
    assert f"({mine}) and not reviewed" in later.stderr
    assert "GLASS" not in run("profile", "show", house.ada, "--as", "manager.bj01").stderr
    with pytest.raises(Refused, match="own_request"):
        run("reveal", "review", mine, "justified", "--as", "headquarters", "--comment", "Was so")
    assert CliRunner().invoke(app, ["reveal", "review", mine, "fine", "--as", "officer",
                                    "--comment", "x"]).exit_code == 2  # fmt: skip
    run("reveal", "review", mine, "justified", "--as", "officer", "--comment", "Seen the case")
    later = run("profile", "show", house.ada, "--as", "headquarters", "--json")
    assert "GLASS" not in later.stderr


def test_a_contact_field_needs_a_reason_alone(house: House, run: Run) -> None:
    """Under both names of the command; a reason with a number is refused."""
    for words in (("reveal", "field"), ("profile", "reveal")):
        done = run(*words, house.ada, "phone", "--as", "manager.bj01", "--reason", REASON, "--json")
        assert content(done)["value"] == PHONE
        with pytest.raises(Refused, match="detail_like_personal_number"):
            run(*words, house.ada, "phone", "--as", "manager.bj01", "--reason", f"call {PHONE}")
    assert not [value for value in VALUES if value in str(house.events())]


def test_the_roster_is_written_and_read(house: House, run: Run) -> None:
    """By who may configure; the day is a date."""
    tree = [
        {**one, **({"time_zone": "Asia/Shanghai"} if one["id"] == "kith" else {})}
        for one in house.written()["organisation"]
    ]
    house.declare(organisation=tree)
    by = ("--as", "operator")
    run("access", "roster", "set", "clerk.bj01", "BJ01", "2026-05-05", *by)
    listed = content(run("access", "roster", "list", "--json"))
    assert listed == [{"principal": "clerk.bj01", "day": "2026-05-05", "node": "BJ01"}]
    with pytest.raises(Refused, match="no_rule"):
        run("access", "roster", "clear", "clerk.bj01", "2026-05-05", "--as", "manager.bj01")
    assert house.events()[-1]["decision"] == "deny"
    run("access", "roster", "clear", "clerk.bj01", "2026-05-05", *by)
    assert content(run("access", "roster", "list", "--json")) == []
