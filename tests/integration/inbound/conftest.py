"""A shop whose people are known from the till, once for a file; a copy for each test."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.serve import server
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from tests.integration.inbound.shop import Shop, moved, write_shop
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
    running = server(shop.workspace, port=0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(15)
