"""``cdp worker`` as a service manager runs it: told to stop, killed, taken over, restarted."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.erasure.departing import Departing
from cdp.ingest.sync import sync
from cdp.running.ending import How
from cdp.running.jobs import SYNC
from cdp.running.worker import Terms, Worker, World
from cdp.storage.schema import job, sync_run
from cdp.workspace import Workspace
from tests.integration.in_process import run
from tests.integration.running.conftest import Opener
from tests.journeys import tills
from tests.journeys.commands import Outcome, Shell
from tests.journeys.state import contents

pytestmark = pytest.mark.integration
ROWS = 600
SOURCES = {"till": {**tills.TILL, "schedule": {"minutes": 1000}}}
SMALL = {"CDP_BATCH_ROWS": "10"}
COMMAND = ("worker", "run", "--no-resolve", "--lease", "3")
LONGEST = 90.0  # seconds


def newest(workspace: Workspace) -> Any:
    """The newest run of the till; None: there is none yet."""
    with workspace.engine.connect() as connection:
        asked = sa.select(sync_run).order_by(sync_run.c.id.desc()).limit(1)
        return connection.execute(asked).one_or_none()


def row(workspace: Workspace) -> Any:
    """The till's row of the table."""
    with workspace.engine.connect() as connection:
        return connection.execute(sa.select(job).where(job.c.source == "till")).one_or_none()


def until(process: subprocess.Popen[str], holds: Callable[[], bool], *, runs: bool = True) -> None:
    """Wait until something holds, as long as a command runs."""
    end = time.monotonic() + LONGEST
    while not holds():
        assert not runs or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def test_stopped_and_killed_it_ends_as_if_it_had_run_through(shop: Opener) -> None:
    """Worker 3 and 4, one run 3 and 4: SIGTERM, then kill -9 in the middle; then to its end."""
    whole, broken = shop(SOURCES), shop(SOURCES)
    for one in (whole, broken):
        tills.write_till(one.settings.declaration.parent, tills.crowd(ROWS))
    sync(whole, "till")
    settings = broken.settings
    shell = Shell(settings.declaration.parent, settings.database_url, settings.home, SMALL)

    process = shell.start(*COMMAND, "--json")
    until(process, lambda: bool((one := newest(broken)) and one.position))
    process.send_signal(signal.SIGTERM)
    stopped = shell.finish(process)
    assert stopped.code == 0, str(stopped)
    (told,) = stopped.json
    assert (told["job"], told["source"], told["broken_off"], told["done"]) == ("sync", "till", 1, 0)
    lines = [json.loads(line) for line in stopped.err.splitlines()]
    assert [one["event"] for one in lines] == ["worker_began", "run_ended", "worker_ended"]
    at = newest(broken).position
    assert (at % 10, newest(broken).finished_at) == (0, None)
    assert (row(broken).worker, row(broken).failures) == (None, 0)

    process = shell.start(*COMMAND)
    until(process, lambda: newest(broken).position > at)
    process.kill()
    shell.finish(process)
    killed = newest(broken)
    assert killed.finished_at is None
    assert row(broken).worker is not None

    worker = Worker(broken, Terms(poll=0.1, resolves=False), World(Departing()))
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(process, lambda: newest(broken).finished_at is not None, runs=False)
    until(process, lambda: row(broken).worker is None, runs=False)
    worker.stop()
    thread.join(LONGEST)
    assert worker.endings == {(SYNC, "till", How.DONE): 1}
    assert newest(broken).id == killed.id  # gone on with, not begun again
    assert contents(broken) == contents(whole)


def test_once_it_ends_by_itself_and_says_how(
    shop: Opener, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For cron: a source that fails is told, and makes the exit code 1; without any, refused."""
    workspace = shop(SOURCES)
    settings = workspace.settings
    environment = {
        "CDP_HOME": str(settings.home),
        "CDP_CONFIG": str(settings.declaration),
        "CDP_DATABASE_URL": str(settings.database_url),
    }

    def told(*arguments: str, code: int = 0) -> Outcome:
        return run(monkeypatch, capsys, arguments, environment, code)

    done = told("worker", "run", "--once", code=1)
    assert "cdp source status" in done.err
    assert "file_missing" in told("source", "status").out
    tills.write_declaration(settings.declaration.parent, tills.declaration(sources={}))
    assert "nothing_scheduled" in told("worker", "run", code=1).err
