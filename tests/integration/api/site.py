"""A retailer served over HTTP, and what every problem looks like."""

import warnings
from pathlib import Path

import httpx
import sqlalchemy as sa

from api.app import create_app
from api.errors import MEDIA_TYPE
from cdp.access import keys
from tests.integration.retailer import NOW, Retailer

with warnings.catch_warnings():
    # Starlette would rather have another client package; httpx is the one we ship.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient


CANARY_NAME, CANARY_PHONE = "欧阳金丝", "+8613912346789"
CANARY_MAIL, CANARY_ID = "canary.bird@example.com", "11010519491231002X"
CANARIES = (CANARY_NAME, CANARY_PHONE, CANARY_PHONE[3:], CANARY_MAIL, CANARY_ID, "canary")
NOBODY_ID = "p0000000000000000000z"


class Site:
    """A retailer served over HTTP, and a key for each principal."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        self.retailer = Retailer(engine, home)
        self.app = create_app(self.retailer.workspace)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.ada = self.retailer.person(
            self.retailer.record(
                "pos",
                {
                    "name": CANARY_NAME,
                    "phone": CANARY_PHONE,
                    "email": CANARY_MAIL,
                    "national_id": CANARY_ID,
                },
                store="BJ01",
                attributes={"orders": 2, "total_spent": "10.5"},
            )
        )
        self._keys: dict[str, str] = {}

    def restart(self) -> None:
        """Serve what the declaration says now, as a process that is started anew does."""
        self.retailer.workspace.__dict__.pop("declaration")
        self.app = create_app(self.retailer.workspace)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def key(self, who: str) -> dict[str, str]:
        """The header that lets ``who`` in."""
        if who not in self._keys:
            with self.retailer.engine.begin() as connection:
                issued = keys.issue(connection, self.retailer.keys, who, NOW)
            self._keys[who] = issued.text
        return {"Authorization": f"Bearer {self._keys[who]}"}

    def get(self, who: str, path: str) -> httpx.Response:
        """GET as ``who``."""
        return self.client.get(path, headers=self.key(who))

    def post(self, who: str, path: str, body: object) -> httpx.Response:
        """POST JSON as ``who``."""
        return self.client.post(path, headers=self.key(who), json=body)


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> None:
    """One shape, one media type, the security headers, and nothing of the canary."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert code in {None, body["code"]}
    assert not [canary for canary in CANARIES if canary in response.text]
