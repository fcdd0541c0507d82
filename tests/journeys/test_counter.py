"""A counter as a person runs it: ``cdp serve --role counter`` on a machine of its own."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from api.app import create_app
from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.roles import COUNTER
from tests.integration.access.processes import masked, settings_of
from tests.integration.access.shop import NAME, NATIONAL_ID, PHONE, Shop
from tests.integration.api.site import TestClient
from tests.integration.retailer import NOW
from tests.journeys.commands import Shell

pytestmark = [pytest.mark.integration, pytest.mark.journey]
PATIENCE = 120  # seconds until a server answers


@dataclass
class Served:
    """A server in a process of its own."""

    url: str
    process: int
    headers: dict[str, dict[str, str]]

    def page(self, who: str, profile_id: str) -> httpx.Response:
        """One person as the API shows them."""
        address = f"{self.url}/v1/profiles/{profile_id}"
        return httpx.get(address, params={"purpose": "service"}, headers=self.headers[who])

    def post(self, who: str, path: str, body: object) -> httpx.Response:
        """Something sent."""
        return httpx.post(f"{self.url}{path}", json=body, headers=self.headers[who])

    def memory(self) -> bytes:
        """Everything that the process can write to and that is in its memory now."""
        found = []
        with (
            Path(f"/proc/{self.process}/maps").open() as maps,
            Path(f"/proc/{self.process}/mem").open("rb", 0) as memory,
        ):
            for line in maps:
                area, rights, *_ = line.split()
                start, end = (int(one, 16) for one in area.split("-"))
                if rights.startswith("rw") and "[v" not in line:
                    memory.seek(start)
                    try:
                        found.append(memory.read(end - start))
                    except OSError:
                        continue
        return b"".join(found)


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Shop:
    """A shop with masked forms."""
    shop = Shop(engine, home)
    masked(shop)
    with engine.begin() as connection:
        sync_principals(connection, shop.retailer.workspace.declaration, NOW)
    return shop


@contextmanager
def serving(shop: Shop, home: Path, *arguments: str) -> Iterator[Served]:
    """Serve the shop by the command until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = settings_of(shop, home)
    shell = Shell(settings.declaration.parent, settings.database_url, home)
    process = shell.start("serve", "--port", str(port), *arguments)
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        while not _ready(url):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.1)
        yield Served(url, process.pid, _headers(shop))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _headers(shop: Shop) -> dict[str, dict[str, str]]:
    digests, issued = ApiKeyDigests(shop.retailer.workspace.keyring), {}
    with shop.engine.begin() as connection:
        now = connection.scalar(sa.text("SELECT now()"))
        for who in ("clerk.bj01", "manager.bj01", "operator"):
            # Good in both processes: one goes by the made-up clock, the other by the real one.
            issued[who] = keys.issue(connection, digests, who, now).text
    return {who: {"Authorization": f"Bearer {text}"} for who, text in issued.items()}


def _elsewhere(shop: Shop, home: Path) -> Path:
    """The folder of the other machine: the extract as its key ring, and nothing else."""
    home.mkdir(mode=0o700)
    settings = settings_of(shop)
    shell = Shell(settings.declaration.parent, settings.database_url, settings.home)
    target = home / "keyring.json"
    shell.run("key", "extract", str(target), "--role", "counter", "--as", "operator")
    return home


def test_clerks_are_served_without_the_keys(shop: Shop, tmp_path: Path) -> None:
    """A counter with an extract shows a clerk what a full process shows, and can do no more."""
    whole = shop.retailer.workspace.keyring
    with serving(shop, _elsewhere(shop, tmp_path / "counter"), "--role", "counter") as counter:
        with TestClient(create_app(shop.retailer.workspace)) as full:
            address = f"/v1/profiles/{shop.ada}?purpose=service"
            page = full.get(address, headers=counter.headers["clerk.bj01"])
        seen = counter.page("clerk.bj01", shop.ada)
        assert seen.status_code == page.status_code == 200
        assert seen.json() == page.json()
        assert seen.json()["fields"]["phone"] == {"value": "139****6789", "treatment": "mask"}
        found = counter.post(
            "clerk.bj01",
            "/v1/profiles/lookup",
            {"field": "phone", "value": PHONE, "purpose": "service"},
        )
        assert [one["profile_id"] for one in found.json()["profiles"]] == [shop.ada]
        refused = counter.post(
            "manager.bj01",
            f"/v1/profiles/{shop.ada}/reveal",
            {"field": "phone", "purpose": "service", "reason": "Call back about ticket 4711"},
        )
        sent = counter.post("operator", "/v1/sources/pos/records", {"id": "X1"})
        memory = counter.memory()
    for answer in (refused, sent):
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "key_withheld"
    assert "--role contact" in refused.json()["detail"]
    assert "--role full" in sent.json()["detail"]
    assert whole.secret("masked").expose() in memory
    for purpose in COUNTER.withheld:
        assert whole.secret(purpose).expose() not in memory, purpose
    for value in (NAME, NATIONAL_ID):
        assert value.encode() not in memory
    denied = [event for event in shop.retailer.events() if event["reason"] == "key_withheld"]
    assert [event["action"] for event in denied] == ["profile.reveal", "records.send"]
