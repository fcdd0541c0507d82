"""Workspaces whose sources have schedules."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdp.workspace import Workspace
from tests.journeys import tills
from tests.journeys.databases import Databases

Opener = Callable[..., Workspace]


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, template: str) -> Iterator[Opener]:
    """Opens workspaces with these sources, each on a database of its own, under one key ring."""
    opened: list[Workspace] = []

    def open_one(sources: dict[str, Any]) -> Workspace:
        folder = tmp_path / f"shop{len(opened)}"
        tills.write_declaration(folder, tills.declaration(sources=sources))
        ring = opened[0].settings.key_ring if opened else None
        opened.append(tills.open_shop(folder, databases.copy(template), ring))
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()
