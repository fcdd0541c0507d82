"""What tests of policy versions share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.policy.office import Office


@pytest.fixture
def office(tmp_path: Path, database_url: str) -> Iterator[Office]:
    """A fresh workspace, whose policy is the shipped one."""
    made = Office(tmp_path, database_url)
    yield made
    made.close()
