"""Events are rows of people: who may see them. See `cdp/storage/scopes.py`."""

import pytest
import sqlalchemy as sa

from cdp.storage import roles
from tests.integration.inbound.shop import Shop, identify, track

pytestmark = pytest.mark.integration
DEVICE = "5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e01"
TABLES = ("kith.event", "kith.event_device")


def test_who_serves_reads_no_event(shop: Shop) -> None:
    """No role of a serving process has a grant on any of the tables."""
    with shop.workspace.engine.connect() as connection:
        for role in roles.ROLES:
            for table in (*TABLES, "kith.event_tally"):
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                    asked = sa.select(sa.func.has_table_privilege(role, table, right))
                    assert connection.scalar(asked) is False


def test_even_with_a_grant_only_those_in_scope_are_seen(shop: Shop) -> None:
    """Who says nothing sees none; of a store none of another; of nobody's device none at all."""
    shop.send(
        identify("u3", "m1", phone="13900000003", name="刘敏伟", email="m3@example.com")
        | {"anonymousId": DEVICE},
        track("u3", "t1"),
        track(None, "t2", anonymousId="stranger"),
    )
    with shop.workspace.engine.connect() as connection:
        connection.execute(sa.text(f"GRANT SELECT ON {', '.join(TABLES)} TO {roles.SENSITIVE}"))
        connection.execute(sa.text(f"SET LOCAL ROLE {roles.SENSITIVE}"))
        for scope, events, devices in (
            ("", 0, 0), ("all", 0, 0), ("stores:SZ01", 0, 0), ("stores:BJ01", 2, 1),
            ("everybody", 3, 1),
        ):  # fmt: skip
            said = sa.text("SELECT set_config('kith.scope', :scope, true)")
            connection.execute(said, {"scope": scope})
            seen = [connection.scalar(sa.text(f"SELECT count(*) FROM {one}")) for one in TABLES]
            assert (scope, *seen) == (scope, events, devices)
        connection.rollback()


def test_the_owner_is_bound_too(shop: Shop) -> None:
    """Row-level security is forced on both tables."""
    asked = sa.text(
        "SELECT bool_and(relrowsecurity AND relforcerowsecurity) FROM pg_class "
        "WHERE oid = ANY(CAST(:tables AS regclass[]))"
    )
    with shop.workspace.engine.connect() as connection:
        assert connection.scalar(asked, {"tables": list(TABLES)}) is True
