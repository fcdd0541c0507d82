import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from cdp.access import passwords
from cdp.access.principals import sync_principals
from cdp.workspace import utc_now
from policies.claims import read_claims
from tests.integration.signing_in.fake_provider import FakeProvider
from tests.integration.signing_in.house import ADDRESS, QUICK, House
from tests.integration.signing_in.people import MAPPING

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import oidc_provider_mock


@pytest.fixture
def house(engine: sa.Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(passwords, "COSTS", QUICK)
    return House(engine, home)


@pytest.fixture
def issuer() -> Iterator[str]:
    """The address of a provider that is running."""
    server = make_server("127.0.0.1", 0, oidc_provider_mock.app(require_nonce=True), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def federated(engine: sa.Engine, home: Path, issuer: str) -> House:
    """A house whose people come from the provider; its clock is the provider's."""
    house = House(
        engine, home, oidc_issuer=issuer, oidc_client_id="kith", oidc_client_secret="made-up",
        public_url=ADDRESS,
    )  # fmt: skip
    house.retailer.clock = utc_now()
    declared = house.workspace.declaration
    mapping = read_claims(MAPPING, declared.organisation)
    house.workspace.__dict__["declaration"] = replace(declared, claims=mapping)
    with engine.begin() as connection:
        sync_principals(connection, house.workspace.declaration, house.workspace.now())
    return house


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()
