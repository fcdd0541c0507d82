"""Syncing: what a row becomes, and what stays as it was."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.errors import Refused
from cdp.ingest.rejects import count_rejects, list_rejects
from cdp.ingest.sync import SyncReport, sync
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.state import contents, rows_as_stored
from tests.journeys.tills import member, write_app, write_declaration, write_till

pytestmark = pytest.mark.integration
Opener = Callable[..., Workspace]


@pytest.fixture
def databases(server: sa.URL) -> Iterator[Databases]:
    with Databases(server) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Opener]:
    """Opens workspaces with databases of their own, all under the first one's key ring."""
    opened: list[Workspace] = []

    def open_one(folder: Path | None = None) -> Workspace:
        ring = opened[0].settings.key_ring if opened else None
        place = folder or tmp_path / f"shop{len(opened)}"
        opened.append(tills.open_shop(place, databases.copy(template), ring))
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()


def folder_of(workspace: Workspace) -> Path:
    return workspace.settings.declaration.parent


def deliver(workspace: Workspace, *rows: object) -> SyncReport:
    """Write the till's file and sync it."""
    write_till(folder_of(workspace), rows)
    return sync(workspace, "till")


def one_record(workspace: Workspace) -> sa.Row[tuple[object, ...]]:
    with workspace.engine.connect() as connection:
        return connection.execute(sa.select(schema.record)).one()


# ── what is new, what changed, what stays ───────────────────────────────────


def test_a_second_sync_of_the_same_file_writes_no_row_but_its_own_run(shop: Opener) -> None:
    """Reading the same content twice changes nothing (cdp.ingest.sync, invariant 3)."""
    workspace = shop()
    bad = member("C9", phone="12", birthday="1985-02-31")
    first = deliver(workspace, member("C1"), bad, ["too", "short"])
    before = rows_as_stored(workspace.engine)
    second = sync(workspace, "till")
    after = rows_as_stored(workspace.engine)
    runs = "kith.sync_run"
    assert {k: v for k, v in before.items() if k != runs} == {
        k: v for k, v in after.items() if k != runs
    }
    assert len(after[runs]) == len(before[runs]) + 1
    assert (first.added, first.rejected, first.set_aside) == (2, 1, 2)
    assert second.nothing_new
    assert (second.unchanged, second.rejected) == (2, 1)


def test_a_changed_record_gets_a_new_revision_and_leaves_nothing_of_the_old(shop: Opener) -> None:
    """A changed record has new cells, keys and indexes (cdp.ingest.writing, invariant 3)."""
    workspace = shop()
    untouched = member("C2", phone="13700000002", email="second@example.com")
    deliver(workspace, member("C1", email="old@example.com"), untouched)
    with workspace.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(dirty=False))
    stored = rows_as_stored(workspace.engine)
    old = contents(workspace)
    report = deliver(workspace, member("C1", phone="13800001111"), untouched)
    new = contents(workspace)
    first, second = new["order"]
    assert (report.added, report.changed, report.unchanged) == (0, 1, 1)
    assert new["records"][first]["revision"] == 2
    assert new["records"][first]["dirty"]
    assert new["records"][second] == old["records"][second]
    assert "contact.email" not in {field for key, field in new["cells"] if key == first}
    assert "13800001111" in new["cells"][first, "contact.phone"]
    gone = set(old["indexes"]) - set(new["indexes"])
    assert {(key, field) for key, field, _ in gone} == {(first, "phone"), (first, "email")}
    keys = "kith_keys.data_key"
    kept = set(stored[keys]) & set(rows_as_stored(workspace.engine)[keys])
    assert len(kept) == 1, "the other record's data key is not drawn again"


def test_going_back_to_the_old_content_is_a_third_revision(shop: Opener) -> None:
    """A revision number never goes back, so a cell of an old revision never opens again."""
    workspace = shop()
    for phone in ("13957140286", "13800001111", "13957140286"):
        deliver(workspace, member("C1", phone=phone))
    assert one_record(workspace).revision == 3


