"""Digests and signatures of this package: the one module here that imports cryptography."""

from collections.abc import Iterable

from cryptography.hazmat.primitives import hashes, hmac


def sha256_hex(chunks: Iterable[bytes]) -> str:
    """SHA-256 over the chunks in order, as 64 hex digits."""
    digest = hashes.Hash(hashes.SHA256())
    for chunk in chunks:
        digest.update(chunk)
    return digest.finalize().hex()


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of ``text``, 32 bytes."""
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(text)
    return mac.finalize()
