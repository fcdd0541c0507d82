from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.access.shop import (
    Shop,
)


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Shop:
    return Shop(engine, home)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> list[str]:
    """Every field that the vault opens, in order."""
    seen: list[str] = []
    real = type(shop.retailer.workspace.vault).open_cells

    def watched(self, tier, record_id, revision, wrapped, sealed):
        seen.extend(sealed)
        return real(self, tier, record_id, revision, wrapped, sealed)

    monkeypatch.setattr(type(shop.retailer.workspace.vault), "open_cells", watched)
    return seen
