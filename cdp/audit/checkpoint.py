"""A checkpoint: the signed root of the log at one size, and its text for safe keeping.

The text is a signed note: five lines that are signed, an empty line, one signature line.
An officer keeps it outside the database; against it, no later rewriting goes unnoticed.

    kith-audit-v1
    <workspace>
    <size>
    <root, base64>
    <time, UTC>

    — kith-audit <key version> <signature, base64>

Invariants, each named by a test in ``tests/unit/audit/test_checkpoint.py``:

1. Workspace, size, root and time are all under the signature.
2. A checkpoint has one text, and the text gives back the same checkpoint.
3. A key version nobody vouches for signs nothing.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from cdp.audit.digests import is_signed
from cdp.audit.errors import CheckpointGarbled
from cdp.audit.event import utc_text

HEADER: Final = "kith-audit-v1"
_WORKSPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_NOTE: Final = re.compile(
    rf"{HEADER}\n(?P<workspace>[^\n]+)\n(?P<size>\d{{1,18}})\n(?P<root>[^\n]+)\n(?P<at>[^\n]+)\n"
    r"\n— kith-audit (?P<key_version>\d{1,5}) (?P<signature>[^\n]+)\n",
    re.ASCII,
)


class Signer(Protocol):
    """The log's Ed25519 signing key, as the key ring hands it out."""

    @property
    def version(self) -> int:
        """The version of the key, 0 to 32767."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of ``message``, 64 bytes."""

    def public_bytes(self) -> bytes:
        """Return the raw public key, 32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the log was when it had ``size`` events."""

    workspace: str
    size: int
    root: bytes
    at: datetime  # with a time zone
    key_version: int
    signature: bytes

    def signed_text(self) -> bytes:
        """Return the bytes that are signed."""
        return signed_text(self.workspace, self.size, self.root, self.at)

    def is_signed_by(self, keys: Mapping[int, bytes]) -> bool:
        """Say whether the key of its version, one of ``keys``, signed it."""
        key = keys.get(self.key_version)
        return key is not None and is_signed(self.signed_text(), self.signature, key)

    def to_text(self) -> str:
        """Return the signed note, ready to be written to a file."""
        signature = base64.b64encode(self.signature).decode()
        return f"{self.signed_text().decode()}\n\n— kith-audit {self.key_version} {signature}\n"

    @classmethod
    def from_text(cls, text: str) -> "Checkpoint":
        """Read a signed note. Its signature is judged by who uses it.

        Raises:
            CheckpointGarbled: the text is not exactly what `to_text` writes.
        """
        found = _NOTE.fullmatch(text)
        if found is None:
            raise _garbled()
        try:
            note = cls(
                workspace=found["workspace"],
                size=int(found["size"]),
                root=base64.b64decode(found["root"], validate=True),
                at=datetime.fromisoformat(found["at"]),
                key_version=int(found["key_version"]),
                signature=base64.b64decode(found["signature"], validate=True),
            )
            again = note.to_text()
        except ValueError:
            raise _garbled() from None
        if again != text:
            raise _garbled()
        return note


def _garbled() -> CheckpointGarbled:
    return CheckpointGarbled(
        "not_a_checkpoint", "take the file as it was exported, unchanged, or export a new one"
    )


def signed_text(workspace: str, size: int, root: bytes, at: datetime) -> bytes:
    """Return what a checkpoint signs.

    Raises:
        ValueError: the workspace could be read as another line, or the time has no zone.
    """
    if _WORKSPACE.fullmatch(workspace) is None:
        raise ValueError("a workspace id is 1 to 64 letters, digits, dots, dashes")
    if at.utcoffset() is None:
        raise ValueError("a checkpoint's time needs a time zone")
    encoded = base64.b64encode(root).decode()
    return f"{HEADER}\n{workspace}\n{size}\n{encoded}\n{utc_text(at)}".encode()
