"""Rejected rows of destroyed records: found however they are written, and never kept again."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from openpyxl import Workbook

from cdp.erasure import rejected
from cdp.ingest import destroyed, storing
from cdp.ingest.reports import SyncReport
from cdp.ingest.sync import SAME_ID, sync
from cdp.storage import schema
from cdp.vault.rejects import RejectPlace
from cdp.workspace import Workspace
from connectors.record import RAW_LIMIT
from tests.integration.erasure.backups import dump, restore
from tests.integration.erasure.household import (
    ACCOUNT,
    ACCOUNT_NAME,
    BELLA,
    BELLA_NAME,
    CARD,
    CARD_NAME,
    count,
    declared,
    eraser,
    key,
    replayed,
    shred,
    stored_keys,
)
from tests.journeys import tills
from tests.journeys.tills import APP, HEADER, TILL, member, write_till

pytestmark = pytest.mark.integration

VISIT_NAME = "visits:BJ01|C900001"
STRAY = [*(CARD[column] for column in HEADER), "stray"]  # a cell too many
OTHER = [*member("C900777", name="陈思远").values(), "stray"]
VISITS = ("card", "shop", "name", "phone")


def kept(workspace: Workspace) -> list[str]:
    """Every rejected row that is kept, opened."""
    rows = schema.reject
    found = []
    with workspace.engine.connect() as connection:
        for row in connection.execute(sa.select(rows).where(rows.c.record_id.is_(None))):
            place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
            opened = workspace.vault.open_reject(place, bytes(row.sealed))
            found.append(opened.reveal(reason="test"))
    return found


def delivered(workspace: Workspace, rows: list[Any]) -> SyncReport:
    write_till(folder_of(workspace), rows)
    return sync(workspace, "till")


def folder_of(workspace: Workspace) -> Path:
    return workspace.settings.declaration.parent


def whole(report: SyncReport) -> bool:
    """Every row that was read is counted once."""
    return report.read == report.accepted + report.rejected + report.shredded


# ── what is delivered again ─────────────────────────────────────────────────


def test_a_broken_row_of_a_destroyed_record_is_not_kept(shop: Workspace) -> None:
    """Rejected 1: a stray comma in the row does not bring the person back."""
    shred(shop, CARD_NAME)
    report = delivered(shop, [STRAY, OTHER])
    assert (report.read, report.rejected, report.shredded) == (2, 1, 1)
    assert whole(report)
    assert [CARD["card"] in row for row in kept(shop)] == [False]
    assert eraser(shop).readmit(CARD_NAME, "signed up again") == 2
    report = delivered(shop, [STRAY, OTHER])
    assert (report.rejected, report.shredded) == (2, 0)
    assert len(kept(shop)) == 2


LINES: dict[str, Callable[[str], str]] = {
    "a key given twice": lambda line: line[:-1] + ', "name": "x"}',
    "escapes": lambda line: line.replace("oAnna", "\\u006fAnn\\u0061")[:-1] + ', "name": "x"}',
    "a broken line": lambda line: line[:-1],
    "a broken line with escapes": lambda line: line.replace("oAnna", "\\u006fAnna")[:-9],
    "half a letter": lambda line: line.replace("欧阳", "\\ud867"),
}


@pytest.mark.parametrize("how", LINES)
def test_a_broken_line_of_a_destroyed_record_goes_and_stays_away(shop: Workspace, how: str) -> None:
    """Rejected 1 and 4: an id written with escapes is found among what is kept and what comes."""
    line = LINES[how](json.dumps({"openid": ACCOUNT["openid"], **ACCOUNT}, ensure_ascii=False))
    others = [json.dumps(BELLA, ensure_ascii=False), line.replace("Marked01", "Unknown1")]
    text = "\n".join([*others, line, ""])
    (folder_of(shop) / "app.jsonl").write_text(text, encoding="utf-8")
    assert sync(shop, "app").rejected == 2
    shred(shop, ACCOUNT_NAME)
    assert ["Unknown1" in row for row in kept(shop)] == [True]
    report = sync(shop, "app")
    assert (report.rejected, report.shredded) == (1, 1)
    assert whole(report)
    assert ["Unknown1" in row for row in kept(shop)] == [True]


def test_the_ledger_is_asked_for_so_many_keys_at_a_time(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 1: a batch of broken rows is judged in pieces, in its order, and none is lost."""
    monkeypatch.setattr(destroyed, "ASKED", 50)
    asked: list[int] = []
    real = destroyed.destroyed_among

    def counts(connection: sa.Connection, keys: set[bytes]) -> set[bytes]:
        asked.append(len(keys))
        return real(connection, keys)

    monkeypatch.setattr(destroyed, "destroyed_among", counts)
    shred(shop, CARD_NAME)
    others = [[*member(f"C{number:06}").values(), "stray"] for number in range(9)]
    report = delivered(shop, [*others[:7], STRAY, *others[7:]])
    assert (report.rejected, report.shredded) == (9, 1)
    assert sorted(row[:7] for row in kept(shop)) == [f"C{number:06}" for number in range(9)]
    assert len(asked) > 1
    assert max(asked) < 2 * destroyed.ASKED


