"""Workspaces with databases of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.workspace import Workspace
from tests.integration.sync.deliveries import Opener
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Opener]:
    """Opens workspaces with databases of their own, all under the first one's key ring."""
    opened: list[Workspace] = []

    def open_one(folder: Path | None = None) -> Workspace:
        ring = opened[0].settings.key_ring if opened else None
        place = folder or tmp_path / f"shop{len(opened)}"
        opened.append(tills.open_shop(place, databases.copy(template), ring))
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()
