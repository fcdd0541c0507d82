"""Backup, shred, restore, replay: what was destroyed does not come back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.app import create_app
from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.erasure import destroying, replaying
from cdp.erasure.destroying import Destroyed
from cdp.erasure.status import status
from cdp.errors import KithError
from cdp.ingest.sync import sync
from cdp.publish.run import run as publish
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.vault.errors import RestoredBeforeShred, ShredLedgerAltered, ShredLedgerBehind
from cdp.vault.keyed import RecordKeys
from cdp.vault.shred_file import ShredFile
from cdp.workspace import Workspace, open_workspace
from tests.integration.api.site import TestClient
from tests.integration.erasure.backups import dump, restore
from tests.integration.erasure.household import (
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CANARIES,
    CARD_NAME,
    SECOND_NAME,
    as_text,
    eraser,
    home_of,
    key,
    replayed,
    settle,
    shred,
    stored_keys,
)
from tests.journeys import marks, tills
from tests.journeys.state import people

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The process is gone."""


def test_what_was_destroyed_after_the_backup_does_not_come_back(
    shop: Workspace, tmp_path: Path
) -> None:
    """Replaying 1: restored, nothing is shown; replayed, nothing is left."""
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, *ALL)
    restore(shop, archive)
    assert {key(shop, name) for name in ALL} <= stored_keys(shop)

    with pytest.raises(RestoredBeforeShred, match="cdp vault replay"):
        open_workspace(shop.settings)
    with shop.engine.begin() as connection, pytest.raises(RestoredBeforeShred):
        shop.check_ledger(connection)
    report = publish(shop, ["crm"])[0]
    assert report.stopped is not None
    assert "restored_before_shred" in report.stopped
    with pytest.raises(RestoredBeforeShred):
        eraser(shop).freeze(BELLA_NAME, "asked for")

    done = replayed(open_workspace(shop.settings, any_age=True))

    assert (done.to_database, done.to_file) == (3, 0)
    assert done.destroyed.rows["record"] == 3
    assert stored_keys(shop) == {key(shop, BELLA_NAME)}
    text = as_text(shop, without=("shred", "audit_event"))
    assert not [name for name in ALL if key(shop, name).hex() in text]
    again = replayed(shop)
    assert (again.to_database, again.destroyed.rows) == (0, {})
    assert open_workspace(shop.settings).id == shop.id
    assert status(shop).shredded == 3
    assert status(shop).not_scrubbed  # what was restored is to be overwritten too


def test_the_api_refuses_a_restored_database(shop: Workspace, tmp_path: Path) -> None:
    """Replaying 1: a server that was running all the time refuses each request."""
    with shop.engine.begin() as connection:
        sync_principals(connection, shop.declaration, shop.now())
        issued = keys.issue(connection, RecordKeys(shop.keyring), "headquarters", shop.now())
    archive = dump(shop, tmp_path / "monday.dump")
    header = {"Authorization": f"Bearer {issued.text}"}
    client = TestClient(create_app(shop), raise_server_exceptions=False)
    profile_id = home_of(shop, CARD_NAME)
    path = f"/v1/profiles/{profile_id}?purpose=service"
    assert client.get(path, headers=header).status_code == 200
    shred(shop, CARD_NAME)
    assert client.get(path, headers=header).status_code == 404
    restore(shop, archive)
    answer = client.get(path, headers=header)
    assert answer.status_code >= 400
    assert "restored_before_shred" in answer.text
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "shred_ledger_differs")
    assert not marks.search({"answer": answer.content}, marks.plain_needles(CANARIES))


def test_readmitted_before_the_restore_the_old_revision_goes_all_the_same(
    shop: Workspace, tmp_path: Path
) -> None:
    """Replaying 4: what was destroyed does not come back; what is delivered now comes in."""
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, CARD_NAME, ACCOUNT_NAME)
    assert eraser(shop).readmit(CARD_NAME, "came back to us") == 3
    restore(shop, archive)
    with shop.engine.connect() as connection:
        mine = schema.record.c.key == key(shop, CARD_NAME)
        old = connection.scalar(sa.select(schema.record.c.id).where(mine))
    done = replayed(shop)
    assert (done.to_database, done.destroyed.rows["record"]) == (3, 2)
    assert not {key(shop, CARD_NAME), key(shop, ACCOUNT_NAME)} & stored_keys(shop)
    assert (sync(shop, "till").added, sync(shop, "app").shredded) == (1, 1)
    again = replayed(shop)
    assert (again.to_database, again.destroyed.rows) == (0, {})
    with shop.engine.connect() as connection:
        new = connection.execute(sa.select(schema.record).where(mine)).one()
    assert (new.id > old, new.revision) == (True, 1)
    assert key(shop, ACCOUNT_NAME) not in stored_keys(shop)


