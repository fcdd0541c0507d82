"""API keys after a rotation of their key, in a server that goes on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.access import keys
from cdp.access.principals import subject_of
from cdp.keys.keeping import KeyKeeper
from cdp.vault import ring_source
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.keyring import KeyRing
from tests.integration.api.site import Site, assert_problem
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


@pytest.fixture
def site(engine: sa.Engine, home: Path) -> Iterator[Site]:
    site = Site(engine, home)
    with site.client:
        yield site


def test_a_rotation_ends_every_api_key_of_a_running_server(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process rotates: the server refuses each key of before, and takes each new one."""
    monkeypatch.setattr(ring_source, "LOOK_AGAIN", 0.0)
    path = f"/v1/profiles/{site.ada}?purpose=service"
    leaked = site.key("clerk.bj01")
    assert site.client.get(path, headers=leaked).status_code == 200
    mine = site.retailer.workspace
    other = replace(mine, keyring=KeyRing.open(mine.settings.key_ring, mine.id))
    KeyKeeper(other, subject_of(other, "operator")).rotate("api-keys", confirmed=True)
    assert_problem(site.client.get(path, headers=leaked), 401, "unauthorised")
    with site.retailer.engine.begin() as connection:
        issued = keys.issue(connection, ApiKeyDigests(other.keyring), "clerk.bj01", NOW)
    fresh = {"Authorization": f"Bearer {issued.text}"}
    assert site.client.get(path, headers=fresh).status_code == 200
