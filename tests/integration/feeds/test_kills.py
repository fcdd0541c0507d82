"""`kill -9` at chance moments of a sync: the same command then gives the same result."""

import secrets
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import FOLLOWED, left, runs
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
ROWS = 600
KILLS = 3
SECRET = "SOURCE_KILLED"
CRM = {
    "connector": "sql",
    "table": "members",
    "mode": "incremental",
    "cursor": "changed",
    "record_id": "id",
    "deleted": {"column": "gone"},
    "fields": {"name": "name", "phone": "phone"},
    "credentials": {"dsn": f"env:{SECRET}"},
}


@pytest.fixture
def members(tmp_path: Path) -> str:
    """The address of a database of members, every tenth of whom is deleted."""
    path = tmp_path / "members.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE members (id INTEGER PRIMARY KEY, name, phone, changed, gone)")
    rows = [
        (n, "张敏", f"139{n:08}", f"2026-03-01 08:{n // 60 % 60:02}:00", int(n % 10 == 0))
        for n in range(ROWS)
    ]
    connection.executemany("INSERT INTO members VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture
def two(
    tmp_path: Path, databases: Databases, template: str, members: str
) -> Iterator[tuple[Workspace, Workspace]]:
    """Two workspaces under one key ring that follow these members, in small batches."""
    made: list[Workspace] = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        tills.write_declaration(folder, tills.declaration(sources={"crm": CRM}))
        ring = made[0].settings.key_ring if made else None
        workspace = tills.open_shop(folder, databases.copy(template), ring)
        workspace.settings.source_secrets[SECRET] = members  # type: ignore[index]
        made.append(workspace)
    yield made[0], made[1]
    for workspace in made:
        workspace.engine.dispose()


def test_killed_at_any_moment_a_feed_ends_as_if_it_had_run_through(
    two: tuple[Workspace, Workspace], members: str
) -> None:
    """Three kills at chance moments of a feed with deletions, then the same command."""
    whole, killed = two
    expected = sync(whole, "crm", departures=FOLLOWED.departures)
    assert expected.read == ROWS
    assert expected.accepted == ROWS  # deletions of what never was here change nothing
    shell = Shell(
        killed.settings.declaration.parent, killed.settings.database_url, killed.settings.home
    )
    settings = {SECRET: members, "CDP_BATCH_ROWS": "10"}
    for _ in range(KILLS):
        process = shell.start("source", "sync", "crm", **settings)
        began = len(runs(killed))
        while len(runs(killed)) == began and process.poll() is None:
            time.sleep(0.02)
        time.sleep(secrets.randbelow(600) / 1000)
        process.send_signal(signal.SIGKILL)
        shell.finish(process)
    [last] = shell.run("source", "sync", "crm", "--json", **settings).json
    assert last["read"] <= ROWS + 1
    assert left(killed) == left(whole)
    with killed.engine.connect() as connection:
        added = connection.scalar(sa.select(sa.func.sum(schema.sync_run.c.added)))
    assert added == expected.added
    [again] = shell.run("source", "sync", "crm", "--json", **settings).json
    assert (again["added"], again["changed"], again["deleted"]) == (0, 0, 0)
