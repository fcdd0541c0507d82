"""Syncing: two at once."""

import pytest

from cdp.errors import Refused
from cdp.ingest.sync import sync
from cdp.storage.locks import only_one
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
