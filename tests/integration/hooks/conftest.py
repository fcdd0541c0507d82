"""A shop that takes in webhooks, prepared once for a file; a copy, served, for each test."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from tests.integration.hooks.world import Clock, World, write_world
from tests.integration.served import served
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Workspace:
    """Sixty members of the till, resolved once."""
    folder = tmp_path_factory.mktemp("hooks")
    write_world(folder)
    workspace = tills.open_shop(folder, databases.copy(template))
    sync(workspace, "till")
    resolve(workspace)
    workspace.engine.dispose()
    return workspace


@pytest.fixture
def world(prepared: Workspace, databases: Databases, tmp_path: Path) -> Iterator[World]:
    """A copy, served by uvicorn on a port of this machine."""
    url = databases.copy_of(str(prepared.settings.database_url))
    home = Path(shutil.copytree(prepared.settings.home, tmp_path / "home"))
    settings = replace(prepared.settings, database_url=url, home=home)
    clock = Clock()
    workspace = replace(tills.reopen(prepared, settings), now=clock)
    with served(workspace) as url:
        world = World(workspace, clock, url)
        with world.client:
            yield world
    workspace.engine.dispose()
