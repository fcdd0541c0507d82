"""Syncing: two at once."""

import pytest
import sqlalchemy as sa

from cdp.errors import Refused, Retry
from cdp.ingest.replaying import replay_rows
from cdp.ingest.sync import sync
from cdp.storage.locks import only_one
from cdp.storage.schema import record, reject
from cdp.workspace import Workspace
from tests.integration.sync.deliveries import Opener, deliver, folder_of
from tests.journeys.commands import Shell
from tests.journeys.tills import member, write_app, write_till

pytestmark = pytest.mark.integration


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


def lose_lock(workspace: Workspace, source: str) -> None:
    """End the connection that holds the right to sync, as a restart or a router does."""
    ended = sa.text(
        "SELECT count(pg_terminate_backend(l.pid, 5000)) FROM pg_locks l "
        "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
        "WHERE l.locktype = 'advisory' AND l.objid = hashtext(:name)::bigint & 4294967295"
    )
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        assert other.scalar(ended, {"name": f"kith.sync {source}"}) == 1


def count(workspace: Workspace, table: sa.Table) -> int:
    with workspace.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_sync_that_lost_its_lock_stores_nothing_more(shop: Opener) -> None:
    """Others may be at the source by then, or may have removed it. Begun again, it goes on."""
    workspace = shop()
    write_till(folder_of(workspace), [member("C1"), member("C2", phone="13700000002")])
    left = [lose_lock]

    def once_begun(*_: object) -> None:
        if left:
            left.pop()(workspace, "till")

    with pytest.raises(Retry, match="sync till: lock_lost"):
        sync(workspace, "till", once_begun)
    assert count(workspace, record) == 0
    assert sync(workspace, "till").added == 2


def test_a_replay_that_lost_its_lock_stores_nothing_more(shop: Opener) -> None:
    """What is tried again is the source's own rows: the same right, held to the same end."""
    workspace = shop()
    deliver(workspace, ["too", "short"])
    before = count(workspace, reject)
    tried = False

    def once_begun(_done: int, _of: int | None) -> None:
        nonlocal tried
        if not tried:
            tried = True
            lose_lock(workspace, "till")

    with pytest.raises(Retry, match="sync till: lock_lost"):
        replay_rows(workspace, "till", once_begun)
    assert count(workspace, reject) == before == 1
    assert replay_rows(workspace, "till").tried == 1
