"""Syncing: what is new, what changed, what stays as it was."""

import pytest
import sqlalchemy as sa

from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.sync.deliveries import Opener, deliver
from tests.journeys.state import contents, rows_as_stored
from tests.journeys.tills import member

pytestmark = pytest.mark.integration


def one_record(workspace: Workspace) -> sa.Row[tuple[object, ...]]:
    with workspace.engine.connect() as connection:
        return connection.execute(sa.select(schema.record)).one()


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
    assert len(kept) == 2, "the other record's data keys are not drawn again: contact and masked"


def test_going_back_to_the_old_content_is_a_third_revision(shop: Opener) -> None:
    """A revision number never goes back, so a cell of an old revision never opens again."""
    workspace = shop()
    for phone in ("13957140286", "13800001111", "13957140286"):
        deliver(workspace, member("C1", phone=phone))
    assert one_record(workspace).revision == 3


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
