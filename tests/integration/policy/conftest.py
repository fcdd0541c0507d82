"""What tests of policy versions share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.policy.office import Office
from tests.journeys.databases import Databases


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str) -> Office:
    """A workspace whose policy is the shipped one, to copy: making one takes far longer."""
    made = Office(tmp_path_factory.mktemp("office"), databases.copy(template))
    # Only a database that nobody is connected to can be copied.
    made.close()
    return made


@pytest.fixture
def office(begun: Office, tmp_path: Path, server: sa.URL) -> Iterator[Office]:
    """A fresh workspace, whose policy is the shipped one."""
    shutil.copytree(begun.settings.home, tmp_path / "home")
    with Databases(server) as copies:
        url = copies.copy_of(str(begun.settings.database_url))
        made = Office(tmp_path, url, begun=True)
        yield made
        made.close()
