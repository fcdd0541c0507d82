"""A message that could not be processed is replayed: nobody will send it once more."""

from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest.parking import RULE
from cdp.ingest.replaying import replay_rows
from cdp.ingest.storing import Storing
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import FOLLOWED, left, rows_of
from tests.integration.running.test_parking import POISON, FaultError
from tests.integration.topic_source.cluster import Cluster
from tests.integration.topic_source.test_sync import cluster, crm, opened, row

pytestmark = pytest.mark.integration
__all__ = ["cluster", "opened"]  # fixtures


def rules(workspace: Workspace) -> list[str]:
    """Under which rules whole rows are kept."""
    return [one.rule for one in rows_of(workspace, schema.reject) if not one.field]


def test_a_message_comes_in_after_the_fault_is_mended(
    cluster: Cluster, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was read from is behind the state of the topic, and its cells are kept."""
    workspace = opened("shop", crm=crm(cluster.brokers))
    for number in range(4):
        cluster.send("members", f"m{number}", row(number))
    genuine: Any = Storing.store

    def store(self: Storing, connection: sa.Connection, rows: Any, *given: Any) -> Any:
        if any(record.record_id.reveal(reason="a test") == "m2" for record, *_ in rows):
            raise FaultError(POISON)
        return genuine(self, connection, rows, *given)

    with monkeypatch.context() as broken:
        broken.setattr(Storing, "store", store)
        assert sync(workspace, "crm", departures=FOLLOWED.departures).rejected == 1
    assert rules(workspace) == [RULE]
    assert replay_rows(workspace, "crm").stored == 1
    assert rules(workspace) == []
    assert len(left(workspace)["records"]) == 4
    assert sync(workspace, "crm", departures=FOLLOWED.departures).read == 0