def test_let_in_again_before_the_backup_the_new_record_stays(
    shop: Workspace, tmp_path: Path
) -> None:
    """Replaying 4: a database that has seen the shred holds the record of after it."""
    shred(shop, CARD_NAME)
    assert eraser(shop).readmit(CARD_NAME, "came back to us") == 2
    assert sync(shop, "till").added == 1
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, ACCOUNT_NAME)
    restore(shop, archive)
    done = replayed(shop)
    assert (done.to_database, done.destroyed.rows["record"]) == (1, 1)
    assert key(shop, CARD_NAME) in stored_keys(shop)
    assert key(shop, ACCOUNT_NAME) not in stored_keys(shop)


def test_people_after_a_replay_are_those_of_the_shred(shop: Workspace, tmp_path: Path) -> None:
    """Replaying 1: restored and replayed, everybody is who they were before the restore."""
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, CARD_NAME)
    before = people(shop)["members"]
    restore(shop, archive)
    replayed(shop)
    assert people(shop)["members"] == before
    resolve(shop, full=True)
    assert people(shop)["members"] == before


def test_a_backup_without_the_key_table_is_replayed_too(shop: Workspace, tmp_path: Path) -> None:
    """Replaying 1: what opens to nobody is destroyed all the same."""
    archive = dump(shop, tmp_path / "long.dump", "--exclude-table-data=kith_keys.data_key")
    shred(shop, CARD_NAME)
    restore(shop, archive)
    with shop.engine.connect() as connection:
        assert not connection.scalars(sa.select(schema.data_key.c.record_id)).all()
    done = replayed(shop)
    assert done.destroyed.rows["record"] == 1
    assert key(shop, CARD_NAME) not in stored_keys(shop)


