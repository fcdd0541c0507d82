"""Rows that could not be processed are replayed once the fault is mended, whatever read them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest.parking import MOST, RULE, parked
from cdp.ingest.replaying import replay_rows
from cdp.ingest.replaying_values import replay_values
from cdp.ingest.storing import Storing
from cdp.ingest.sync import sync
from cdp.ingest.writing import SetAside, write_set_aside
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.record import RAW_LIMIT, Sensitive
from tests.integration.feeds.deliveries import FEEDS, gone, rows_of
from tests.integration.running.test_parking import POISON, FaultError
from tests.integration.sync.test_replaying import arrive, fed, replayed
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.journeys.state import contents
from tests.journeys.tills import APP, TILL, member, write_app, write_till

pytestmark = pytest.mark.integration

SOURCES = {"till": TILL, "app": APP, "shop": FEEDS["shop"]}
Poison = Callable[..., None]


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Workspace]:
    """A workspace with a file of commas, one of lines of JSON, and a feed."""
    folder = tmp_path / "shop"
    tills.write_declaration(folder, tills.declaration(sources=SOURCES))
    opened = tills.open_shop(folder, databases.copy(template))
    yield opened
    opened.engine.dispose()


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Have the storing of records with these ids fail; without any, mend it."""
    genuine: Any = Storing.store

    def poison(*ids: str, error: Callable[[], Exception] = lambda: FaultError(POISON)) -> None:
        def store(self: Storing, connection: sa.Connection, rows: Any, *given: Any) -> Any:
            if any(record.record_id.reveal(reason="a test") in ids for record, *_ in rows):
                raise error()
            return genuine(self, connection, rows, *given)

        monkeypatch.setattr(Storing, "store", store)

    return poison


def rules(workspace: Workspace) -> list[str]:
    """Under which rules whole rows are kept."""
    return [one.rule for one in rows_of(workspace, schema.reject) if one.record_id is None]


def sent(workspace: Workspace, source: str) -> None:
    """Two rows of a source, of which the second is poison."""
    if source == "till":
        write_till(
            workspace.declaration.folder, [member("C1"), member("C2", email="m@example.com")]
        )
        sync(workspace, "till")
    elif source == "app":
        lines = [{"openid": one, "name": "张敏", "phone": "13900000002"} for one in ("C1", "C2")]
        write_app(workspace.declaration.folder, lines)
        sync(workspace, "app")
    else:
        arrive(workspace, fed(workspace, "C1", 1), fed(workspace, "C2", 2, phone="13900000002"))


@pytest.mark.parametrize("source", ["till", "app", "shop"])
def test_once_the_fault_is_mended_it_is_stored_as_a_sync_would(
    shop: Workspace, poisoned: Poison, source: str
) -> None:
    """A file, lines of JSON, a feed: the row comes in, and delivered again it changes nothing."""
    poisoned("C2")
    sent(shop, source)
    assert rules(shop) == [RULE]
    assert len(contents(shop)["records"]) == 1
    poisoned()
    assert replayed(shop, source, rehearse=True) == {"tried": 1, "stored": 1}
    assert rules(shop) == [RULE]
    assert replayed(shop, source) == {"tried": 1, "stored": 1}
    before = contents(shop)
    assert (len(before["records"]), rules(shop)) == (2, [])
    sent(shop, source)
    assert contents(shop) == before
    assert replayed(shop, source) == {}


