"""A world to learn from, and a shop to decide in."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from cdp.resolution import epochs
from cdp.workspace import Workspace
from tests.integration.conftest import Learnt
from tests.integration.decisions.town import (
    ORGANISATION,
    WHO,
)
from tests.journeys import tills
from tests.journeys.databases import Databases


@pytest.fixture
def shop(
    learnt: Learnt, tmp_path: Path, databases: Databases, template: str
) -> Iterator[Workspace]:
    """A small shop under the world's epoch, with a clock that moves on by a minute a look."""
    folder = tmp_path / "shop"
    tills.write_declaration(folder, tills.declaration(organisation=ORGANISATION, principals=WHO))
    opened = tills.open_shop(folder, databases.copy(template), learnt.workspace.settings.key_ring)
    minutes = count()
    start = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)
    workspace = replace(opened, now=lambda: start + dt.timedelta(minutes=next(minutes)))
    with workspace.engine.begin() as connection:
        epochs.activate(connection, learnt.model, workspace.now())
    yield workspace
    workspace.engine.dispose()