def test_a_row_fixed_at_the_source_is_taken_in_and_no_longer_listed(shop: Opener) -> None:
    """A rejected row and a value set aside disappear from the list once they are put right."""
    workspace = shop()
    deliver(workspace, member("", name="李静"), member("C2", phone="12"))
    with workspace.engine.connect() as connection:
        assert {(c.field, c.rule) for c in count_rejects(connection)} == {
            ("", "record_id_missing"),
            ("phone", "too_short"),
        }
    report = deliver(workspace, member("C1", name="李静"), member("C2", phone="13700000002"))
    assert (report.added, report.changed, report.rejected, report.set_aside) == (1, 1, 0, 0)
    with workspace.engine.connect() as connection:
        assert count_rejects(connection) == []


def test_a_row_that_only_another_mapping_rejected_is_no_longer_listed(shop: Opener) -> None:
    """After the mapping is corrected, the same file is judged anew, rejected rows too."""
    workspace = shop()
    folder = folder_of(workspace)
    by_mail = {**tills.TILL, "record_id": "email"}
    write_declaration(folder, tills.declaration(sources={"till": by_mail}))
    wrong = tills.open_shop(folder, str(workspace.settings.database_url))
    assert deliver(wrong, member("C1")).rejected == 1
    wrong.engine.dispose()
    write_declaration(folder)
    assert sync(workspace, "till").added == 1
    with workspace.engine.connect() as connection:
        assert count_rejects(connection) == []


def test_values_set_aside_are_kept_and_listed_and_the_row_goes_on(shop: Opener) -> None:
    """A bad phone does not cost a person their name: the value is kept sealed, by its rule."""
    workspace = shop()
    report = deliver(workspace, member("C1", phone="12", birthday="1985-02-31"))
    assert (report.added, report.set_aside) == (1, 2)
    state = contents(workspace)
    assert [(r[2], r[3], r[7]) for r in state["rejects"]] == [
        (1, "birth_date", "1985-02-31"),
        (1, "phone", "12"),
    ]
    assert {field for _, field in state["cells"]} >= {"contact.name", "contact.loyalty_card"}


def test_two_bad_values_of_one_field_are_both_kept(shop: Opener) -> None:
    """Every delivered value is read, kept or set aside; none is lost (cdp.ingest.values, 1)."""
    workspace = shop()
    row = {"openid": "oApp1", "name": "张敏", "phones": ["12", "13957140286", "345"]}
    write_app(folder_of(workspace), [row])
    report = sync(workspace, "app")
    state = contents(workspace)
    [reject] = state["rejects"]
    assert "12" in reject[7]
    assert "345" in reject[7]
    assert report.set_aside == 1
    assert "13957140286" in state["cells"][state["order"][0], "contact.phone"]


def test_consent_and_opt_out_are_stored_with_the_record(shop: Opener) -> None:
    """A person who refused marketing has it taken off, and the refusal itself is kept."""
    workspace = shop()
    deliver(workspace, member("C1", no_ads="yes"))
    row = one_record(workspace)
    assert (row.basis, row.purposes, row.refused) == (
        "membership",
        ["analysis", "service"],
        ["marketing"],
    )
    deliver(workspace, member("C1", no_ads="no"))
    row = one_record(workspace)
    assert row.purposes == ["analysis", "marketing", "service"]
    assert row.refused == []


def test_an_empty_source_brings_nothing_and_fails_nothing(shop: Opener) -> None:
    """A file with a heading and no row is read: it has no rows."""
    report = deliver(shop())
    assert (report.read, report.nothing_new) == (0, True)


@pytest.mark.parametrize(
    "odd",
    ["nul\0in it", "tab\tand\\back", 'quote"and,comma', "{brace}", "line\nbreak", "\u2028", "𠮷"],
    ids=["nul", "tab", "quote", "brace", "break", "separator", "astral"],
)
def test_odd_characters_come_through_or_are_set_aside(shop: Opener, odd: str) -> None:
    """No character of a delivered text breaks a sync."""
    workspace = shop()
    rows = [
        {"openid": f"oApp1{odd}", "name": f"张{odd}", "phones": [odd], "unionid": odd},
        {"openid": "oApp2", "name": "李静", "phones": "13957140286"},
    ]
    write_app(folder_of(workspace), rows)
    report = sync(workspace, "app")
    assert report.accepted + report.rejected == 2
    till = deliver(workspace, member("C1", name=f"张{odd}", store=odd, spent=odd), member("C2"))
    assert till.accepted + till.rejected == 2
    contents(workspace)


