"""A shop that takes in webhooks, and senders that sign them as their systems do."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from standardwebhooks import Webhook

from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.journeys import tills

SECRETS = {
    name: "whsec_" + base64.b64encode(f"{name} of a made-up shop, long".encode()).decode()
    for name in ("secret", "former")
}
SHARED = "canary-shared-secret"
WRITE_KEY = "canary-write-key"
CONSENT = {"basis": "membership", "purposes": ["service"]}
FIELDS = {"name": "name", "phone": "phone", "email": "email"}
CRM: dict[str, Any] = {
    "connector": "webhook",
    "signature": {"scheme": "standard"},
    "credentials": {"secret": "file:secret.key", "former_secret": "file:former.key"},
    "rows": "data",
    "deleted": {"path": "type", "values": ["member.deleted"]},
    "cursor": "changed",
    "record_id": "id",
    "fields": FIELDS,
    "consent": CONSENT,
}
SHOPIFY: dict[str, Any] = {
    "connector": "webhook",
    "signature": {"scheme": "hmac", "header": "X-Shopify-Hmac-Sha256", "encoding": "base64"},
    "credentials": {"secret": "file:shared.key"},
    "only": {
        "header": "X-Shopify-Topic",
        "values": ["customers/create", "customers/update", "customers/delete"],
    },
    "deleted": {"header": "X-Shopify-Topic", "values": ["customers/delete"]},
    "record_id": "id",
    "fields": FIELDS,
    "consent": CONSENT,
}
FORGE: dict[str, Any] = {
    "connector": "webhook",
    "signature": {
        "scheme": "hmac",
        "header": "X-Hub-Signature-256",
        "encoding": "hex",
        "prefix": "sha256=",
        "timestamp_header": "X-Sent-At",
        "separator": ":",
    },
    "credentials": {"secret": "file:shared.key"},
    "most_per_second": 5,
    "record_id": "id",
    "deleted": {"column": "gone"},
    "fields": FIELDS,
    "consent": CONSENT,
}
WEB: dict[str, Any] = {
    "connector": "segment",
    "trust": "identities",
    "credentials": {"write_key": "file:web.key"},
    "fields": {"phone": "traits.phone"},
    "events": {"Order Completed": {}},
    "consent": CONSENT,
}
SOURCES = {"till": tills.TILL, "crm": CRM, "shopify": SHOPIFY, "forge": FORGE, "web": WEB}
PEOPLE = tills.crowd(60)


def write_world(folder: Path) -> None:
    """Write ``cdp.yaml``, the till and the secrets."""
    tills.write_declaration(folder, tills.declaration(sources=SOURCES))
    tills.write_till(folder, PEOPLE)
    for name, secret in {**SECRETS, "shared": SHARED, "web": WRITE_KEY}.items():
        write_secret(folder, name, secret)


def write_secret(folder: Path, name: str, secret: str) -> None:
    """Write one secret where the declaration says."""
    path = folder / f"{name}.key"
    path.write_text(secret)
    path.chmod(0o600)


class Clock:
    """A time that passes when told."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(time.time(), UTC) + self.ahead


def member(number: int, **more: Any) -> dict[str, Any]:
    """A member whom the till knows too."""
    known = PEOPLE[number]
    return {"id": f"m{number}", **{name: known[name] for name in FIELDS}, **more}


class World:
    """A running server, and its senders."""

    def __init__(self, workspace: Workspace, clock: Clock, url: str) -> None:
        self.workspace, self.clock, self.url = workspace, clock, url
        self.records = RecordKeys(workspace.keyring)
        self.client = httpx.Client(base_url=url, timeout=30)

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send bytes as they are."""
        return self.client.post(f"/v1/hooks/{source}", content=body, headers=headers)

    def standard(
        self,
        body: Any,
        name: str = "msg_1",
        *,
        to: str = "crm",
        secret: str = SECRETS["secret"],
        ago: float = 0,
        **headers: str,
    ) -> httpx.Response:
        """Send as Standard Webhooks are, signed by the independent library."""
        content = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        at = self.clock() - timedelta(seconds=ago)
        sent = {
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(name, at, content),
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        return self.post(to, content.encode(), sent)

    def shopify(
        self, body: Any, topic: str = "customers/update", secret: str = SHARED
    ) -> httpx.Response:
        """Send as Shopify does."""
        content = json.dumps(body).encode()
        digest = base64.b64encode(mac(secret, content)).decode()
        return self.post(
            "shopify", content, {"X-Shopify-Hmac-Sha256": digest, "X-Shopify-Topic": topic}
        )

    def forge(self, body: Any, ago: float = 0) -> httpx.Response:
        """Send as GitHub does, with a time that is signed."""
        content = json.dumps(body).encode()
        at = str(int(self.clock().timestamp() - ago))
        digest = mac(SHARED, f"{at}:".encode() + content).hex()
        headers = {"X-Hub-Signature-256": f"sha256={digest}", "X-Sent-At": at}
        return self.post("forge", content, headers)

    def events(self, *messages: dict[str, Any]) -> httpx.Response:
        """Send as an SDK does."""
        return self.client.post("/v1/batch", json={"batch": messages}, auth=(WRITE_KEY, ""))

    def record(self, source: str, record_id: str) -> sa.Row[Any] | None:
        """The row of a record."""
        key = self.records.record_key(source, record_id)
        table = schema.record
        with self.workspace.engine.connect() as connection:
            return connection.execute(sa.select(table).where(table.c.key == key)).one_or_none()

    def person(self, source: str, record_id: str) -> str | None:
        """The profile of a record."""
        row = self.record(source, record_id)
        if row is None:
            return None
        member = schema.membership.c
        with self.workspace.engine.connect() as connection:
            found = sa.select(member.profile_id).where(member.record_id == row.id)
            return connection.scalar(found)

    def all(self, statement: sa.Select[Any]) -> list[Any]:
        """What the database says."""
        with self.workspace.engine.connect() as connection:
            return list(connection.scalars(statement))


def mac(secret: str, content: bytes) -> bytes:
    """HMAC-SHA-256 by the standard library, which the product does not use."""
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()