def test_while_nothing_was_destroyed_no_row_is_looked_into(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 3: a sync under an empty ledger does not pay for the search."""

    def looks(*_: object) -> set[bytes]:
        raise AssertionError

    monkeypatch.setattr(destroyed, "possible_keys", looks)
    assert delivered(shop, [STRAY, OTHER]).rejected == 2
    shred(shop, BELLA_NAME)
    with pytest.raises(AssertionError):
        delivered(shop, [OTHER, STRAY])


@pytest.mark.parametrize("row", ["the same id", "a stray cell"])
def test_a_shred_in_the_middle_of_a_batch_takes_its_rows_too(
    shop: Workspace, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 2: a shred that would come between the look and the commit waits."""
    real = storing.write_set_aside
    shreds: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:

        def writes(*given: Any) -> None:
            shreds.append(pool.submit(shred, shop, CARD_NAME))
            wait_for(shop, shreds[0])
            real(*given)

        monkeypatch.setattr(storing, "write_set_aside", writes)
        second = {**CARD, "name": "欧阳晓美"} if row == "the same id" else STRAY
        report = delivered(shop, [CARD, second])
    assert shreds[0].result()
    assert report.rejected == 1
    assert key(shop, CARD_NAME) not in stored_keys(shop)
    assert kept(shop) == []


def wait_for(workspace: Workspace, work: Future[Any]) -> None:
    """Wait until somebody waits for a lock of this database, or the work is done."""
    waits = sa.text(
        """
        SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE NOT l.granted AND l.locktype = 'advisory' AND d.datname = current_database()
        """
    )
    until = time.monotonic() + 30
    while not work.done() and time.monotonic() < until:
        with workspace.engine.connect() as connection:
            if connection.scalar(waits):
                return
        time.sleep(0.02)
    assert work.done()


# ── ids of several columns ──────────────────────────────────────────────────


@pytest.fixture(params=["csv", "xlsx", "jsonl"])
def visits(shop: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """The shop with one more source, whose records are named by two columns."""
    source = {
        "connector": request.param,
        "location": f"visits.{request.param}",
        "encoding": "utf-8",
        "record_id": ["shop", "card"],
        "fields": {"name": "name", "phone": "phone"},
        "consent": TILL["consent"] | {"opt_out": {**TILL["consent"]["opt_out"], "column": "name"}},
    }
    if request.param == "xlsx":
        del source["encoding"]
    sources = {"till": TILL, "app": APP, "visits": source}
    tills.write_declaration(folder_of(shop), declared(sources=sources))
    return replace(shop, now=shop.now)  # read anew


def write_visits(workspace: Workspace, good: list[tuple[str, ...]], bad: tuple[str, ...]) -> None:
    """Write good rows, and one that is rejected for a reason that its kind of file has."""
    source = workspace.declaration.source("visits")
    path = folder_of(workspace) / source.location
    if source.connector == "csv":
        lines = [",".join(row) for row in (VISITS, *good, (*bad, "stray"))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif source.connector == "jsonl":
        objects = [json.dumps(dict(zip(VISITS, row, strict=True))) for row in (*good, bad)]
        path.write_text("\n".join(objects)[:-1] + ', "shop": "SZ01"}\n', encoding="utf-8")
    else:
        book = Workbook()
        for row in (VISITS, *good, (*bad[:2], "#N/A", bad[3])):
            book.active.append(row)
        book.active.cell(row=2 + len(good), column=3).data_type = "e"
        book.save(path)


MINE = ("C900001", "BJ01", "欧阳晓梅", "13957140286")
THEIRS = ("C900001", "SZ02", "陈思远", "13611228397")


def test_ids_of_several_columns_are_found_by_their_parts(visits: Workspace) -> None:
    """Rejected 1 and 4: what is kept of the row goes, what comes again is not kept."""
    write_visits(visits, [MINE], MINE)
    assert sync(visits, "visits").rejected == 1
    assert len(kept(visits)) == 1
    shred(visits, VISIT_NAME)
    assert kept(visits) == []
    report = sync(visits, "visits")
    assert (report.rejected, report.shredded) == (0, 2)
    assert whole(report)
    assert kept(visits) == []
    write_visits(visits, [], THEIRS)
    assert (sync(visits, "visits").rejected, len(kept(visits))) == (1, 1)


@pytest.mark.parametrize("visits", ["csv"], indirect=True)
def test_a_row_with_too_many_combinations_is_kept_without_its_content(visits: Workspace) -> None:
    """Rejected 1: where nobody can tell whose it is, it is listed and holds nothing."""
    shred(visits, CARD_NAME)
    write_visits(visits, [], (*THEIRS, *(f"n{number}" for number in range(200))))
    assert sync(visits, "visits").rejected == 1
    assert kept(visits) == [""]


@pytest.mark.parametrize("visits", ["csv"], indirect=True)
def test_rows_of_a_backup_without_keys_are_found_by_the_record_key(
    visits: Workspace, tmp_path: Path
) -> None:
    """Rejected 5, replaying 1: nothing of the record opens, and its rejected rows go with it."""
    write_visits(visits, [MINE], MINE)
    sync(visits, "visits")
    delivered(visits, [CARD, STRAY, OTHER])
    assert len(kept(visits)) == 3
    archive = dump(visits, tmp_path / "long.dump", "--exclude-table-data=kith_keys.data_key")
    shred(visits, CARD_NAME, VISIT_NAME)
    restore(visits, archive)
    assert len(kept(visits)) == 3
    assert replayed(visits).destroyed.rows["reject"] == 2
    assert [CARD["card"] in row for row in kept(visits)] == [False]


# ── what is left in backups ─────────────────────────────────────────────────


def test_a_backup_that_has_only_the_rejected_row_loses_it(shop: Workspace, tmp_path: Path) -> None:
    """Rejected 5, replaying 1: no record came back, only a row of it."""
    new = {**CARD, "card": "C900002"}
    broken = [*(new[column] for column in HEADER), "stray"]
    assert delivered(shop, [broken, OTHER]).rejected == 2
    archive = dump(shop, tmp_path / "monday.dump")
    assert delivered(shop, [new]).added == 1
    shred(shop, "till:C900002")
    restore(shop, archive)
    assert len(kept(shop)) == 2
    done = replayed(shop)
    assert done.destroyed.rows == {"reject": 1}
    assert ["C900777" in row for row in kept(shop)] == [True]
    assert replayed(shop).destroyed.rows == {}


def test_a_row_that_was_kept_with_its_id_is_found_though_it_is_cut(shop: Workspace) -> None:
    """Rejected 1 and 4: the id stands behind what is kept of a long row, and it goes."""
    opt_out = {"column": "ads", "values": ["no"], "purposes": ["marketing"]}
    app = {**APP, "consent": {**APP["consent"], "opt_out": opt_out}}
    tills.write_declaration(folder_of(shop), declared(sources={"till": TILL, "app": app}))
    shop = replace(shop, now=shop.now)  # read anew
    unreadable = {"a": "x" * RAW_LIMIT}
    tills.write_app(folder_of(shop), [{"ads": unreadable, **one} for one in (ACCOUNT, BELLA)])
    assert sync(shop, "app").rejected == 2
    shred(shop, ACCOUNT_NAME)
    assert ["oBellaStays1" in row for row in kept(shop)] == [True]
    report = sync(shop, "app")
    assert (report.rejected, report.shredded) == (1, 1)
    assert ["oBellaStays1" in row for row in kept(shop)] == [True]


def test_rejected_rows_are_read_a_few_at_a_time(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected 6: the server keeps the rows, and gives so many at a time."""
    monkeypatch.setattr(rejected, "BATCH", 3)
    many = [[*member(f"C{number:06}").values(), "stray"] for number in range(20)]
    assert delivered(shop, [CARD, *many, STRAY, {**CARD, "name": "欧阳晓美"}]).rejected == 22
    cursors: list[str | None] = []

    def sees(_: object, cursor: Any, statement: str, *__: object) -> None:
        if "kith.reject.sealed" in statement:
            cursors.append(cursor.name)

    sa.event.listen(shop.engine, "before_cursor_execute", sees)
    done = shred(shop, CARD_NAME)[0]
    assert done.destroyed.rows["reject"] == 2
    assert count(shop, schema.reject) == 20
    assert cursors
    assert all(cursors)  # a cursor on the server has a name


def test_the_row_of_the_same_id_says_why(shop: Workspace) -> None:
    """What these tests take for granted: a second, different row is kept as rejected."""
    assert delivered(shop, [CARD, {**CARD, "name": "欧阳晓美"}]).rejected == 1
    with shop.engine.connect() as connection:
        assert connection.scalars(sa.select(schema.reject.c.rule)).all() == [SAME_ID]
