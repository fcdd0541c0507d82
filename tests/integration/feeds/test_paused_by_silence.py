"""A worker, a table that went quiet, and a person who resumes it."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.erasure.departing import Departing
from cdp.running import jobs
from cdp.running.standing import SourceStanding, standings
from cdp.running.worker import Terms, Worker, World
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration import in_process
from tests.integration.feeds.deliveries import rows_of
from tests.integration.feeds.elsewhere import MEMBERS, Elsewhere
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
ONCE = Terms(poll=0.05, once=True, resolves=False)
SECRET = "SOURCE_DSN"
TWO_DAYS = 2 * 24 * 60  # minutes


def standing(workspace: Workspace) -> SourceStanding:
    with workspace.engine.connect() as connection:
        now = jobs.database_clock(connection)
        [found] = standings(connection, workspace.declaration, ["crm"], now)
    return found


def work(workspace: Workspace) -> SourceStanding:
    """Have a worker do what is due."""
    Worker(workspace, ONCE, World(Departing())).run()
    return standing(workspace)


def test_it_pauses_once_keeps_its_rows_and_goes_on(
    tmp_path: Path,
    databases: Databases,
    template: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The operator knows, and what still comes is taken in; it is told, and pauses no more."""
    crm = Elsewhere(databases.copy(None))
    crm.put(1, 1)
    contract = {"freshness": {"column": "updated_at", "days": 7}}
    entry: dict[str, Any] = {**MEMBERS, "contract": contract, "schedule": {"minutes": 1000}}
    folder = tmp_path / "quiet"
    tills.write_declaration(folder, tills.declaration(sources={"crm": entry}))
    workspace = tills.open_shop(folder, databases.copy(template))
    workspace.settings.source_secrets[SECRET] = crm.url  # type: ignore[index]
    paused = work(workspace)
    assert (paused.state, paused.rule) == ("paused", "contract_freshness")
    assert "cdp source resume" in str(paused.next_step)
    assert len(rows_of(workspace, schema.record)) == 1
    settings = workspace.settings
    environment = {
        "CDP_HOME": str(settings.home),
        "CDP_CONFIG": str(settings.declaration),
        "CDP_DATABASE_URL": str(settings.database_url),
    }
    told = in_process.run(
        monkeypatch, capsys, ("source", "resume", "crm", "--json"), environment, 0
    )
    assert told.json == {"source": "crm", "resumed": True, "accepted": 1}
    crm.put(2, TWO_DAYS)
    going = work(workspace)
    assert going.state == "paused"  # newer rows came, and are old too: that is another breach
    crm.put(3, TWO_DAYS + 1)
    in_process.run(monkeypatch, capsys, ("source", "resume", "crm"), environment, 0)
    for _ in range(2):
        with workspace.engine.begin() as connection:
            connection.execute(sa.update(schema.job).values(due_at=jobs.database_clock(connection)))
        going = work(workspace)
        assert (going.state, going.rule) == ("waiting", None)
        assert [(one.found.rule, one.accepted) for one in going.findings] == [
            ("contract_freshness", True)
        ]
    assert len(rows_of(workspace, schema.record)) == 3
    workspace.engine.dispose()
