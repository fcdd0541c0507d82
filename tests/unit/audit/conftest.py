"""An honest log in memory, made the way `cdp.audit.log` makes it, to be tampered with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cdp.audit.checkpoint import Checkpoint, signed_text
from cdp.audit.event import AuditEvent, line, utc_text
from cdp.audit.merkle import leaf_hash, root
from cdp.audit.verification import SEAL_ACTION, StoredEvent

START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


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


@dataclass
class Log:
    """Rows and checkpoints, and the key that signed them."""

    signer: Signer = field(default_factory=Signer)
    rows: list[StoredEvent] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    @property
    def keys(self) -> dict[int, bytes]:
        """The public key by its version."""
        return {self.signer.version: self.signer.public_bytes()}

    def append(self, action: str = "profile.read", leaf: int | None = None) -> None:
        """Add an event; ids have gaps, as they do where transactions were rolled back."""
        number = len(self.rows) + 1
        event = AuditEvent(
            actor=f"clerk.{number % 3}",
            role="clerk",
            action=action,
            purpose="service",
            decision="allow",
            reason="own_store",
            policy_version="1",
            at=START + timedelta(seconds=number),
            profile_id=f"p_{number % 5}" if number % 4 else None,
        )
        at = utc_text(event.at) + " AD"
        self.rows.append(
            StoredEvent(number * 2, leaf, line(event), event.actor, action, event.profile_id, at)
        )

    def seal(self) -> Checkpoint:
        """Number every event and sign the root."""
        self.append(SEAL_ACTION)
        self.rows = [row._replace(leaf=place) for place, row in enumerate(self.rows)]
        top = root(leaf_hash(row.line.encode()) for row in self.rows)
        at = START + timedelta(hours=len(self.checkpoints))
        message = signed_text("w", len(self.rows), top, at)
        made = Checkpoint(
            workspace="w",
            size=len(self.rows),
            root=top,
            at=at,
            key_version=self.signer.version,
            signature=self.signer.sign(message),
        )
        self.checkpoints.append(made)
        return made


@pytest.fixture
def signer() -> Signer:
    """A signing key."""
    return Signer()


@pytest.fixture
def log() -> Log:
    """Twelve sealed events under three checkpoints of sizes 4, 8 and 12, and two unsealed."""
    made = Log()
    for _ in range(3):
        for _ in range(3):
            made.append()
        made.seal()
    made.append()
    made.append()
    return made
