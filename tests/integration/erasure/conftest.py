"""A shop with people to erase, under an epoch that was learnt once."""

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from cdp.resolution import epochs
from cdp.workspace import Workspace, create
from tests.integration.conftest import Learnt
from tests.integration.erasure.household import declared, settle
from tests.journeys import tills
from tests.journeys.databases import Databases

START = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def household(
    learnt: Learnt,
    tmp_path_factory: pytest.TempPathFactory,
    kept_databases: Databases,
    template: str,
) -> Workspace:
    """A shop of one household, resolved; nobody is connected to it, so that it can be copied."""
    folder = tmp_path_factory.mktemp("household") / "shop"
    tills.write_declaration(folder, declared())
    opened = tills.open_shop(
        folder, kept_databases.copy(template), learnt.workspace.settings.key_ring
    )
    with opened.engine.begin() as connection:
        epochs.activate(connection, learnt.model, START)
    settle(replace(opened, now=lambda: START))
    opened.engine.dispose()
    return opened


@pytest.fixture
def shop(household: Workspace, tmp_path: Path, databases: Databases) -> Iterator[Workspace]:
    """A copy of the household, with a clock that moves on by a minute a look."""
    folder = tmp_path / "shop"
    shutil.copytree(household.settings.home.parent, folder)
    assert household.settings.database_url is not None
    copy = databases.copy_of(household.settings.database_url)
    minutes = count(1)
    opened = create(tills.settings(folder, copy))
    yield replace(opened, now=lambda: START + dt.timedelta(minutes=next(minutes)))
    opened.engine.dispose()
