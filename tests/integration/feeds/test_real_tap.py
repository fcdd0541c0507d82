"""A Singer tap as it is published feeds Kith, and goes on from the state that comes back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import SHOP, rows_of
from tests.journeys import tills
from tests.journeys.commands import COMMAND, LONGEST, Shell
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
ELSEWHERE = Path(sys.prefix) / "elsewhere"
TAP = ELSEWHERE / "bin" / "tap-postgres"
MEMBERS = """
    CREATE TABLE member (
        id bigint PRIMARY KEY, name text, phone text, email text, changed_at timestamptz NOT NULL
    );
    INSERT INTO member SELECT n, '张敏', '139' || lpad(n::text, 8, '0'), 'm' || n || '@example.com',
        timestamptz '2026-05-01 08:00Z' + n * interval '1 minute' FROM generate_series(1, 40) n
"""


@pytest.fixture
def crm(databases: Databases) -> Iterator[sa.Engine]:
    """Somebody else's database, with a table of members."""
    engine = sa.create_engine(databases.copy(None))
    with engine.begin() as connection:
        connection.execute(sa.text(MEMBERS))
    yield engine
    engine.dispose()


@pytest.fixture
def tapped(tmp_path: Path, databases: Databases, template: str) -> Iterator[Workspace]:
    """A workspace whose source is what the tap reads."""
    folder = tmp_path / "tapped"
    source = {**SHOP, "table": "public-member", "mode": "incremental", "cursor": "changed_at"}
    tills.write_declaration(folder, tills.declaration(sources={"crm": source}))
    workspace = tills.open_shop(folder, databases.copy(template))
    yield workspace
    workspace.engine.dispose()


def address_of(crm: sa.Engine) -> str:
    """The address of a database as the tap wants it: with a host and a password, needed or not."""
    url = crm.url
    named = url.set(host=url.host or "localhost", password=url.password or "none")
    return named.render_as_string(hide_password=False)


class Piped:
    """tap-postgres, and what takes in what it writes."""

    def __init__(self, workspace: Workspace, crm: sa.Engine, folder: Path) -> None:
        self._folder = folder
        settings = workspace.settings
        self._shell = Shell(settings.declaration.parent, settings.database_url, settings.home)
        url = address_of(crm)
        config = {"sqlalchemy_url": url, "filter_schemas": ["public"]}
        (folder / "config.json").write_text(json.dumps(config))
        told, words = self._start("--discover").communicate(timeout=LONGEST)
        assert told, words
        found = json.loads(told)
        for stream in found["streams"]:
            stream |= {"replication_method": "INCREMENTAL", "replication_key": "changed_at"}
            for part in stream["metadata"]:
                part["metadata"]["selected"] = True
        (folder / "catalog.json").write_text(json.dumps(found))

    def run(self) -> Any:
        """Pipe one run, from the last state on; the report."""
        state = self._folder / "state.json"
        known = ("--state", str(state)) if state.exists() else ()
        tap = self._start("--catalog", str(self._folder / "catalog.json"), *known)
        done = subprocess.run(
            [*COMMAND, "ingest", "singer", "--source", "crm", "--json"],
            cwd=self._shell.folder,
            env=self._shell.environment(),
            stdin=tap.stdout,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        _, words = tap.communicate(timeout=LONGEST)
        assert (tap.returncode, done.returncode) == (0, 0), words + done.stderr
        state.write_text(done.stdout.splitlines()[-1])
        return json.loads(done.stderr.splitlines()[-1])

    def _start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(TAP), "--config", str(self._folder / "config.json"), *words],
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def test_tap_postgres_feeds_a_source(tapped: Workspace, crm: sa.Engine, tmp_path: Path) -> None:
    """All of a table; then from the state what changed since, and nothing else."""
    if not (ELSEWHERE / ".installed").exists():
        lacks = "meltanolabs-tap-postgres is not installed: make test fetches it"
        assert "CI" not in os.environ, lacks
        pytest.skip(lacks)
    piped = Piped(tapped, crm, tmp_path)
    report = piped.run()
    assert (report["added"], report["rejected"], report["read"]) == (40, 0, 40)
    with crm.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE member SET phone = '13900000999', changed_at = '2026-06-01Z' WHERE id = 7;"
                "INSERT INTO member VALUES (41, '李丽', '13900000041', '', '2026-06-02Z')"
            )
        )
    report = piped.run()
    assert (report["added"], report["changed"], report["rejected"]) == (1, 1, 0)
    assert report["read"] < 5  # a tap gives what stands at its state once more
    assert len(rows_of(tapped, schema.record)) == 41
