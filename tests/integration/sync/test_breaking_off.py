"""Syncing: broken off or killed, then gone on with."""

import signal
import time

import pytest
import sqlalchemy as sa

from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.sync.deliveries import DOUBLES, Opener, deliver, folder_of
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.state import contents
from tests.journeys.tills import member, write_declaration, write_till

pytestmark = pytest.mark.integration


class PulledPlugError(Exception):
    """Stands for a process that ends in the middle."""


def break_off(workspace: Workspace, after: int) -> None:
    """Sync the till and end after so many committed rows."""

    def pull(done: int, _expected: int | None) -> None:
        if done >= after:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        sync(workspace, "till", pull)


def test_a_sync_goes_on_where_it_broke_off(shop: Opener) -> None:
    """After a break, the rest is read, and the result is that of one run (invariant 1)."""
    whole, broken = shop(), tills.with_batches(shop(), 2)
    for workspace in (whole, broken):
        write_till(folder_of(workspace), DOUBLES)
    expected = sync(whole, "till")
    break_off(broken, 2)
    break_off(broken, 4)
    report = sync(broken, "till")
    assert report.resumed_at == 4
    assert {**report.to_dict(), "resumed_at": 0} == expected.to_dict()
    assert contents(broken) == contents(whole)


def test_a_file_that_came_back_is_read_again_from_its_first_row(shop: Opener) -> None:
    """An old broken-off run is not gone on with once other content was read after it."""
    workspace = tills.with_batches(shop(), 1)
    old = (member("C1"), member("C2", phone="13700000002"))
    write_till(folder_of(workspace), old)
    break_off(workspace, 1)
    deliver(workspace, member("C1", phone="13800001111"), old[1])
    report = deliver(workspace, *old)
    state = contents(workspace)
    assert report.resumed_at == 0
    assert "13957140286" in state["cells"][state["order"][0], "contact.phone"]


def test_another_mapping_starts_from_the_first_row(shop: Opener) -> None:
    """A mapping changed while a sync was broken off holds for every row."""
    workspace = tills.with_batches(shop(), 1)
    rows = [member("C1", email="one@example.com"), member("C2", email="two@example.com")]
    write_till(folder_of(workspace), rows)
    break_off(workspace, 1)
    fewer = {k: v for k, v in tills.TILL["fields"].items() if k != "email"}
    write_declaration(
        folder_of(workspace), tills.declaration(sources={"till": {**tills.TILL, "fields": fewer}})
    )
    changed = tills.open_shop(folder_of(workspace), str(workspace.settings.database_url))
    report = sync(changed, "till")
    state = contents(changed)
    changed.engine.dispose()
    assert (report.added, report.changed) == (1, 1)
    assert not {field for _, field in state["cells"]} & {"contact.email"}


ROWS = 900
MOMENTS = (60, 410, 830)  # committed rows at which the process is killed


def test_killed_at_any_moment_it_ends_as_if_it_had_run_through(shop: Opener) -> None:
    """`kill -9` in the middle of a sync, then the same command: the same result."""
    whole, killed = shop(), shop()
    rows = [*tills.crowd(ROWS), *DOUBLES]
    for workspace in (whole, killed):
        write_till(folder_of(workspace), rows)
    expected = sync(whole, "till")
    shell = Shell(folder_of(killed), killed.settings.database_url, killed.settings.home)
    for moment in MOMENTS:
        process = shell.start("source", "sync", "till", CDP_BATCH_ROWS="10")
        wait_for_rows(killed.engine, process, moment)
        process.send_signal(signal.SIGKILL)
        shell.finish(process)
        assert process.returncode == -signal.SIGKILL
    last = shell.run("source", "sync", "till", "--json")
    [report] = last.json
    assert report["resumed_at"] >= MOMENTS[-1]
    assert {**report, "resumed_at": 0} == expected.to_dict()
    assert contents(killed) == contents(whole)
    again = shell.run("source", "sync", "till")
    assert "Nothing changed" in again.err


def wait_for_rows(engine: sa.Engine, process: object, wanted: int) -> None:
    """Wait until a running sync has committed so many rows."""
    newest = sa.select(sa.func.coalesce(sa.func.max(schema.sync_run.c.position), 0))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while True:
            assert process.poll() is None, "it ended before it could be killed"  # type: ignore[attr-defined]
            if int(connection.scalar(newest) or 0) >= wanted:
                return
            time.sleep(0.01)
