"""A shop whose people are known from the till, once for a file; a copy for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from tests.integration.inbound.shop import Shop, moved, write_shop
from tests.integration.served import served
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Workspace:
    """Forty members of the till, resolved once."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    workspace = tills.open_shop(folder, databases.copy(template))
    tills.write_till(folder, tills.crowd(60))
    sync(workspace, "till")
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


@pytest.fixture
def shop(prepared: Workspace, databases: Databases, tmp_path: Path) -> Iterator[Shop]:
    """A copy of the shop, served."""
    url = databases.copy_of(str(prepared.settings.database_url))
    home = Path(shutil.copytree(prepared.settings.home, tmp_path / "home"))
    workspace = moved(prepared, url, home)
    shop = Shop(workspace)
    with shop.client:
        yield shop
    workspace.engine.dispose()


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """A running server on a free port of the loopback address."""
    with served(shop.workspace) as url:
        yield url
