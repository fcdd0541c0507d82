"""A shop with a till, a web shop's SDKs and a browser's, served over HTTP."""

import base64
import gzip
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api.app import create_app
from cdp.ingest import happenings
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.journeys import tills

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have another client package
    from fastapi.testclient import TestClient

KEYS = {name: f"{name}-write-key-91" for name in ("web", "bag", "page", "gods", "cloud")}
IDENTITY_KEY = "identity-key-of-the-page"
WHO = [
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "officer", "role": "compliance", "node": "kith"},
    {"id": "wires", "role": "operator", "node": "kith"},
]
ORIGIN = "https://shop.example.com"
ORDER = {
    "properties": {
        "total": {"column": "properties.total", "type": "decimal"},
        "channel": {"column": "context.channel", "type": "category"},
    }
}
FIELDS: dict[str, Any] = {
    "phone": "traits.phone",
    "email": "traits.email",
    "name": "traits.name",
    "national_id": "traits.id_number",
    "anonymous_id": {"column": "anonymousId", "scope": "web"},
}
CONSENT = {"basis": "consent", "purposes": ["service", "marketing"]}


def inbound(name: str, **more: Any) -> dict[str, Any]:
    """The entry of an inbound source in cdp.yaml."""
    return {
        "connector": "segment",
        "trust": "identities",
        "credentials": {"write_key": f"file:{name}.key"},
        "fields": FIELDS,
        "attributes": {"orders": {"column": "traits.orders", "type": "integer"}},
        "consent": CONSENT,
        "events": {"Order Completed": ORDER, "Viewed": {"kind": "page"}},
        **more,
    }


INBOUND = {
    "web": inbound("web"),
    "bag": inbound("bag", connector="rudder"),
    "page": inbound(
        "page",
        trust="events",
        origins=[ORIGIN],
        credentials={"write_key": "file:page.key", "identity_key": "file:identity.key"},
        consent_categories={"Advertising": ["marketing"]},
        most_per_second=1000,
    ),
    "gods": inbound("gods", connector="sensors"),
    "cloud": inbound("cloud", connector="cloudevents"),
}


def write_shop(folder: Path, **more: Any) -> None:
    """Write ``cdp.yaml`` and the keys that it refers to."""
    sources = {"till": tills.TILL, **INBOUND, **more}
    tills.write_declaration(folder, tills.declaration(sources=sources, principals=WHO))
    for name, key in {**KEYS, "identity": IDENTITY_KEY}.items():
        path = folder / f"{name}.key"
        path.write_text(key + "\n")
        path.chmod(0o600)


class Shop:
    """The shop's API, and a client that speaks as SDKs do."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.app = create_app(workspace)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.records = RecordKeys(workspace.keyring)

    def send(
        self,
        *messages: Mapping[str, Any],
        to: str = "web",
        path: str = "/v1/batch",
        pack: bool = False,
        **headers: str,
    ) -> httpx.Response:
        """Send a batch with a write key as user name."""
        body = json.dumps({"batch": list(messages)}, ensure_ascii=False).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            path,
            content=gzip.compress(body, mtime=0) if pack else body,
            headers={**basic(KEYS[to]), "Content-Type": "application/json", **named},
        )

    def events(self) -> list[dict[str, Any]]:
        """Every event, as stored."""
        with self.workspace.engine.connect() as connection:
            rows = connection.execute(
                sa.select(schema.event).order_by(schema.event.c.occurred_at, schema.event.c.kind)
            )
            return [dict(row._mapping) for row in rows]

    def left_out(self) -> dict[str, int]:
        """What was left out, by rule, of every source."""
        with self.workspace.engine.connect() as connection:
            found: dict[str, int] = {}
            for _, _, rule, count in happenings.tallied(connection):
                found[rule] = found.get(rule, 0) + count
            return found

    def record(self, source: str, record_id: str) -> sa.Row[Any] | None:
        """The row of a record, by the source's own name for it."""
        key = self.records.record_key(source, record_id)
        table = schema.record
        with self.workspace.engine.connect() as connection:
            return connection.execute(sa.select(table).where(table.c.key == key)).one_or_none()

    def person(self, source: str, record_id: str) -> str | None:
        """The profile that a record belongs to."""
        row = self.record(source, record_id)
        member = schema.membership.c
        if row is None:
            return None
        with self.workspace.engine.connect() as connection:
            statement = sa.select(member.profile_id).where(member.record_id == row.id)
            return connection.scalar(statement)


def basic(key: str) -> dict[str, str]:
    """A write key as a user name without a password."""
    return {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}


def identify(user: str, number: str, **traits: Any) -> dict[str, Any]:
    """One identify, named."""
    return {"type": "identify", "userId": user, "messageId": number, "traits": traits}


def track(user: str | None, number: str, **more: Any) -> dict[str, Any]:
    """One order, named."""
    return {
        "type": "track", "event": "Order Completed", "userId": user, "messageId": number,
        "properties": {"total": 12.5}, **more,
    }  # fmt: skip


def moved(prepared: Workspace, url: str, home: Path) -> Workspace:
    """The same shop on another database and with a home of its own."""
    return tills.reopen(prepared, replace(prepared.settings, database_url=url, home=home))
