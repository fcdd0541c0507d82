from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.api.site import (
    Site,
)


@pytest.fixture
def site(engine: sa.Engine, home: Path) -> Iterator[Site]:
    site = Site(engine, home)
    with site.client:
        yield site
