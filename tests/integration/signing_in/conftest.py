from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access import passwords
from tests.integration.signing_in.house import QUICK, House


@pytest.fixture
def house(engine: sa.Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(passwords, "COSTS", QUICK)
    return House(engine, home)
