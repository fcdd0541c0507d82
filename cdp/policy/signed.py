"""What is signed of a policy version, a proposal and an activation.

Invariants, each named by a test in ``tests/unit/policy_versions/test_signed.py``:

1. Workspace, kind and every part are under the signature, each after its length: no two
   different statements have the same bytes.
2. An activation is signed over the one before it.
3. A key version that nobody vouches for signs nothing.

The key is the ring's audit-signing key (Ed25519, RFC 8032). Its public half is in the ring, also
in an extract of it (`cdp.vault.public_halves`), and never in the database.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cdp.audit.digests import is_signed
from cdp.audit.event import utc_text
from cdp.vault import primitives
from cdp.vault.context import frame, number

_KIND = b"kith/policy/"


class Statement(Protocol):
    """Something that is signed."""

    def parts(self) -> tuple[bytes, ...]:
        """Return what is signed, the kind first."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature and the version of the key that made it."""

    key_version: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """One policy that was stored.

    Attributes:
        id: of the compiled policy, 64 hexadecimal digits, as audit events name it.
        format: of the content.
        content: see `cdp.policy.content`.
        stored_by: principal; ``init`` for what was shipped.
        at: when.
    """

    id: str
    format: int
    content: str
    stored_by: str
    at: dt.datetime

    def parts(self) -> tuple[bytes, ...]:
        """Return what is signed."""
        digest = primitives.digest(self.content.encode())
        head = _KIND + b"version/1", self.id.encode(), number(self.format), digest
        return (*head, self.stored_by.encode(), utc_text(self.at).encode())


@dataclass(frozen=True, slots=True)
class Proposal:
    """Somebody's wish to put a version in force.

    Attributes:
        id: its number.
        version: id of the version.
        base: serial of the activation that was in force when it was made; 0 for none.
        proposed_by: principal.
        reason: typed by them.
        at: when.
    """

    id: int
    version: str
    base: int
    proposed_by: str
    reason: str
    at: dt.datetime

    def parts(self) -> tuple[bytes, ...]:
        """Return what is signed."""
        head = _KIND + b"proposal/1", number(self.id), self.version.encode(), number(self.base)
        who = self.proposed_by.encode(), self.reason.encode(), utc_text(self.at).encode()
        return (*head, *who)


@dataclass(frozen=True, slots=True)
class Activation:
    """One link of the chain: which version came into force, by whom, and after which.

    Attributes:
        serial: from 1, without gaps.
        version: id of the version.
        proposed_by, approved_by: principals, two different persons; ``init`` both for the first.
        reason: of the proposal.
        at: when.
        previous: `mark` of the activation before; empty for the first.
    """

    serial: int
    version: str
    proposed_by: str
    approved_by: str
    reason: str
    at: dt.datetime
    previous: bytes

    def parts(self) -> tuple[bytes, ...]:
        """Return what is signed."""
        head = _KIND + b"activation/1", number(self.serial), self.version.encode()
        who = self.proposed_by.encode(), self.approved_by.encode(), self.reason.encode()
        return (*head, *who, utc_text(self.at).encode(), self.previous)


class Signer(Protocol):
    """The ring's audit-signing key (`cdp.audit.checkpoint.Signer`)."""

    @property
    def version(self) -> int:
        """The version of the key."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``, 64 bytes."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count: one workspace, and the public halves of its keys by version."""

    workspace: UUID
    keys: Mapping[int, bytes]

    def holds(self, statement: Statement, signature: Signature) -> bool:
        """Say whether a key of this workspace signed exactly this statement."""
        key = self.keys.get(signature.key_version)
        message = _message(self.workspace, statement)
        return key is not None and is_signed(message, signature.value, key)


def sign(workspace: UUID, statement: Statement, signer: Signer) -> Signature:
    """Sign a statement for one workspace."""
    return Signature(signer.version, signer.sign(_message(workspace, statement)))


def mark(workspace: UUID, activation: Activation) -> bytes:
    """Return what the next activation names of this one, 32 bytes."""
    return primitives.digest(_message(workspace, activation))


def _message(workspace: UUID, statement: Statement) -> bytes:
    kind, *rest = statement.parts()
    return frame(kind, workspace.bytes, *rest)
