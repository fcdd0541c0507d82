"""Rejected rows tried again: stored where they are good now, and nothing newer replaced."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure.departing import Departing
from cdp.errors import Refused
from cdp.ingest import replaying
from cdp.ingest.feed_sync import Following
from cdp.ingest.replayed import Replayed
from cdp.ingest.replaying import replay_rows
from cdp.ingest.reports import SyncReport, quiet
from cdp.ingest.sync import sync
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from connectors.base import Deleted
from connectors.feed_rows import FeedRows
from connectors.possible_ids import kept as kept_as
from connectors.record import Sensitive
from tests.integration.erasure.household import eraser
from tests.integration.erasure.test_rejected_rows import kept
from tests.integration.feeds.deliveries import FEEDS, deliver, rows_of
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.journeys.state import contents, rows_as_stored
from tests.journeys.tills import APP, TILL, member, write_app, write_till

pytestmark = pytest.mark.integration

WHO = [
    {"id": "officer", "role": "compliance", "node": "kith"},
    {"id": "operator", "role": "operator", "node": "kith"},
]
SOURCES = {"till": TILL, "app": APP, "shop": FEEDS["shop"]}
ASKS = {"contract": {"fields": {"email": {"required": True}}}}  # a row without is rejected
CALLED = {"contract": {"fields": {"phone": {"required": True}}}}
BOUND = {"contract": {"columns": {"spent": {"type": "decimal", "range": {"most": 5}}}}}
MAIL = "m@example.com"


def declare(folder: Path, **more: dict[str, Any]) -> None:
    """Write the declaration, with more said of some sources."""
    sources = {name: one | more.get(name, {}) for name, one in SOURCES.items()}
    tills.write_declaration(folder, tills.declaration(sources=sources, principals=WHO))


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Workspace]:
    """A workspace with a till, an app and a feed, each with a contract."""
    folder = tmp_path / "shop"
    declare(folder, till=ASKS, app=CALLED, shop=ASKS)
    opened = tills.open_shop(folder, databases.copy(template))
    yield opened
    opened.engine.dispose()


def today(workspace: Workspace, **more: dict[str, Any]) -> Workspace:
    """The same workspace under another declaration."""
    declare(workspace.declaration.folder, **more)
    return tills.reopen(workspace, workspace.settings)


def replayed(workspace: Workspace, source: str = "till", **more: Any) -> dict[str, Any]:
    """What became of the rejected rows, without what is nothing."""
    done = replay_rows(workspace, source, **more).to_dict()
    return {name: one for name, one in done.items() if one and name != "source"}


def delivered(workspace: Workspace, *rows: Any) -> int:
    write_till(workspace.declaration.folder, rows)
    return sync(workspace, "till").rejected


def fed(workspace: Workspace, number: str, order: int | None, **cells: str) -> Any:
    """A row of the feed, mapped as the feed maps it."""
    rows = FeedRows(workspace.declaration.source("shop"))
    whole = {"id": number, "name": "张敏", **cells}
    return rows.row(1, whole, lambda: "\t".join(whole.values()), order=order)


def arrive(workspace: Workspace, *rows: Any) -> SyncReport:
    """The feed gives these, whatever it gave before."""
    return deliver(workspace, rows, how=Following(departures=Departing(), resumes=False))


def left(workspace: Workspace) -> int:
    """How many whole rows are rejected."""
    return sum(one.record_id is None for one in rows_of(workspace, schema.reject))


def test_a_row_that_is_good_now_is_stored_as_a_sync_would(shop: Workspace) -> None:
    """The contract was loosened: the rows come in, and the next sync knows them (1)."""
    rows = [member("C1", email=MAIL), member("C2"), member("C3", phone="12")]
    assert delivered(shop, *rows) == 2
    shop = today(shop)
    assert replayed(shop) == {"tried": 2, "stored": 2}
    assert [one.field for one in rows_of(shop, schema.reject)] == ["phone"]
    before = contents(shop)
    report = sync(shop, "till")
    assert (report.unchanged, report.rejected, report.nothing_new) == (3, 0, True)
    assert contents(shop) == before
    assert replayed(shop) == {}


def test_lines_kept_by_an_earlier_release_are_read(shop: Workspace) -> None:
    """Of JSON lines the line is enough; of a line that is broken nothing is (1, 4)."""
    line = json.dumps({"openid": "o1", "name": "张敏"})
    aside = [
        SetAside(place, "", rule, "x", Sensitive(text), None)
        for place, (rule, text) in enumerate(
            [("old", line), ("not_json", line[:-1]), (replaying.SAME_ID, line)], start=1
        )
    ]
    with shop.engine.begin() as connection:
        write_set_aside(connection, shop.vault, "app", "f" * 64, aside, shop.now())
        write_set_aside(connection, shop.vault, "till", "f" * 64, aside[:1], shop.now())
    shop = today(shop)
    assert replayed(shop, "app") == {"tried": 3, "stored": 1, "not_replayable": 2, "left": 2}
    assert replayed(shop) == {"tried": 1, "not_replayable": 1, "left": 1}
    assert left(shop) == 3


def test_an_older_row_never_replaces_a_newer_one(shop: Workspace) -> None:
    """A row goes in by its order: 5 is void beside 9, and 9 replaces 7 (2)."""
    arrive(shop, fed(shop, "C1", 5, phone="13900000001"), fed(shop, "C2", 9))
    arrive(shop, fed(shop, "C1", 5), fed(shop, "C1", 9, email=MAIL), fed(shop, "C2", 7, email=MAIL))
    shop = today(shop)
    was = contents(shop)["records"]
    assert replayed(shop, "shop") == {"tried": 3, "stored": 1, "superseded": 2}
    now = contents(shop)["records"]
    assert [one["revision"] for one in now.values()] == [1, 2]
    assert next(iter(was.values())) == next(iter(now.values()))
    report = arrive(shop, fed(shop, "C1", 5), fed(shop, "C2", 9))
    assert (report.added, report.changed) == (0, 0)


def test_of_several_rows_of_one_record_the_newest_goes_in(shop: Workspace) -> None:
    """Whatever order they were rejected in, one row is left (2)."""
    arrive(shop, *(fed(shop, "C1", order, name=f"张{order}") for order in (5, 9, 7)))
    assert replayed(today(shop), "shop") == {"tried": 3, "stored": 1, "superseded": 2}


def test_without_an_order_what_is_stored_stays(shop: Workspace) -> None:
    """Nobody can tell which is newer: the row waits; one that says the same is settled (2)."""
    arrive(shop, fed(shop, "C1", None), fed(shop, "C2", None))
    arrive(shop, fed(shop, "C1", None, email=MAIL))
    before = contents(shop)["cells"]
    shop = today(shop)
    assert replayed(shop, "shop") == {"tried": 2, "stored": 1, "already_there": 1, "left": 1}
    assert {name: before[name] for name in before} == {
        name: one for name, one in contents(shop)["cells"].items() if name in before
    }
    assert delivered(today(shop, till=ASKS), member("C7")) == 1
    shop = today(shop)
    sync(shop, "till")  # stores the very row
    write_again(shop, member("C7"))
    assert replayed(shop) == {"tried": 1, "unchanged": 1}


def write_again(workspace: Workspace, row: dict[str, str]) -> None:
    """Set the row aside as it was: its sync settled it before the replay."""
    whole = kept_as(row["card"], "", json.dumps(row))
    aside = SetAside(1, "", "old", "x", Sensitive(whole), None)
    with workspace.engine.begin() as connection:
        write_set_aside(connection, workspace.vault, "till", "f" * 64, [aside], workspace.now())


def test_a_record_that_its_source_deleted_is_not_brought_back(shop: Workspace) -> None:
    """The deletion came after the row; without an order the row waits (3)."""
    arrive(shop, fed(shop, "C1", 5), fed(shop, "C2", 9))
    arrive(shop, Deleted("shop", 1, Sensitive("C1"), 8), Deleted("shop", 2, Sensitive("C2"), 8))
    shop = today(shop)
    assert replayed(shop, "shop") == {"tried": 2, "stored": 1, "superseded": 1}
    assert len(rows_of(shop, schema.record)) == 1


def test_a_destroyed_record_is_not_revived(shop: Workspace) -> None:
    """A rejected row that outlived its record goes, and nothing of it comes in (3)."""
    assert delivered(shop, member("C1", email=MAIL)) == 0
    assert delivered(shop, member("C1")) == 1
    [row] = rows_of(shop, schema.reject)
    eraser(shop).shred("till:C1", "asked for")
    with shop.engine.begin() as connection:
        again = {name: said for name, said in row._mapping.items() if name != "id"}
        connection.execute(schema.reject.insert().values(again))
    assert len(kept(shop)) == 1
    shop = today(shop)
    assert replayed(shop) == {"tried": 1, "shredded": 1}
    assert rows_of(shop, schema.record) == []
    assert left(shop) == 0


def test_what_is_still_bad_stays_under_the_rule_of_today(shop: Workspace) -> None:
    """Another contract, another rule; and a second replay changes nothing (4)."""
    stray = [*member("C3").values(), "stray"]
    assert delivered(shop, member("C1"), member("C2", spent="3"), stray) == 3
    shop = today(shop, till=BOUND)
    done = replayed(shop)
    assert (done["stored"], done["not_replayable"], done["left"]) == (1, 1, 2)
    [rule] = done["still_bad"]
    assert rule in {one.rule for one in rows_of(shop, schema.reject)}
    before = rows_as_stored(shop.engine)
    assert replayed(shop)["still_bad"] == {rule: 1}
    assert rows_as_stored(shop.engine) == before
    assert replayed(today(shop))["stored"] == 1


def test_a_row_that_would_pause_its_source_stays(shop: Workspace) -> None:
    """What a sync would not go past is not slipped in by a replay (4)."""
    assert delivered(shop, member("C1")) == 1
    pauses = {"contract": {"fields": {"email": {"required": True, "on_breach": "pause"}}}}
    assert sum(replayed(today(shop, till=pauses))["still_bad"].values()) == 1


class PulledPlugError(Exception):
    """Stands for a process that ends in the middle."""


def test_killed_it_goes_on(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is committed; the same command does the rest (4)."""
    monkeypatch.setattr(replaying, "BATCH", 1)
    delivered(shop, *(member(f"C{n}") for n in range(1, 4)))
    shop = today(shop)

    def pull(done: int, expected: int | None) -> None:
        assert expected == 3
        if done == 2:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        replay_rows(shop, "till", pull)
    assert left(shop) == 1
    assert replayed(shop, progress=quiet) == {"tried": 1, "stored": 1}
    assert len(rows_of(shop, schema.record)) == 3


