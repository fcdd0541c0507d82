"""Events, seals and judgements of an audit log, as its tests make them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cdp.audit.checkpoint import Checkpoint
from cdp.audit.event import AuditEvent
from cdp.audit.findings import Report
from cdp.audit.log import (
    seal,
    verify,
)
from cdp.storage.schema import audit_checkpoint, audit_event

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
W = "workspace-1"
E, C = audit_event.c, audit_checkpoint.c


@dataclass
class Signer:
    """A signing key of its own."""

    version: int = 1
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self.key.sign(message)

    def public_bytes(self) -> bytes:
        """Return the raw public key."""
        return self.key.public_key().public_bytes_raw()

    @property
    def keys(self) -> dict[int, bytes]:
        """The public key by its version."""
        return {self.version: self.public_bytes()}


def event(number: int = 0, **parts) -> AuditEvent:
    return AuditEvent(
        **{
            "actor": f"clerk.{number % 3}",
            "role": "clerk",
            "action": "profile.read",
            "purpose": "service",
            "decision": "allow",
            "reason": "own_store",
            "policy_version": "1",
            "at": NOW + timedelta(seconds=number),
            "profile_id": f"p_{number % 4}",
            "detail": f"客人来电 {number}",
            **parts,
        }
    )


def seal_now(engine: sa.Engine, signer: Signer, hours: int = 0) -> Checkpoint:
    with engine.begin() as connection:
        return seal(connection, signer, NOW + timedelta(hours=hours), workspace=W)


def judge(engine: sa.Engine, signer: Signer, **more) -> Report:
    with engine.begin() as connection:
        return verify(connection, signer.keys, workspace=W, **more)


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def count(engine: sa.Engine, table: sa.Table = audit_event) -> int:
    with engine.begin() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