# ── the same record id twice; batches ───────────────────────────────────────

DOUBLES = (
    member("C1"),
    member("C2", phone="13700000002"),
    member("C1", phone="13800001111"),
    member("C1"),
    member("C3", phone="12"),
    ["too", "short"],
    member("C2", name="另一人"),
    member("C3", phone="12"),
)


def test_the_second_row_of_a_record_id_is_rejected_wherever_a_batch_ends(shop: Opener) -> None:
    """One record id has one row in a file, at any batch size (cdp.ingest.sync, invariant 4)."""
    states, reports = [], []
    for size in (1, 2, 1000):
        workspace = shop()
        write_till(folder_of(workspace), DOUBLES)
        reports.append(sync(tills.with_batches(workspace, size), "till"))
        states.append(contents(workspace))
    assert states[0] == states[1] == states[2]
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0].added, reports[0].unchanged, reports[0].rejected) == (3, 2, 3)
    rows = [(r[2], r[4]) for r in states[0]["rejects"] if not r[3]]
    assert rows == [
        (3, "the record id stands on an earlier row with other content"),
        (6, "column_count"),
        (7, "the record id stands on an earlier row with other content"),
    ]
    first = states[0]["order"][0]
    assert "13957140286" in states[0]["cells"][first, "contact.phone"], "the first row counts"


def test_every_row_is_counted_once(shop: Opener) -> None:
    """Rows read are rows added, changed, unchanged or rejected (cdp.ingest.sync, invariant 2)."""
    workspace = shop()
    write_till(folder_of(workspace), DOUBLES)
    for _ in range(2):
        report = sync(workspace, "till")
        assert report.read == len(DOUBLES) == report.accepted + report.rejected


# ── broken off ──────────────────────────────────────────────────────────────


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


# ── kill -9 ─────────────────────────────────────────────────────────────────

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


# ── two at once ─────────────────────────────────────────────────────────────


def test_two_syncs_of_one_source_never_run_at_once(shop: Opener) -> None:
    """A second sync of the same source is refused, others are not (invariant 5)."""
    workspace = shop()
    deliver(workspace, member("C1"))
    write_app(folder_of(workspace), [{"openid": "oApp1", "name": "张敏"}])
    with only_one(workspace.engine, "sync till", "wait"):
        with pytest.raises(Refused) as refused:
            sync(workspace, "till")
        assert sync(workspace, "app").added == 1
    assert "already_running" in str(refused.value)
    assert sync(workspace, "till").nothing_new


def test_a_locked_source_does_not_keep_the_others_back(shop: Opener) -> None:
    """`cdp source sync` of all sources does what it can, says what it could not, and exits 1."""
    workspace = shop()
    write_till(folder_of(workspace), [member("C1")])
    write_app(folder_of(workspace), [{"openid": "oApp1", "name": "张敏", "phones": "13957140286"}])
    shell = Shell(folder_of(workspace), workspace.settings.database_url, workspace.settings.home)
    with only_one(workspace.engine, "sync till", "wait"):
        outcome = shell.run("source", "sync", "--json", code=1)
    assert [report["source"] for report in outcome.json] == ["app"]
    assert "sync till: already_running; next: wait until it has ended" in outcome.err


def test_rejects_are_listed_by_row_and_rule_and_never_show_a_value(shop: Opener) -> None:
    """The list names source, row, field, rule and next step."""
    workspace = shop()
    deliver(workspace, member("C1", phone="12"), member("C2", phone="34"))
    with workspace.engine.connect() as connection:
        rows = list_rejects(connection, "till", "too_short", 1)
        counts = count_rejects(connection, "till")
    assert [(r.source, r.position, r.field) for r in rows] == [("till", 1, "phone")]
    assert counts[0].count == 2
    assert not {"12", "34"} & {value for c in counts for value in c.to_dict().values()}
