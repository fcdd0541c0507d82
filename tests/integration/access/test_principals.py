"""Who may ask at all: principals and their keys."""

import datetime as dt
from dataclasses import replace
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.errors import KithError, Refused, Stop
from cdp.storage import schema
from tests.integration.access.shop import (
    Shop,
)
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


def test_a_service_gets_the_contract_of_its_destination(shop: Shop) -> None:
    """Principals 2: fields and purpose come from the destination; without one, nothing does."""
    crm, stray = shop.subject("crm"), shop.subject("stray")
    assert crm.contract_fields == {"profile_id", "name", "phone", "tags"}
    assert crm.contract_purpose == "marketing"
    assert (stray.contract_fields, stray.contract_purpose) == (frozenset(), None)
    with pytest.raises(Stop, match="no_such_principal"):
        shop.subject("somebody")


def test_who_left_is_gone_and_their_keys_are_revoked(shop: Shop) -> None:
    """Principals 1: syncing again changes nothing; a principal who left loses their keys."""
    workspace, later = shop.retailer.workspace, NOW + dt.timedelta(hours=1)
    with shop.engine.begin() as connection:
        assert sync_principals(connection, workspace.declaration, later) == 0
        key = keys.issue(connection, shop.retailer.keys, "clerk.bj01", NOW)
        left = {"clerk.bj01", "operator"}
        remaining = {
            name: replace(one, node="south") if name == "clerk.sz01" else one
            for name, one in workspace.declaration.principals.items()
            if name not in left
        }
        changed = replace(workspace.declaration, principals=MappingProxyType(remaining))
        assert sync_principals(connection, changed, later) == 3
        stored = dict(
            connection.execute(sa.select(schema.principal.c.id, schema.principal.c.node)).all()
        )
        assert stored["clerk.sz01"] == "south"
        assert "clerk.bj01" in stored  # its key still names it
        assert "operator" not in stored
        assert keys.authenticate(connection, shop.retailer.keys, key.text, later) is None
        assert sync_principals(connection, changed, later) == 0


# ── keys ────────────────────────────────────────────────────────────────────


def test_a_key_is_shown_once_and_stored_as_a_digest(shop: Shop) -> None:
    """Keys 1: neither the table nor a listing nor a repr holds the secret half."""
    with shop.engine.begin() as connection:
        key = keys.issue(connection, shop.retailer.keys, "crm", NOW)
        secret = key.text.rpartition("_")[2]
        row = connection.execute(sa.select(schema.api_key)).one()
        (listed,) = keys.list_keys(connection, NOW)
    assert key.text == f"kith_{key.id}_{secret}"
    assert secret not in f"{key!r} {listed!r} {row!r}"
    assert secret.encode() not in bytes(row.digest)
    assert bytes.fromhex(secret) not in bytes(row.digest)
    assert (listed.principal_id, listed.state) == ("crm", "active")


def test_every_bad_key_gets_one_answer(shop: Shop) -> None:
    """Keys 2: unknown, garbled, wrong, expired and revoked keys are nobody's."""
    records, day = shop.retailer.keys, dt.timedelta(days=1)
    with shop.engine.begin() as connection:
        good = keys.issue(connection, records, "crm", NOW)
        short = keys.issue(connection, records, "crm", NOW, day)
        ended = keys.issue(connection, records, "crm", NOW)
        assert keys.revoke(connection, ended.id, NOW + day)
        assert not keys.revoke(connection, ended.id, NOW)
        assert not keys.revoke(connection, "none", NOW)
        assert keys.authenticate(connection, records, good.text, NOW) == "crm"
        assert keys.authenticate(connection, records, short.text, NOW) == "crm"
        bad = [
            short.text, ended.text, "", "kith", "kith__", good.text + "0", good.text[:-1],
            good.text.upper(), f"kith_{'0' * 16}_{'0' * 64}", f"kith_{good.id}_{'0' * 64}",
            f"kith_{short.id}_{good.text.rpartition('_')[2]}", "\0\ud800",
        ]  # fmt: skip
        for text in bad:
            assert keys.authenticate(connection, records, text, NOW + day) is None
        states = {key.id: key.state for key in keys.list_keys(connection, NOW + day)}
    assert states == {good.id: "active", short.id: "expired", ended.id: "revoked"}


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_key_ends(shop: Shop, days: int) -> None:
    """Keys 3: a key without an end, or with one too far off, is not issued."""
    with shop.engine.begin() as connection, pytest.raises(Refused, match="key_life"):
        keys.issue(connection, shop.retailer.keys, "crm", NOW, dt.timedelta(days=days))
    with shop.engine.begin() as connection, pytest.raises(KithError, match="no_such_principal"):
        keys.issue(connection, shop.retailer.keys, "somebody", NOW)