def test_what_is_kept_of_it_is_sealed_and_told_to_nobody(
    shop: Workspace, poisoned: Poison, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the rule nor the log quotes a cell."""
    poisoned("C2")
    sent(shop, "till")
    (row,) = rows_of(shop, schema.reject)
    assert b"m@example.com" not in bytes(row.sealed)
    assert "m@example.com" not in f"{row}{capsys.readouterr()}"


def test_in_a_feed_its_order_counts(shop: Workspace, poisoned: Poison) -> None:
    """A row that waited is void where a newer one of its record came meanwhile."""
    poisoned("C2")
    arrive(shop, fed(shop, "C2", 5, phone="13900000005"))
    poisoned()
    arrive(shop, fed(shop, "C2", 9))
    was = contents(shop)["records"]
    assert replayed(shop, "shop") == {"tried": 1, "superseded": 1}
    assert (contents(shop)["records"], rules(shop)) == (was, [])


def test_what_still_fails_stays_and_holds_up_no_other(shop: Workspace, poisoned: Poison) -> None:
    """However many: they failed before. Each is named by its crash of today."""
    numbers = [f"C{n}" for n in range(2 * MOST + 2)]
    poisoned(*numbers)
    for begin in range(0, len(numbers), MOST):
        arrive(shop, *(fed(shop, one, 1) for one in numbers[begin : begin + MOST]))
    assert rules(shop) == [RULE] * len(numbers)
    steps = {one.next_step for one in rows_of(shop, schema.reject)}
    poisoned(*numbers[2:], error=lambda: RuntimeError(POISON))
    found = {"tried": len(numbers), "stored": 2, "still_bad": {RULE: 2 * MOST},
             "left": 2 * MOST}  # fmt: skip
    assert replayed(shop, "shop", rehearse=True) == found
    assert {one.next_step for one in rows_of(shop, schema.reject)} == steps
    assert replayed(shop, "shop") == found
    assert rules(shop) == [RULE] * (2 * MOST)
    assert {one.next_step for one in rows_of(shop, schema.reject)}.isdisjoint(steps)
    assert len(contents(shop)["records"]) == 2
    poisoned()
    assert replayed(shop, "shop")["stored"] == 2 * MOST


def test_a_row_of_another_rule_that_fails_keeps_its_rule(
    shop: Workspace, poisoned: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as one that could not be processed, and waits as it was."""
    rows = [member("C1"), member("", email="m@example.com")]
    write_till(shop.declaration.folder, rows)
    sync(shop, "till")
    (was,) = rows_of(shop, schema.reject)

    def fail(*_: object, **__: object) -> None:
        raise FaultError(POISON)

    with monkeypatch.context() as broken:
        broken.setattr("cdp.ingest.replaying.cells_again", fail)
        assert replayed(shop) == {"tried": 1, "still_bad": {RULE: 1}, "left": 1}
    assert rows_of(shop, schema.reject) == [was]


def test_a_fault_of_the_machine_stops_the_replay(shop: Workspace, poisoned: Poison) -> None:
    """Nothing is said of rows while the disk is full; the same command goes on."""
    poisoned("C2")
    sent(shop, "shop")
    was = rows_of(shop, schema.reject)
    poisoned("C2", error=lambda: OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        replay_rows(shop, "shop")
    assert rows_of(shop, schema.reject) == was


def test_values_that_fail_stay_and_hold_up_no_other(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of values it holds as of rows: what fails stays as it was."""
    rows = [member("C1", phone="12"), member("C2", phone="13")]
    write_till(shop.declaration.folder, rows)
    sync(shop, "till")
    was = {one.id: one for one in rows_of(shop, schema.reject)}
    first = min(one.record_id for one in was.values())
    genuine: Any = replay_values.__globals__["_Replaying"]._aside

    def aside(self: Any, connection: sa.Connection, number: int) -> Any:
        if number == first:
            raise FaultError(POISON)
        return genuine(self, connection, number)

    monkeypatch.setattr("cdp.ingest.replaying_values._Replaying._aside", aside)
    done = replay_values(shop, "till")
    assert done.still_bad[RULE] == 1
    assert done.tried == 2
    assert {one.id: one for one in rows_of(shop, schema.reject)} == was


def test_cells_are_put_into_words_for_rows_that_fail_alone(
    shop: Workspace, poisoned: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the others nothing is made."""
    asked: list[object] = []
    genuine: Any = parked.__globals__["kept_cells"]

    def kept(cells: Any) -> Any:
        asked.append(cells)
        return genuine(cells)

    monkeypatch.setattr("cdp.ingest.parking.kept_cells", kept)
    poisoned("C2")
    sent(shop, "till")
    assert len(asked) == 1


@pytest.mark.parametrize("cells", [{"id": "C1", "x": "x" * RAW_LIMIT}, {"id": object()}, None])
def test_without_cells_a_row_is_parked_all_the_same(shop: Workspace, cells: Any) -> None:
    """Too many characters, what no text can be made of, a record that nobody mapped."""
    row = fed(shop, "C1", 3)
    object.__setattr__(row, "cells", cells)
    kept = parked(row, "n")
    assert (kept.cells, kept.order, kept.rule) == (None, 3, RULE)


def test_one_of_an_earlier_release_waits_for_its_source(shop: Workspace) -> None:
    """Its cells were not kept: what was made of it is no line of the source."""
    text = Sensitive('{"record_id": "C2", "name": ["张敏"]}')
    aside = [SetAside(2, "", RULE, "report it", text, None)]
    with shop.engine.begin() as connection:
        write_set_aside(connection, shop.vault, "app", "f" * 64, aside, shop.now())
    assert replayed(shop, "app") == {"tried": 1, "not_replayable": 1, "left": 1}
    assert rules(shop) == [RULE]


def test_cells_of_another_row_are_not_taken(shop: Workspace) -> None:
    """A connector that uses one dictionary for all rows would have them mixed up."""
    row = fed(shop, "C1", 1)
    row.cells["id"] = "C9"
    with shop.engine.begin() as connection:
        storing = Storing(shop, shop.declaration.source("shop"), shop.now())
        (kept,) = storing.rows_to_keep(connection, [parked(row, "n")])
        aside = [SetAside(1, "", RULE, "report it", kept.raw, None)]
        write_set_aside(connection, shop.vault, "shop", "fed x", aside, shop.now())
    assert replayed(shop, "shop") == {"tried": 1, "not_replayable": 1, "left": 1}
    assert contents(shop)["records"] == {}


def test_what_its_source_deleted_meanwhile_is_not_brought_back(
    shop: Workspace, poisoned: Poison
) -> None:
    """Nobody can tell which is newer, a row without an order or the deletion: it waits."""
    poisoned("C2")
    arrive(shop, fed(shop, "C2", None))
    poisoned()
    arrive(shop, gone("C2", order=9))
    assert replayed(shop, "shop") == {"tried": 1, "already_there": 1, "left": 1}
    assert contents(shop)["records"] == {}