@pytest.mark.parametrize("point", ["before the file", "behind the file"])
def test_a_shred_killed_at_the_ledger_is_whole_or_replayed(
    shop: Workspace, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shredding 2 and 3, ledger 1: killed before the file nothing happened; behind it, replay."""
    real = ShredFile.append

    def dies(self: ShredFile, lines: Any) -> None:
        if point == "behind the file":
            real(self, lines)
        raise Killed

    before = stored_keys(shop)
    monkeypatch.setattr(ShredFile, "append", dies)
    with pytest.raises(Killed):
        eraser(shop).shred(CARD_NAME, "asked for")
    monkeypatch.undo()
    assert stored_keys(shop) == before
    if point == "before the file":
        with shop.engine.begin() as connection:
            shop.check_ledger(connection)
        shred(shop, CARD_NAME)
    else:
        with pytest.raises(RestoredBeforeShred):
            open_workspace(shop.settings)
        replayed(shop)
    assert key(shop, CARD_NAME) not in stored_keys(shop)
    assert status(shop).lines == 1


@pytest.mark.parametrize("statement", range(3))
def test_a_shred_killed_while_it_forgets_has_done_nothing(
    shop: Workspace, statement: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shredding 3: identity, announcing, traces: wherever it dies, all is as before."""
    name = ("forget", "announce", "_TRACES")[statement]

    def dies(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(destroying, name, map(dies, [0]) if name == "_TRACES" else dies)
    before = as_text(shop)
    with pytest.raises(Killed):
        eraser(shop).shred(CARD_NAME, "asked for")
    monkeypatch.undo()
    assert as_text(shop) == before
    assert not shop.settings.shred_ledger.exists()
    shred(shop, CARD_NAME)


def test_a_killed_replay_has_done_nothing(
    shop: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replaying 2: killed, it can be run again."""
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, *ALL)
    restore(shop, archive)
    real: Callable[..., Destroyed] = replaying.destroy

    def dies(*parts: Any) -> Destroyed:
        real(*parts)
        raise Killed

    monkeypatch.setattr(replaying, "destroy", dies)
    with pytest.raises(Killed):
        replayed(shop)
    monkeypatch.undo()
    assert len(stored_keys(shop)) == 4
    with pytest.raises(RestoredBeforeShred):
        open_workspace(shop.settings)
    replayed(shop)
    assert stored_keys(shop) == {key(shop, BELLA_NAME)}


def test_a_ledger_file_from_an_older_backup_is_brought_up_to_date(shop: Workspace) -> None:
    """Replaying 3: lines that only the database has come into the file."""
    shred(shop, CARD_NAME)
    older = shop.settings.shred_ledger.read_bytes()
    shred(shop, BELLA_NAME)
    newest = shop.settings.shred_ledger.read_bytes()
    for content in (older, b"", None):
        if content is None:
            shop.settings.shred_ledger.unlink()
        else:
            shop.settings.shred_ledger.write_bytes(content)
        with pytest.raises(ShredLedgerBehind, match="cdp vault replay"):
            open_workspace(shop.settings)
        assert replayed(shop).to_file == (1 if content == older else 2)
        assert shop.settings.shred_ledger.read_bytes() == newest


def test_two_ledgers_that_tell_different_stories_are_refused(
    shop: Workspace, tmp_path: Path
) -> None:
    """Replaying 3: neither is the beginning of the other."""
    archive = dump(shop, tmp_path / "monday.dump")
    shred(shop, CARD_NAME)
    one = shop.settings.shred_ledger.read_bytes()
    restore(shop, archive)
    shop.settings.shred_ledger.unlink()  # whoever does this loses the memory of it
    shred(shop, BELLA_NAME)
    shop.settings.shred_ledger.write_bytes(one)
    with pytest.raises(ShredLedgerAltered, match="shred_ledger_differs"):
        open_workspace(shop.settings)
    with pytest.raises(ShredLedgerAltered, match="shred_ledger_differs"):
        replayed(shop)


def test_a_destroyed_record_is_not_taken_in_again_until_readmitted(shop: Workspace) -> None:
    """Writing 4: delivered again it is counted and left out; readmitted it is a new record."""
    shred(shop, CARD_NAME, SECOND_NAME)
    report = sync(shop, "till")
    assert (report.read, report.added, report.shredded, report.accepted) == (1, 0, 1, 0)
    app = sync(shop, "app")
    assert (app.unchanged, app.shredded) == (2, 1)
    assert key(shop, CARD_NAME) not in stored_keys(shop)
    assert eraser(shop).readmit(CARD_NAME, "signed up again") == 3
    with pytest.raises(KithError, match="not_shredded"):
        eraser(shop).readmit(CARD_NAME, "signed up again")
    settle(shop)
    assert key(shop, CARD_NAME) in stored_keys(shop)
    assert key(shop, SECOND_NAME) not in stored_keys(shop)
    assert home_of(shop, CARD_NAME) == home_of(shop, ACCOUNT_NAME)
    shred(shop, CARD_NAME)
    assert sync(shop, "till").shredded == 1
    assert [one["kind"] for one in ledger_lines(shop)] == ["shred", "shred", "readmit", "shred"]


def test_a_second_row_of_a_destroyed_record_is_not_kept_as_rejected(shop: Workspace) -> None:
    """Writing 4: not even sealed among the rejected rows does anything of it come back."""
    folder = shop.settings.declaration.parent
    rows = [tills.member("C900001", name=name) for name in ("欧阳晓梅", "欧阳晓美")]
    tills.write_till(folder, rows)
    assert sync(shop, "till").rejected == 1
    shred(shop, CARD_NAME)
    with shop.engine.connect() as connection:
        assert not connection.scalars(sa.select(schema.reject.c.id)).all()
    tills.write_till(folder, [*rows, tills.member("C900002")])
    report = sync(shop, "till")
    assert (report.read, report.added, report.rejected, report.shredded) == (3, 1, 0, 2)


def ledger_lines(workspace: Workspace) -> list[dict[str, Any]]:
    with workspace.engine.connect() as connection:
        rows = connection.execute(sa.select(schema.shred).order_by(schema.shred.c.sequence))
        return [dict(row._mapping) for row in rows]
