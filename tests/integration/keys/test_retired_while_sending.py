"""A key retired while a record is being sent; keeping 6 on the way of a single record."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest import intake
from cdp.resolution.online import Arrivals
from cdp.storage import schema
from cdp.storage.key_schema import SealedUnderRetiredKey
from cdp.workspace import Workspace
from tests.integration.keys.rotated import new_version

pytestmark = pytest.mark.integration
ROW = json.dumps({"openid": "oSlow0001", "phone": "13957149999"})
NEWEST = sa.text(
    "SELECT key_version FROM kith_keys.data_key WHERE tier = 'contact' "
    "ORDER BY record_id DESC LIMIT 1"
)


def retire_while_it_is_sealed(
    town: Workspace, monkeypatch: pytest.MonkeyPatch, *, renew: bool
) -> None:
    """Between sealing and storing the version goes, once; with ``renew`` there is a new one."""
    write, calls = intake.write_records, []

    def late(*given: Any, **named: Any) -> None:
        if not calls:
            calls.append(given)
            if renew:
                new_version(town, "contact")
            with town.engine.begin() as connection:
                row = {"purpose": "contact", "version": 1, "at": town.now()}
                connection.execute(sa.insert(schema.retired_key).values(row))
        write(*given, **named)

    monkeypatch.setattr(intake, "write_records", late)


def test_a_slow_sender_seals_anew(town: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sealed under a version that was retired since is sealed under the next one."""
    retire_while_it_is_sealed(town, monkeypatch, renew=True)
    assert Arrivals(town, "miniprogram").resolve([ROW]).stored == 1
    with town.engine.connect() as connection:
        assert connection.scalar(NEWEST) == 2


def test_without_a_newer_key_nothing_is_stored(
    town: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that never learns of a newer version stores nothing, and says what to do."""
    retire_while_it_is_sealed(town, monkeypatch, renew=False)
    count = sa.select(sa.func.count()).select_from(schema.record)
    with town.engine.connect() as connection:
        before = connection.scalar(count)
    with pytest.raises(SealedUnderRetiredKey, match="run it again"):
        Arrivals(town, "miniprogram").resolve([ROW])
    with town.engine.connect() as connection:
        assert connection.scalar(count) == before
