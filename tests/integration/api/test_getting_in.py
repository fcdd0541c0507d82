"""The HTTP API: who gets in."""

import datetime as dt
import json
from dataclasses import replace
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.storage import schema
from tests.integration.api.site import (
    CANARY_PHONE,
    Site,
    assert_problem,
)
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


def test_every_bad_credential_gets_the_same_401(site: Site) -> None:
    """Errors 3: missing, garbled, unknown, expired and revoked keys cannot be told apart."""
    path = f"/v1/profiles/{site.ada}?purpose=service"
    with site.retailer.engine.begin() as connection:
        issue = lambda life: keys.issue(  # noqa: E731
            connection, site.retailer.keys, "clerk.bj01", NOW - dt.timedelta(days=2), life
        )
        expired, revoked = issue(dt.timedelta(days=1)), issue(dt.timedelta(days=9))
        keys.revoke(connection, revoked.id, NOW)
    bodies = set()
    for header in [
        None, "", "Bearer", "Bearer ", "Bearer canary", f"Basic {revoked.text}",
        f"Bearer {expired.text}", f"Bearer {revoked.text}", f"Bearer {expired.text}0",
        f"Bearer kith_{'0' * 16}_{'0' * 64}", revoked.text,
    ]:  # fmt: skip
        headers = {} if header is None else {"Authorization": header}
        response = site.client.get(path, headers=headers)
        assert_problem(response, 401, "unauthorised")
        assert response.headers["www-authenticate"] == 'Bearer realm="kith"'
        bodies.add(json.dumps({**response.json(), "request_id": ""}))
    assert len(bodies) == 1
    assert site.retailer.events() == []


def test_without_a_key_only_the_key_is_looked_up(site: Site) -> None:
    """Auth 1: a key that is none costs one look-up of the key; without any there is none."""
    statements: list[str] = []

    def noted(*call: object) -> None:
        # Beside the requests a thread asks whether the policy is still the same one.
        if "kith_policy" not in str(call[2]) and "policy_activation" not in str(call[2]):
            statements.append(str(call[2]))

    sa.event.listen(site.retailer.engine, "before_cursor_execute", noted)
    path = f"/v1/profiles/{site.ada}?purpose=service"
    assert_problem(site.client.get(path), 401, "unauthorised")
    assert statements == []
    garbled = site.client.get(path, headers={"Authorization": "Bearer garbled"})
    assert_problem(garbled, 401, "unauthorised")
    assert len(statements) == 1
    assert "api_key" in statements[0]


def test_who_left_the_house_is_refused_with_a_good_key(site: Site) -> None:
    """Auth 3: a key of somebody whom cdp.yaml no longer names opens nothing from then on."""
    header, path = site.key("clerk.bj01"), f"/v1/profiles/{site.ada}?purpose=service"
    assert site.client.get(path, headers=header).status_code == 200
    declared = site.retailer.workspace.declaration
    remaining = {name: one for name, one in declared.principals.items() if name != "clerk.bj01"}
    with site.retailer.engine.begin() as connection:
        changed = replace(declared, principals=MappingProxyType(remaining))
        sync_principals(connection, changed, NOW)
    assert_problem(site.client.get(path, headers=header), 401, "unauthorised")


def test_whoever_was_moved_is_moved_in_the_next_request(site: Site) -> None:
    """Auth 3: another process syncs that a clerk works elsewhere; this one goes by it at once."""
    header, path = site.key("clerk.bj01"), f"/v1/profiles/{site.ada}?purpose=service"
    assert site.client.get(path, headers=header).status_code == 200
    with site.retailer.engine.begin() as connection:
        moved = sa.update(schema.principal).where(schema.principal.c.id == "clerk.bj01")
        connection.execute(moved.values(assignments=["clerk@SZ01"]))
    assert_problem(site.client.get(path, headers=header), 404)
    with site.retailer.engine.begin() as connection:
        connection.execute(moved.values(assignments=["clerk@BJ99"]))
    refused = site.client.get(path, headers=header)
    assert_problem(refused, 403, "stopped")
    assert "restart this process" in refused.json()["detail"]


def test_a_request_acts_under_one_of_ones_own_assignments(site: Site) -> None:
    """Auth 5: the first, or the one that the header names; another one leaves an event."""
    with site.retailer.engine.begin() as connection:
        who = sa.update(schema.principal).where(schema.principal.c.id == "clerk.bj01")
        connection.execute(who.values(assignments=["clerk@SZ01", "clerk@BJ01"]))
    header, path = site.key("clerk.bj01"), f"/v1/profiles/{site.ada}?purpose=service"
    assert_problem(site.client.get(path, headers=header), 404)
    as_ = lambda text: site.client.get(path, headers={**header, "Kith-Acting-As": text})  # noqa: E731
    assert as_("clerk@BJ01").status_code == 200
    before = len(site.retailer.events())
    for text in (
        "manager@BJ01",
        "clerk@bj01",
        "clerk@",
        " clerk@BJ01 x",
        "%",
        "clerk@BJ01,clerk@SZ01",
    ):
        assert_problem(as_(text), 403, "not_your_assignment")
    refusals = site.retailer.events()[before:]
    assert {(one["action"], one["decision"]) for one in refusals} == {("session.act_as", "deny")}
    assert len(refusals) == 6


def test_one_transaction_holds_key_event_and_reading(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Auth 2: when the commit fails, the answer is an error and holds nothing of the person."""

    def no_commit(_: sa.Connection) -> None:
        raise sa.exc.OperationalError("COMMIT", None, Exception(CANARY_PHONE))

    header = site.key("clerk.bj01")
    sa.event.listen(site.retailer.engine, "commit", no_commit)
    response = site.client.get(f"/v1/profiles/{site.ada}?purpose=service", headers=header)
    sa.event.remove(site.retailer.engine, "commit", no_commit)
    assert_problem(response, 503, "database_unavailable")
    assert site.retailer.events() == []
