"""Hashes and signatures of the audit log: its only door to the `cryptography` package.

SHA-256 is FIPS 180-4, Ed25519 is RFC 8032. Nothing here decides anything.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256_after(prefix: bytes) -> Callable[[bytes], bytes]:
    """Return the function ``data -> SHA-256(prefix || data)``, 32 bytes."""
    started = hashes.Hash(hashes.SHA256())
    started.update(prefix)

    def digest(data: bytes) -> bytes:
        # Copying a started hash costs half of making one.
        going = started.copy()
        going.update(data)
        return going.finalize()

    return digest


def same(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return constant_time.bytes_eq(left, right)


def is_signed(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Say whether ``signature`` is the Ed25519 signature of ``message`` by ``public_key``."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
