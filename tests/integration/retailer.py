"""A made-up retailer on a real database: records sealed and stored as ingest stores them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
import yaml

from cdp.access.principals import sync_principals
from cdp.declaration import Declaration, parse
from cdp.profiles.build import rebuild
from cdp.settings import Settings
from cdp.storage import schema
from cdp.vault import plaintext
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexer
from cdp.vault.keyed import RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.workspace import Workspace
from connectors.vocabulary import SENSITIVE_FIELDS

NOW = dt.datetime(2026, 5, 4, 9, 30, tzinfo=dt.UTC)
EVERY_PURPOSE = ("service", "marketing", "analysis")
SCOPES = {"loyalty_card": "kith", "buyer_id": "kith-shop", "openid": "wxkith01"}

ORGANISATION = [
    {"id": "kith", "kind": "brand", "name": "Kith Retail"},
    {"id": "north", "kind": "region", "parent": "kith", "name": "华北"},
    {"id": "BJ01", "kind": "store", "parent": "north", "name": "朝阳店"},
    {"id": "BJ02", "kind": "store", "parent": "north", "name": "海淀店"},
    {"id": "south", "kind": "region", "parent": "kith", "name": "华南"},
    {"id": "SZ01", "kind": "store", "parent": "south", "name": "南山店"},
    {"id": "empty", "kind": "region", "parent": "kith", "name": "筹备"},
]
PRINCIPALS = [
    {"id": "clerk.bj01", "role": "clerk", "node": "BJ01"},
    {"id": "clerk.sz01", "role": "clerk", "node": "SZ01"},
    {"id": "manager.bj01", "role": "manager", "node": "BJ01"},
    {"id": "manager.empty", "role": "manager", "node": "empty"},
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "analyst", "role": "analyst", "node": "kith"},
    {"id": "compliance", "role": "compliance", "node": "kith"},
    {"id": "operator", "role": "operator", "node": "kith"},
    {"id": "crm", "role": "service", "node": "kith", "destination": "crm"},
    {"id": "weekly", "role": "service", "node": "kith", "destination": "weekly"},
    {"id": "stray", "role": "service", "node": "kith"},
]
DESTINATIONS = {
    "crm": {
        "connector": "webhook",
        "location": "http://127.0.0.1:9000/hook",
        "purpose": "marketing",
        "fields": ["profile_id", "name", "phone", "tags"],
        "secret": "crm",
    },
    "weekly": {
        "connector": "csv_file",
        "location": "exports/weekly.csv",
        "purpose": "analysis",
        "fields": ["profile_id", "city", "birth_date", "attributes"],
    },
}
TRUST = ("pos", "shop", "wecom", "legacy")


class Retailer:
    """A workspace with records, people and principals that a test adds."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "cdp.yaml"
        path.write_text(_text(), encoding="utf-8")
        keyring = KeyRing.create(folder / "keyring.json", uuid4())
        settings = Settings(folder, path, None, 2000, 512, 1)
        self.clock = NOW
        self.workspace = Workspace(settings, engine, keyring, lambda: self.clock)
        # As it would be read from the file, which takes longer than the rest of this.
        self.workspace.__dict__["declaration"] = replace(_parsed(), folder=folder)
        self.engine = engine
        self.keys = RecordKeys(keyring)
        self._indexer = BlindIndexer(keyring)
        with engine.begin() as connection:
            values: dict[str, Any] = {
                "id": keyring.workspace,
                "only": True,
                "key_check": keyring.key_check(keyring.workspace),
                "demo": False,
                "at": NOW,
            }
            known = schema.workspace.c.keys()
            connection.execute(
                schema.workspace.insert().values({k: v for k, v in values.items() if k in known})
            )
            sync_principals(connection, self.workspace.declaration, NOW)

    def record(
        self,
        source: str,
        fields: Mapping[str, str | list[str]],
        *,
        store: str | None = None,
        purposes: Iterable[str] = EVERY_PURPOSE,
        refused: Iterable[str] = (),
        attributes: Mapping[str, Any] | None = None,
        changed: dt.datetime = NOW,
    ) -> int:
        """Seal and store one record; return its id."""
        cells = {
            name: [(v, SCOPES.get(name)) for v in ([values] if isinstance(values, str) else values)]
            for name, values in fields.items()
        }
        with self.engine.begin() as connection:
            number = int(connection.scalar(sa.text("SELECT nextval('kith.record_id_seq')")) or 0)
            near = {n: plaintext.encode(v) for n, v in cells.items() if n not in SENSITIVE_FIELDS}
            far = {n: plaintext.encode(v) for n, v in cells.items() if n in SENSITIVE_FIELDS}
            sealed = self.workspace.vault.seal_record(number, 1, near, far, b"")
            connection.execute(
                schema.record.insert().values(
                    id=number,
                    source=source,
                    key=self.keys.record_key(source, str(number)),
                    content=b"0" * 16,
                    revision=1,
                    store=store,
                    basis="membership",
                    purposes=sorted(set(purposes) - set(refused)),
                    refused=sorted(refused),
                    attributes=dict(attributes or {}),
                    feature_version=1,
                    features=sealed.features,
                    first_seen_at=changed,
                    last_seen_at=changed,
                    dirty=False,
                )
            )
            self._store(connection, number, sealed)
            for name, values in cells.items():
                for value, scope in values if name in INDEXED_FIELDS else ():
                    connection.execute(
                        schema.blind_index.insert().values(
                            record_id=number,
                            field=name,
                            value=self._indexer.index(name, scope, value),
                            epoch=self._indexer.epoch,
                        )
                    )
        return number

    def _store(self, connection: sa.Connection, number: int, sealed: Any) -> None:
        for tier, table in (("contact", schema.contact), ("sensitive", schema.sensitive)):
            key = getattr(sealed, f"{tier}_key")
            if key is None:
                continue
            connection.execute(
                table.insert().values(
                    record_id=number,
                    revision=1,
                    fields=list(getattr(sealed, f"{tier}_fields")),
                    cells=list(getattr(sealed, f"{tier}_cells")),
                )
            )
            connection.execute(
                schema.data_key.insert().values(
                    record_id=number, tier=tier, key_version=key.version, wrapped=key.wrapped
                )
            )

    def person(self, *records: int) -> str:
        """Make the profile of these records as resolution makes it; return its id."""
        anchor = min(records)
        with self.engine.begin() as connection:
            key = connection.scalar(
                sa.select(schema.record.c.key).where(schema.record.c.id == anchor)
            )
            profile_id = self.keys.profile_id(bytes(key or b""))
            connection.execute(
                schema.profile.insert().values(
                    id=profile_id,
                    anchor_id=anchor,
                    revision=0,
                    size=len(records),
                    stores=[],
                    golden={},
                    attributes={},
                    purposes=[],
                    updated_at=NOW,
                )
            )
            connection.execute(
                schema.membership.insert(),
                [{"record_id": r, "profile_id": profile_id, "since": NOW} for r in records],
            )
            rebuild(connection, self.workspace.declaration.trust, [profile_id], NOW)
        return profile_id

    def events(self) -> list[dict[str, Any]]:
        """Every audit event, oldest first, as its line reads."""
        with self.engine.connect() as connection:
            statement = sa.select(schema.audit_event.c.line).order_by(schema.audit_event.c.id)
            return [yaml.safe_load(line) for line in connection.scalars(statement)]


def declaration() -> dict[str, Any]:
    """``cdp.yaml`` of this retailer."""
    sources = {
        name: {
            "connector": "csv",
            "location": f"data/{name}.csv",
            "record_id": "id",
            "fields": {
                "phone": "phone",
                **{f: {"column": f, "scope": scope} for f, scope in SCOPES.items()},
            },
        }
        for name in TRUST
    }
    return {
        "version": 1,
        "organisation": ORGANISATION,
        "sources": sources,
        "destinations": DESTINATIONS,
        "principals": PRINCIPALS,
        "trust": list(TRUST),
    }


@cache
def _text() -> str:
    return yaml.safe_dump(declaration(), allow_unicode=True)


@cache
def _parsed() -> Declaration:
    return parse(yaml.safe_load(_text()), Path("cdp.yaml"))
