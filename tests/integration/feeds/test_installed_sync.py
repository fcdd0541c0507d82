"""The connector of the howto, announced by a package, syncs like one that ships."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from cdp.credentials import lookup_of
from cdp.erasure.departing import Departing
from cdp.ingest.backfilling import backfill
from cdp.ingest.looking import looked_at
from cdp.ingest.storing import reading_of
from cdp.ingest.sync import sync
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors import installed
from connectors.errors import Retry, Stop
from connectors.registry import open_source
from connectors.testing_stage import SAMPLE, Failure
from tests.contracts.test_write_a_connector import BLOCKS, module_of
from tests.integration.feeds.deliveries import rows_of
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The CRM of the howto, and its connector as if it were installed."""
    for name, code in BLOCKS.items():
        module_of(tmp_path, name.removesuffix(".py"), code)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("crm", "shop_crm:CrmFeed", installed.GROUP)
    monkeypatch.setattr(installed, "entry_points", lambda **_: EntryPoints([point]))
    stage = module_of(tmp_path, "crm_stage", BLOCKS["shop_crm_stage.py"]).CrmStage(tmp_path)
    stage.put(SAMPLE)
    yield stage
    stage.close()


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str, crm: Any) -> Iterator[Workspace]:
    """A workspace that follows it."""
    options = {"name": "crm", **crm.entry["installed"]}
    entry = {
        "connector": "installed",
        **crm.entry,
        "installed": options,
        "record_id": "id",
        "fields": {"name": "name", "phone": "phone"},
    }
    folder = tmp_path / "shop"
    tills.write_declaration(folder, tills.declaration(sources={"crm": entry}))
    opened = tills.open_shop(folder, databases.copy(template))
    secrets = {"SOURCE_CRM_TOKEN": crm.secrets["token"]}
    opened = replace(opened, settings=replace(opened.settings, source_secrets=secrets))
    yield opened
    opened.engine.dispose()


def synced(workspace: Workspace) -> tuple[int, int, int, int]:
    report = sync(workspace, "crm", departures=Departing())
    return report.read, report.added, report.changed, report.deleted


def test_it_syncs_like_one_that_ships(shop: Workspace, crm: Any) -> None:
    """All rows, then what changed, then a deletion; a backfill finds everything known."""
    assert synced(shop) == (5, 5, 0, 0)
    assert synced(shop) == (0, 0, 0, 0)
    crm.put([{**SAMPLE[0], "name": "欧阳娜", "updated": "2026-03-02 08:00:00"}])
    assert synced(shop) == (1, 0, 1, 0)
    crm.delete([SAMPLE[1]["id"]])
    assert synced(shop) == (1, 0, 0, 1)
    assert len(rows_of(shop, schema.record)) == 4
    report = backfill(shop, "crm", departures=Departing())
    assert (report.read, report.nothing_new) == (7, True)


def test_it_is_checked_and_fails_like_one_that_ships(shop: Workspace, crm: Any) -> None:
    """A check finds nothing; failures come as Stop and Retry, and what was committed stays."""
    declared = shop.declaration.source("crm")

    def found() -> list[str]:
        source = open_source(declared, shop.declaration.folder, lookup_of(shop))
        reading = reading_of(shop, shop.now().date())
        return [one.rule for one in looked_at(source, declared, reading)]

    assert found() == []
    crm.fail(Failure.REFUSED)
    assert found() == ["wrong_token"]
    with pytest.raises(Stop, match="wrong_token"):
        synced(shop)
    crm.fail(Failure.BUSY)
    with pytest.raises(Retry, match="too_many_calls"):
        synced(shop)
    crm.fail(None)
    assert synced(shop) == (5, 5, 0, 0)
