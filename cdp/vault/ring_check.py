"""What a database keeps to know its key ring again. It tells nothing about a key.

34 bytes: a version in 2, then HKDF of 32 random bytes. Version 0 is the lasting check,
derived from the `records` key, which never changes: it survives every rotation, and every
move of the root. Other versions are of databases made before ring format 2, derived from
that version of the root. When a root goes, its check stays in the ring.
"""

from typing import Final
from uuid import UUID

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.secret import Secret

VERSION_BYTES: Final = 2
CHECK_BYTES: Final = VERSION_BYTES + primitives.KEY_BYTES
LASTING: Final = 0


def of_root(root: Secret, workspace: UUID, version: int) -> bytes:
    """Return the check of one version of the root."""
    info = frame(b"kith/key-ring/check/1", workspace.bytes, number(version))
    return _check(version, root, info)


def lasting(records: Secret, workspace: UUID) -> bytes:
    """Return the check of the `records` key."""
    return _check(LASTING, records, frame(b"kith/key-ring/check/2", workspace.bytes))


def _check(version: int, key: Secret, info: bytes) -> bytes:
    return version.to_bytes(VERSION_BYTES, "big") + primitives.expand(key, info).expose()
