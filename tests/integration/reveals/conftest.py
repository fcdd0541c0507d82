from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.reveals.house import House


@pytest.fixture
def house(engine: sa.Engine, home: Path) -> House:
    return House(engine, home)
