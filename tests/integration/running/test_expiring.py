"""Events go in time while a worker runs: invariants of ``cdp/running/expiring.py``."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.erasure.departing import Departing
from cdp.errors import Stop
from cdp.resolution import inbound_upkeep
from cdp.resolution.inbound_upkeep import EXPIRED, expire_alone
from cdp.running.expiring import EVERY, Expiring
from cdp.running.worker import Terms, Worker, World
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from tests.integration.in_process import run
from tests.integration.running.conftest import Opener
from tests.journeys import tills

pytestmark = pytest.mark.integration
DAY = dt.timedelta(days=1)
WEB: dict[str, Any] = {
    "connector": "segment",
    "trust": "events",
    "credentials": {"write_key": "env:SOURCE_BROWSER"},
    "keep_events": 30,
}
ONCE = Terms(poll=0.01, once=True)


def fill(workspace: Workspace, days: int, count: int = 5, first: int = 0) -> None:
    """Events that came so many days ago."""
    at = workspace.now() - days * DAY
    rows = [
        {"source": "web", "message": bytes([first + n]), "kind": "track", "name": "Order",
         "subject": b"s", "properties": {}, "purposes": [], "occurred_at": at, "received_at": at}
        for n in range(count)
    ]  # fmt: skip
    with workspace.engine.begin() as connection:
        connection.execute(schema.event.insert(), rows)


def left(workspace: Workspace) -> int:
    """How many events there are."""
    with workspace.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.event)) or 0


def noted(workspace: Workspace) -> int:
    """How many removals stand in the audit log."""
    table = schema.audit_event
    of = sa.select(sa.func.count()).select_from(table).where(table.c.action == EXPIRED)
    with workspace.engine.connect() as connection:
        return connection.scalar(of) or 0


@pytest.fixture
def web(shop: Opener, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two events are removed in a step; five are over."""
    monkeypatch.setattr(inbound_upkeep, "AT_ONCE", 2)
    workspace = shop({"till": {**tills.TILL, "schedule": {"minutes": 1000}}, "web": WEB})
    fill(workspace, 31)
    fill(workspace, 29, first=100)
    return workspace


def test_a_worker_removes_what_is_over(web: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """Invariant 1: before it ends; what is kept for longer stays, it is audited and told."""
    Worker(web, ONCE, World(Departing())).run()
    assert (left(web), noted(web)) == (5, 1)
    told = "".join(capfd.readouterr())
    assert ("events_expired" in told, "withheld" in told) == (True, False)
    Worker(web, ONCE, World(Departing())).run()
    assert (left(web), noted(web)) == (5, 1)


def test_it_is_done_in_steps_once_an_hour_by_one(web: Workspace) -> None:
    """Invariant 1: what was broken off is gone on with; another looks away meanwhile."""
    clock = [0.0]
    declared = web.declaration
    expiring, other = (Expiring(web, lambda: clock[0]) for _ in range(2))
    assert (expiring.step(declared), left(web)) == (True, 8)
    assert (other.step(declared), left(web)) == (False, 8)
    expiring.close()
    clock[0] += EVERY
    assert (other.step(declared), left(web)) == (True, 6)
    assert [other.step(declared) for _ in range(3)] == [True, False, False]
    assert (left(web), expiring.step(declared)) == (5, False)
    fill(web, 31, 1, first=50)
    assert (expiring.step(declared), left(web)) == (False, 6)
    clock[0] += EVERY
    assert (expiring.step(declared), left(web)) == (True, 5)
    expiring.close()


def test_how_long_is_read_as_it_is_now(web: Workspace) -> None:
    """Invariant 2: kept for longer from now on, also in the midst of it."""
    old = web.declaration
    longer = replace(old, sources={"web": replace(old.sources["web"], keep_events=60)})
    expiring = Expiring(web, lambda: 0.0)
    assert expiring.step(old)
    assert not expiring.step(longer)
    assert left(web) == 8
    assert list(expire_alone(web, old)) == [2, 1]


def test_whatever_goes_wrong_with_it_ends_no_worker(
    web: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariant 3: it is told, and tried again; with the database away at once when it is back."""

    def fail(*_: object) -> None:
        raise Stop("audit_broken", "mend it")

    with monkeypatch.context() as broken:
        broken.setattr(inbound_upkeep.log, "append", fail)
        Worker(web, ONCE, World(Departing())).run()
    assert "audit_broken" in "".join(capsys.readouterr())
    away = [True]

    def append(*given: Any, real: Any = inbound_upkeep.log.append) -> None:
        if away.pop() if away else False:
            raise sa.exc.OperationalError("", None, Exception())
        real(*given)

    monkeypatch.setattr(inbound_upkeep.log, "append", append)
    expiring = Expiring(web, lambda: 0.0)
    with pytest.raises(sa.exc.OperationalError):
        expiring.step(web.declaration)
    with only_one(web.engine, "expire events", "it was let go"):
        pass
    assert expiring.step(web.declaration)
    expiring.close()


def test_a_worker_has_work_where_all_sources_are_sent(
    shop: Opener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is scheduled, and events go in time all the same."""
    workspace = shop({"web": WEB})
    fill(workspace, 31)
    settings = workspace.settings
    environment = {
        "CDP_HOME": str(settings.home),
        "CDP_CONFIG": str(settings.declaration),
        "CDP_DATABASE_URL": str(settings.database_url),
    }
    run(monkeypatch, capsys, ("worker", "run", "--once"), environment, 0)
    assert left(workspace) == 0
