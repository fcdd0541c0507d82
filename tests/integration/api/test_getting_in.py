"""The HTTP API: who gets in."""

import datetime as dt
import json

import pytest
import sqlalchemy as sa

from cdp.access import keys
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
    """Auth 1: a caller without a key costs one look-up of the key and reads nothing else."""
    statements: list[str] = []
    sa.event.listen(
        site.retailer.engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    site.client.get(f"/v1/profiles/{site.ada}?purpose=service")
    assert len(statements) == 1
    assert "api_key" in statements[0]


def test_who_left_the_house_is_refused_with_a_good_key(site: Site) -> None:
    """Auth 3: a key of somebody whom cdp.yaml no longer names opens nothing."""
    header = site.key("clerk.bj01")
    with site.retailer.engine.begin() as connection:
        connection.execute(
            schema.principal.insert().values(id="gone", role="clerk", node="BJ01", at=NOW)
        )
        connection.execute(sa.update(schema.api_key).values(principal_id="gone"))
    response = site.client.get(f"/v1/profiles/{site.ada}?purpose=service", headers=header)
    assert_problem(response, 401, "unauthorised")


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