def test_a_rehearsal_changes_nothing(shop: Workspace) -> None:
    """It says what would become of the rows (5)."""
    delivered(shop, member("C1"), member("C2"))
    shop = today(shop)
    before = rows_as_stored(shop.engine)
    assert replayed(shop, rehearse=True) == {"tried": 2, "stored": 2}
    assert rows_as_stored(shop.engine) == before


def test_beside_a_sync_it_is_refused(shop: Workspace) -> None:
    """A row cannot be tried and delivered at once."""
    with only_one(shop.engine, "sync till", "wait"), pytest.raises(Refused, match="already"):
        replay_rows(shop, "till")


def test_counts_of_batches_add_up() -> None:
    """What batches came to is what the command says."""
    total = Replayed("till")
    for _ in range(2):
        one = Replayed("till", tried=3, stored=1)
        one.still_bad["x"] = 2
        total.add(one)
    assert (total.tried, total.stored, total.left) == (6, 2, 4)


def test_the_command_is_logged_and_names_nobody(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may take in records replays; the log says who did, and who was refused."""
    write_app(shop.declaration.folder, [{"openid": "canary-o1", "name": "canary"}])
    assert sync(shop, "app").rejected == 1
    delivered(shop, member("C1"))
    shop = today(shop)
    monkeypatch.setattr(session, "workspace", lambda *_: shop)
    run = CliRunner().invoke
    done = run(app, ["source", "replay", "app", "--as", "officer"])
    assert isinstance(done.exception, Refused)
    done = run(app, ["source", "replay", "app", "--as", "operator", "--dry-run"])
    assert "nothing was changed" in done.output
    done = run(app, ["source", "replay", "app", "--as", "operator", "--json"])
    assert "canary" not in done.output
    told = json.loads(done.stdout)
    assert (told["tried"], told["stored"], told["left"], told["dry_run"]) == (1, 1, 0, False)
    done = run(app, ["source", "replay", "till", "--as", "operator"])
    assert "Next: cdp identity resolve" in done.output
    chosen = sa.select(schema.audit_event.c.line).where(
        schema.audit_event.c.action == "rejects.replay"
    )
    with shop.engine.connect() as connection:
        lines = [json.loads(one) for one in connection.scalars(chosen)]
    assert sorted(one["decision"] for one in lines) == ["allow", "allow", "allow", "deny"]
