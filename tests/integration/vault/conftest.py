from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.vault.indexed import Indexed


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Indexed:
    return Indexed(engine, home)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, shop: Indexed) -> list[tuple[int, str]]:
    """Every cell that the vault opens: record and field, in order."""
    seen: list[tuple[int, str]] = []
    kind = type(shop.workspace.vault)
    real = kind.open_cells

    def watched(self, tier, record_id, revision, wrapped, sealed):
        seen.extend((record_id, name) for name in sealed)
        return real(self, tier, record_id, revision, wrapped, sealed)

    monkeypatch.setattr(kind, "open_cells", watched)
    return seen
