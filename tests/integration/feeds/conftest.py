"""A workspace with feeds, on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.workspace import Workspace
from tests.integration.feeds.agreed import Shop
from tests.integration.feeds.deliveries import FEEDS
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture
def fed(tmp_path: Path, databases: Databases, template: str) -> Iterator[Workspace]:
    """A workspace whose sources are fed."""
    folder = tmp_path / "fed"
    tills.write_declaration(folder, tills.declaration(sources=FEEDS))
    workspace = tills.open_shop(folder, databases.copy(template))
    yield workspace
    workspace.engine.dispose()


@pytest.fixture
def fed_too(
    tmp_path: Path, databases: Databases, template: str, fed: Workspace
) -> Iterator[Workspace]:
    """Another one under the same key ring, to compare with."""
    folder = tmp_path / "fed_too"
    tills.write_declaration(folder, tills.declaration(sources=FEEDS))
    workspace = tills.open_shop(folder, databases.copy(template), fed.settings.key_ring)
    yield workspace
    workspace.engine.dispose()


@pytest.fixture
def shop(fed: Workspace) -> Iterator[Shop]:
    """A shop that has agreed on nothing yet, and its clock."""
    made = Shop(fed)
    yield made
    made.workspace.engine.dispose()
