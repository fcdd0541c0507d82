"""A world to learn from, and a shop to decide in."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.demo.world import write_world
from cdp.ingest.sync import sync
from cdp.resolution import epochs
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from identity.model import Model
from tests.integration.decisions.town import (
    ORGANISATION,
    WHO,
)
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture(scope="session")
def databases(server: sa.URL) -> Iterator[Databases]:
    with Databases(server) as made:
        yield made


@pytest.fixture(scope="session")
def learnt(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Iterator[tuple[Workspace, Model]]:
    """A small made-up world, resolved, and the epoch that it gave."""
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=160, seed=7)
    workspace = tills.open_shop(folder, databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    resolve(workspace)
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
    assert active is not None
    yield workspace, active[1]
    workspace.engine.dispose()


@pytest.fixture
def shop(
    learnt: tuple[Workspace, Model], tmp_path: Path, databases: Databases, template: str
) -> Iterator[Workspace]:
    """A small shop under the world's epoch, with a clock that moves on by a minute a look."""
    folder = tmp_path / "shop"
    tills.write_declaration(folder, tills.declaration(organisation=ORGANISATION, principals=WHO))
    opened = tills.open_shop(folder, databases.copy(template), learnt[0].settings.key_ring)
    minutes = count()
    start = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)
    workspace = replace(opened, now=lambda: start + dt.timedelta(minutes=next(minutes)))
    with workspace.engine.begin() as connection:
        epochs.activate(connection, learnt[1], workspace.now())
    yield workspace
    workspace.engine.dispose()
