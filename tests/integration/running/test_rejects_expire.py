"""Rejected rows go in time, of whatever source: ``cdp/ingest/reject_upkeep.py``."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure.departing import Departing
from cdp.errors import Refused, Stop
from cdp.ingest import reject_upkeep
from cdp.ingest.feed_sync import FROZEN
from cdp.ingest.reject_upkeep import EXPIRED, expire_alone, held
from cdp.ingest.sync import sync
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.running.expiring import EVERY, Expiring
from cdp.running.worker import Terms, Worker, World
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.declaration import KEEP_REJECTED
from connectors.record import Sensitive
from tests.integration.running.conftest import Opener
from tests.journeys import tills

pytestmark = pytest.mark.integration
DAY = dt.timedelta(days=1)
HOOK: dict[str, Any] = {
    "connector": "webhook",
    "signature": {"scheme": "standard"},
    "credentials": {"secret": "env:SOURCE_CRM"},
    "record_id": "id",
    "fields": {"phone": "phone"},
    "consent": {"basis": "membership", "purposes": ["service"]},
    "keep_rejected": 30,
}
SOURCES = {"till": {**tills.TILL, "schedule": {"minutes": 1000}}, "crm": HOOK}


def reject(workspace: Workspace, source: str, days: int, rows: int = 3, rule: str = "bad") -> None:
    """Rows that were rejected so many days ago."""
    aside = [
        SetAside(n, "", rule, "no step", Sensitive(f"{source} {n}"), None, f"hook {days} {rule}")
        for n in range(rows)
    ]
    with workspace.engine.begin() as connection:
        at = workspace.now() - days * DAY
        write_set_aside(connection, workspace.vault, source, "", aside, at)


def left(workspace: Workspace) -> dict[str, int]:
    """How many rejected rows there are, by source."""
    counted = sa.select(schema.reject.c.source, sa.func.count()).group_by(schema.reject.c.source)
    with workspace.engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(counted)}


def noted(workspace: Workspace) -> list[str]:
    """Who removed any, as the audit log has it."""
    table = schema.audit_event.c
    with workspace.engine.connect() as connection:
        lines = connection.scalars(sa.select(table.line).where(table.action == EXPIRED))
        return sorted(json.loads(line)["actor"] for line in lines)


@pytest.fixture
def kept(shop: Opener, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two rows are removed in a step; of each source three are over their time, and three not."""
    monkeypatch.setattr(reject_upkeep, "AT_ONCE", 2)
    workspace = shop(SOURCES)
    for source, days in (("crm", 30), ("till", KEEP_REJECTED), ("gone", KEEP_REJECTED)):
        reject(workspace, source, days + 1)
        reject(workspace, source, days - 1)
    return workspace


def test_a_worker_removes_what_is_over(kept: Workspace) -> None:
    """Invariants 1 and 3: as each source says, files and webhooks, declared or not; audited."""
    Worker(kept, Terms(poll=0.01, once=True), World(Departing())).run()
    assert left(kept) == {"crm": 3, "till": 3, "gone": 3}
    actors = ["source:crm", "source:gone", "source:till"]
    assert noted(kept) == actors
    Worker(kept, Terms(poll=0.01, once=True), World(Departing())).run()
    assert noted(kept) == actors


def test_a_deletion_that_waits_for_a_person_stays(kept: Workspace) -> None:
    """Invariant 2: of a frozen record that its source deleted."""
    reject(kept, "crm", 31, 2, rule=FROZEN)
    assert sum(expire_alone(kept, kept.declaration)) == 9
    assert left(kept)["crm"] == 5
    with kept.engine.connect() as connection:
        [crm] = held(connection, kept.declaration, ["crm"], kept.now())
    assert (crm.rows, crm.over) == (5, 0)


def test_values_set_aside_go_with_their_records_alone(shop: Opener) -> None:
    """They are no rejected rows: a record goes on without each."""
    workspace = shop(SOURCES)
    row = tills.member("C1", phone="12", name="张敏")
    tills.write_till(workspace.settings.declaration.parent, [row])
    assert sync(workspace, "till").set_aside == 1
    old = sa.update(schema.reject).values(at=workspace.now() - 9999 * DAY)
    with workspace.engine.begin() as connection:
        connection.execute(old)
        assert held(connection, workspace.declaration, ["till"], workspace.now()) == []
    assert list(expire_alone(workspace, workspace.declaration)) == []
    assert left(workspace) == {"till": 1}


def test_it_is_gone_on_with_where_it_was_broken_off(kept: Workspace) -> None:
    """Invariant 3: a step is a transaction, how long is read as it is now, others look away."""
    clock = [0.0]
    old = kept.declaration
    longer = replace(old, sources={"crm": replace(old.sources["crm"], keep_rejected=60)})
    expiring, other = (Expiring(kept, lambda: clock[0]) for _ in range(2))
    assert (expiring.step(old), left(kept)["crm"]) == (True, 4)
    assert (other.step(old), left(kept)["crm"]) == (False, 4)
    with pytest.raises(Refused, match="already_running"):
        list(expire_alone(kept, old))
    assert (expiring.step(longer), left(kept)["crm"]) == (True, 4)  # rows of gone, meanwhile
    expiring.close()
    clock[0] += EVERY
    assert other.step(old)
    assert left(kept)["crm"] == 3
    other.close()


def test_whatever_goes_wrong_with_it_ends_no_worker(
    kept: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariant 3: without an audit event nothing goes, and it is told."""

    def fail(*_: object) -> None:
        raise Stop("audit_broken", "mend it")

    with monkeypatch.context() as broken:
        broken.setattr(reject_upkeep.log, "append", fail)
        Worker(kept, Terms(poll=0.01, once=True), World(Departing())).run()
    assert "audit_broken" in "".join(capsys.readouterr())
    assert left(kept) == {"crm": 6, "till": 6, "gone": 6}


def test_commands_say_and_remove_what_is_over(
    kept: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status tells how many there are; a rehearsal removes nothing; one source or all."""
    monkeypatch.setattr(session, "workspace", lambda: kept)

    def told(*arguments: str, code: int = 0, both: bool = False) -> str:
        done: Result = CliRunner().invoke(app, ["source", *arguments])
        assert done.exit_code == code, done.output
        return done.output if both else done.stdout

    [shown] = json.loads(told("status", "crm", "--json"))
    assert [shown["rejected_rows"][name] for name in ("kept_for", "rows", "over")] == [30, 6, 3]
    page = told("status", both=True)
    assert "Rejected rows that are kept" in page
    assert "cdp source rejects --expire" in page
    told("rejects", "--dry-run", code=1)
    for rehearse in (["--dry-run"], []):
        assert left(kept)["crm"] == 6
        [one] = json.loads(told("rejects", "crm", "--expire", "--json", *rehearse))
        assert (one["over"], one["dry_run"]) == (3, bool(rehearse))
    assert left(kept) == {"crm": 3, "till": 6, "gone": 6}
    assert "Rejected rows over their time" in told("rejects", "--expire")
    assert left(kept) == {"crm": 3, "till": 3, "gone": 3}
    with only_one(kept.engine, "expire rejected rows", "wait"):
        told("rejects", "--expire", code=1)
