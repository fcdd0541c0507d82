"""What integration tests share: databases to copy, and a small world that was learnt once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from cdp.demo.world import write_world
from cdp.ingest.sync import sync
from cdp.resolution import epochs
from cdp.resolution.run import resolve
from cdp.workspace import Workspace
from identity.model import Model
from tests.journeys import tills
from tests.journeys.databases import Databases


@dataclass(frozen=True)
class Learnt:
    """A small made-up world, resolved, and the epoch that it gave."""

    workspace: Workspace
    model: Model


@pytest.fixture(scope="module")
def databases(server: sa.URL) -> Iterator[Databases]:
    """More databases on the same server; they go when the module's tests have ended."""
    with Databases(server) as made:
        yield made


@pytest.fixture(scope="session")
def kept_databases(server: sa.URL) -> Iterator[Databases]:
    """More databases on the same server, for what is made once for all tests."""
    with Databases(server) as made:
        yield made


@pytest.fixture(scope="session")
def learnt(
    tmp_path_factory: pytest.TempPathFactory, kept_databases: Databases, template: str
) -> Learnt:
    """A small made-up world, resolved once. Read it or copy it; nobody may change it."""
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=160, seed=7)
    workspace = tills.open_shop(folder, kept_databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    resolve(workspace)
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
    assert active is not None
    # Only a database that nobody is connected to can be copied.
    workspace.engine.dispose()
    return Learnt(workspace, active[1])


@pytest.fixture
def copied(learnt: Learnt, databases: Databases) -> Iterator[Workspace]:
    """A copy of the learnt world, for a test that changes it."""
    url = databases.copy_of(str(learnt.workspace.settings.database_url))
    settings = replace(learnt.workspace.settings, database_url=url)
    workspace = tills.reopen(learnt.workspace, settings)
    yield workspace
    workspace.engine.dispose()
