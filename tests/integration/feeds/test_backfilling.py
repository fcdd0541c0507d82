"""A source read again: what it stands at stays, and nothing newer is replaced."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure.departing import Departing
from cdp.erasure.shredding import Eraser
from cdp.errors import Refused
from cdp.errors import Stop as PlatformStop
from cdp.ingest import feed_state
from cdp.ingest.backfilling import backfill
from cdp.ingest.reports import quiet
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.errors import Stop
from connectors.rewinding import like
from connectors.sources import sql_feed
from tests.integration.erasure.household import eraser
from tests.integration.feeds.deliveries import FEEDS, rows_of
from tests.integration.feeds.elsewhere import MEMBERS, Elsewhere
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.journeys.state import contents, rows_as_stored
from tests.journeys.tills import TILL, member, write_till

pytestmark = pytest.mark.integration

DECLARED: dict[str, Any] = {
    "crm": MEMBERS | {"deleted": {"column": "left_at"}},
    "whole": MEMBERS | {"mode": "full", "cursor": None},
    "shop": FEEDS["shop"],
    "till": TILL,
}
DEPARTING = Departing()
MARCH = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def crm(databases: Databases) -> Elsewhere:
    """Another database with members."""
    found = Elsewhere(databases.copy(None))
    for number in range(1, 7):
        found.put(number, number)
    return found


@pytest.fixture
def shop(
    tmp_path: Path,
    databases: Databases,
    template: str,
    crm: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workspace]:
    """A workspace that follows the members, three rows a page."""
    monkeypatch.setattr(sql_feed.SqlFeed.__init__, "__kwdefaults__", {"page": 3})
    sources = {
        name: {key: value for key, value in one.items() if value is not None}
        for name, one in DECLARED.items()
    }
    officer = {"id": "officer", "role": "compliance", "node": "kith"}
    folder = tmp_path / "shop"
    tills.write_declaration(folder, tills.declaration(sources=sources, principals=[officer]))
    opened = tills.with_batches(tills.open_shop(folder, databases.copy(template)), 3)
    secrets = {"SOURCE_DSN": crm.url}
    opened = replace(opened, settings=replace(opened.settings, source_secrets=secrets))
    yield opened
    opened.engine.dispose()


def synced(workspace: Workspace) -> dict[str, int]:
    report = sync(workspace, "crm", departures=DEPARTING)
    return {"read": report.read, "added": report.added, "changed": report.changed}


def again(workspace: Workspace, since: str | None = None, **more: Any) -> dict[str, int]:
    report = backfill(workspace, "crm", since, departures=DEPARTING, **more)
    told = ("read", "added", "changed", "unchanged", "superseded", "deleted", "shredded")
    return {name: getattr(report, name) for name in told if getattr(report, name)}


def states(workspace: Workspace) -> dict[str, bytes]:
    return {one.source: bytes(one.sealed) for one in rows_of(workspace, schema.source_state)}


def test_where_it_stands_stays_as_it_is(shop: Workspace, crm: Elsewhere) -> None:
    """All rows come again and change nothing; the next sync goes on as before (1, 4)."""
    assert synced(shop)["added"] == 6
    before, held = states(shop), contents(shop)
    crm.put(7, 7)
    assert again(shop) == {"read": 7, "added": 1, "unchanged": 6}
    assert states(shop) == before
    assert contents(shop)["order"][:6] == held["order"]
    assert synced(shop) == {"read": 2, "added": 0, "changed": 0}
    stored = rows_as_stored(shop.engine)
    assert again(shop) == {"read": 7, "unchanged": 7}
    after = rows_as_stored(shop.engine)
    for table in ("kith.sync_run", "kith.workspace"):
        del stored[table], after[table]
    assert stored == after


def test_what_a_sync_missed_is_found(shop: Workspace, crm: Elsewhere) -> None:
    """Rows that were written far below the cursor come by a backfill since then."""
    synced(shop)
    crm.put(9, 2)
    assert synced(shop)["added"] == 0
    assert again(shop, "2026-03-01T08:02:00Z") == {"read": 6, "added": 1, "unchanged": 5}
    assert again(shop, "2026-03-01 08:05") == {"read": 2, "unchanged": 2}


def test_an_older_row_replaces_nothing_newer(shop: Workspace, crm: Elsewhere) -> None:
    """A database put back to an older day does not bring older values back (2)."""
    crm.put(3, 30, "李娜")
    synced(shop)
    newest = contents(shop)["cells"]
    crm.put(3, 3, "张敏")
    assert again(shop) == {"read": 6, "unchanged": 5, "superseded": 1}
    assert contents(shop)["cells"] == newest


def test_a_deletion_that_is_read_again_destroys_nothing_newer(
    shop: Workspace, crm: Elsewhere
) -> None:
    """Deletions count by their order as rows do (2)."""
    synced(shop)
    crm.put(2, 9, left="2026-03-01 09:00Z")
    assert again(shop) == {"read": 6, "unchanged": 5, "deleted": 1}
    assert len(rows_of(shop, schema.record)) == 5


class PulledPlugError(Exception):
    """Stands for a process that ends in the middle."""


def pull(done: int, _expected: int | None) -> None:
    """End the run after its first batch."""
    if done:
        raise PulledPlugError


def test_broken_off_it_goes_on_from_where_it_was(shop: Workspace, crm: Elsewhere) -> None:
    """The next backfill reads the rest alone, and leaves no state behind (3)."""
    synced(shop)
    kept = states(shop)
    with pytest.raises(PulledPlugError):
        again(shop, progress=pull)
    assert set(states(shop)) == {"crm", feed_state.beside("crm")}
    assert states(shop)["crm"] == kept["crm"]
    with shop.engine.connect() as connection:
        assert feed_state.begun_backfill(connection, "crm")
    crm.put(8, 8)
    assert synced(shop)["added"] == 1  # a sync meanwhile knows nothing of it
    assert again(shop)["read"] == 4
    assert set(states(shop)) == {"crm"}
    assert again(shop)["read"] == 7


def test_since_another_place_it_begins_anew(shop: Workspace, crm: Elsewhere) -> None:
    """What was broken off since one place is not gone on with since another (3)."""
    synced(shop)
    with pytest.raises(PulledPlugError):
        again(shop, progress=pull)
    assert again(shop, "2026-03-01T08:05:00Z")["read"] == 2
    with pytest.raises(PulledPlugError):
        again(shop, "2026-03-01T08:01:00Z", progress=pull)
    assert again(shop)["read"] == 6


def test_a_reset_forgets_a_backfill_too(shop: Workspace) -> None:
    """Whoever begins again begins again with all of it."""
    synced(shop)
    with pytest.raises(PulledPlugError):
        again(shop, progress=pull)
    with shop.engine.begin() as connection:
        feed_state.forget(connection, "crm")
    assert states(shop) == {}


def test_a_destroyed_record_does_not_come_back(shop: Workspace) -> None:
    """Rows of it are counted as such, whatever is read again (4)."""
    synced(shop)
    officer = eraser(shop)
    assert isinstance(officer, Eraser)
    officer.shred("crm:4", "asked for")
    assert again(shop) == {"read": 6, "unchanged": 5, "shredded": 1}
    assert len(rows_of(shop, schema.record)) == 5


def test_a_file_is_read_whole_again(shop: Workspace) -> None:
    """The backfill of a file is a sync; it has no place to begin at."""
    write_till(shop.declaration.folder, [member("C1"), member("C2")])
    assert sync(shop, "till").added == 2
    assert backfill(shop, "till").unchanged == 2
    with pytest.raises(PlatformStop, match="no_cursor"):
        backfill(shop, "till", "2026-03-01")


def test_what_cannot_be_read_again_is_refused(shop: Workspace, crm: Elsewhere) -> None:
    """A stream on standard input, a cursor of no form, a table without a cursor."""
    with pytest.raises(PlatformStop, match="rows_are_piped"):
        backfill(shop, "shop")
    with pytest.raises(Stop, match="no_cursor"):
        backfill(shop, "whole", "2026-03-01")
    with pytest.raises(Stop, match="since_form") as refused:
        again(shop, "canary yesterday")
    assert "canary" not in str(refused.value)
    crm.run("DELETE FROM crm.members")
    with pytest.raises(Stop, match="no_rows"):
        again(shop, "2026-03-01")
    with only_one(shop.engine, "sync crm", "wait"), pytest.raises(Refused, match="already"):
        again(shop)


@pytest.mark.parametrize(
    ("example", "text", "read"),
    [
        (7, "12", 12),
        (Decimal(7), "12.50", Decimal("12.50")),
        (7.5, "1e2", 100.0),
        (dt.date(2026, 1, 1), "2026-03-01", dt.date(2026, 3, 1)),
        (dt.datetime(2026, 1, 1), "2026-03-01", dt.datetime(2026, 3, 1)),  # noqa: DTZ001
        (dt.datetime(2026, 1, 1), "2026-03-01T08:00+08:00", dt.datetime(2026, 3, 1)),  # noqa: DTZ001
        (MARCH - dt.timedelta(1), "2026-03-01", MARCH),
        ("2026-01-01T00:00", "2026-03-01", "2026-03-01"),
    ],
)  # fmt: skip
def test_a_place_is_read_as_the_cursor_is(example: Any, text: str, read: Any) -> None:
    """What a person writes becomes a value of the type of the column."""
    assert like(example, text) == read
    assert type(like(example, text)) is type(read)
    with pytest.raises((ValueError, ArithmeticError)):
        like(example, "yesterday")


def test_the_command_says_what_it_did(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """``cdp source backfill`` prints what came, and where a broken-off one goes on."""
    monkeypatch.setattr(session, "workspace", lambda *_: shop)
    synced(shop)
    done = CliRunner().invoke(app, ["source", "backfill", "crm", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["unchanged"] == 6
    with pytest.raises(PulledPlugError):
        again(shop, progress=pull)
    done = CliRunner().invoke(app, ["source", "backfill", "crm"])
    assert "goes on where it was broken off" in done.output
    assert "unchanged" in done.output
    assert quiet(0, None) is None
    with shop.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.source_state)) == 1
