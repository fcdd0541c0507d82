"""API keys: issued, scoped, rotated, used, revoked."""

import datetime as dt

import pytest
import sqlalchemy as sa

from cdp.access import keys
from cdp.access.principals import Standing, acting
from cdp.errors import KithError, Refused, Stop
from cdp.storage import schema
from policies.reasons import Reason
from policies.vocabulary import Action
from tests.integration.access.shop import Shop
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration
DAY = dt.timedelta(days=1)


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
        for one in (good, short):
            standing = keys.authenticate(connection, records, one.text, NOW)
            assert standing == Standing("crm", ("service@kith",), "crm")
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


def test_a_scope_narrows_and_never_adds(shop: Shop) -> None:
    """Keys 4: a key for reading reads as its role does, and does nothing else of it."""
    with shop.engine.begin() as connection:
        narrow = keys.issue(
            connection, shop.retailer.keys, "manager.bj01", NOW, scopes=["read", "audit"]
        )
        wide = keys.issue(connection, shop.retailer.keys, "manager.bj01", NOW)
        found = [
            keys.authenticate(connection, shop.retailer.keys, one.text, NOW)
            for one in (narrow, wide)
        ]
    declaration, policy = shop.retailer.workspace.declaration, shop.retailer.workspace.policy
    less, full = (acting(one, "manager@BJ01", declaration) for one in found)
    assert (less.actions, full.actions) == ({"read", "audit"}, None)
    here = frozenset({"BJ01"})
    for action in Action:
        one = policy.decide(less, action, "profile_id", "service", here)
        other = policy.decide(full, action, "profile_id", "service", here)
        if action in less.actions:
            assert one == other
        else:
            assert not one.allowed
            assert not other.allowed or one.reason is Reason.OUTSIDE_KEY
    assert policy.decide(less, "read", "profile_id", "service", here).allowed
    assert not policy.decide(less, "audit", "none", "legal", None).allowed


@pytest.mark.parametrize("scope", ["everything", "", "READ", "read ", "reveal,read"])
def test_an_unknown_scope_is_refused(shop: Shop, scope: str) -> None:
    """Keys 4: a word that is no action would be a key that is good for nothing, or a mistake."""
    with shop.engine.begin() as connection, pytest.raises(Refused, match="unknown_scope"):
        keys.issue(connection, shop.retailer.keys, "crm", NOW, scopes=["read", scope])


def test_a_rotated_key_goes_on_for_the_overlap(shop: Shop) -> None:
    """Keys 5: both work until it is over, then only the successor, with the same limits."""
    with shop.engine.begin() as connection:
        digests = shop.retailer.keys
        old = keys.issue(connection, digests, "crm", NOW, 90 * DAY, scopes=["read"])
        later = NOW + 10 * DAY
        new = keys.rotate(connection, digests, old.id, later, DAY)
        assert (new.principal_id, new.scopes) == ("crm", ("read",))
        assert new.expires_at == later + 90 * DAY
        for one in (old, new):
            assert keys.authenticate(connection, digests, one.text, later) is not None
        assert keys.authenticate(connection, digests, old.text, later + DAY) is None
        assert keys.authenticate(connection, digests, new.text, later + DAY) is not None


def test_a_rotation_never_makes_a_key_last_longer(shop: Shop) -> None:
    """Keys 5: one that ends before the overlap does ends then; one that ended is not rotated."""
    with shop.engine.begin() as connection:
        digests = shop.retailer.keys
        short = keys.issue(connection, digests, "crm", NOW, DAY)
        keys.rotate(connection, digests, short.id, NOW, 7 * DAY)
        assert keys.authenticate(connection, digests, short.text, NOW + DAY) is None
        for gone, when in ((short.id, NOW + DAY), ("none", NOW)):
            with pytest.raises(Stop, match="no_such_key"):
                keys.rotate(connection, digests, gone, when, DAY)
        for overlap in (-DAY, 31 * DAY):
            with pytest.raises(Refused, match="overlap_out_of_range"):
                keys.rotate(connection, digests, short.id, NOW, overlap)
        at_once = keys.issue(connection, digests, "crm", NOW)
        keys.rotate(connection, digests, at_once.id, NOW, dt.timedelta(0))
        assert keys.authenticate(connection, digests, at_once.text, NOW) is None


def test_a_key_has_one_successor(shop: Shop) -> None:
    """Keys 5: a second rotation in the overlap is refused; its successor lives as long."""
    with shop.engine.begin() as connection:
        digests = shop.retailer.keys
        old = keys.issue(connection, digests, "crm", NOW, 90 * DAY)
        new = keys.rotate(connection, digests, old.id, NOW + 10 * DAY, DAY)
        with pytest.raises(Refused, match="key_has_a_successor"):
            keys.rotate(connection, digests, old.id, NOW + 10 * DAY, DAY)
        newer = keys.rotate(connection, digests, new.id, NOW + 20 * DAY, DAY)
        assert newer.expires_at == NOW + 110 * DAY
        assert len(keys.list_keys(connection, NOW)) == 3


def test_a_key_is_judged_anew_in_each_request(shop: Shop) -> None:
    """Keys 6: revoked, moved and left count in the next look-up, which is one statement."""
    with shop.engine.begin() as connection:
        key = keys.issue(connection, shop.retailer.keys, "clerk.bj01", NOW)
        keys.authenticate(connection, shop.retailer.keys, key.text, NOW)
        statements: list[str] = []
        sa.event.listen(
            connection, "before_cursor_execute", lambda *call: statements.append(call[2])
        )
        ask = lambda: keys.authenticate(connection, shop.retailer.keys, key.text, NOW)  # noqa: E731
        assert ask() == Standing("clerk.bj01", ("clerk@BJ01",), None)
        assert len(statements) == 1
        who = sa.update(schema.principal).where(schema.principal.c.id == "clerk.bj01")
        connection.execute(who.values(assignments=["manager@SZ01"]))
        assert ask() == Standing("clerk.bj01", ("manager@SZ01",), None)
        connection.execute(who.values(assignments=[]))
        assert ask() is None
        connection.execute(who.values(assignments=["manager@SZ01"]))
        keys.revoke(connection, key.id, NOW)
        assert ask() is None


def test_of_many_requests_in_an_hour_one_writes(shop: Shop) -> None:
    """Keys 7: when it was last used is the hour; nobody waits for another one who writes it."""
    digests = shop.retailer.keys
    with shop.engine.begin() as connection:
        key = keys.issue(connection, digests, "crm", NOW)
    statements: list[str] = []
    sa.event.listen(shop.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for minute in range(25):
        with shop.engine.begin() as connection:
            keys.authenticate(connection, digests, key.text, NOW + dt.timedelta(minutes=minute))
    assert sum("UPDATE" in one and "SET" in one for one in statements) == 1
    with shop.engine.begin() as slow, shop.engine.begin() as other:
        next_hour = NOW + dt.timedelta(hours=1)
        other.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
        assert keys.authenticate(slow, digests, key.text, next_hour) is not None
        assert keys.authenticate(other, digests, key.text, next_hour) is not None
    with shop.engine.begin() as connection:
        (listed,) = keys.list_keys(connection, NOW)
    assert listed.last_used_at == next_hour.replace(minute=0)
