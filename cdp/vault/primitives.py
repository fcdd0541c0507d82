"""The cipher primitives of the vault: its only door to the `cryptography` package.

Nothing here decides anything. Sources: AES-GCM is NIST SP 800-38D, AES-GCM-SIV is
RFC 8452, HMAC is RFC 2104, HKDF is RFC 5869, Ed25519 is RFC 8032, Argon2id is RFC 9106,
HOTP is RFC 4226.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from cdp.vault.secret import Secret

__all__ = [
    "HASH_BYTES",
    "KEY_BYTES",
    "NONCE_BYTES",
    "TAG_BYTES",
    "FieldCipher",
    "InvalidTag",
    "KeyCipher",
    "KeyedHash",
    "Randomness",
    "Stretching",
    "digest",
    "expand",
    "extract",
    "field_cipher",
    "key_cipher",
    "keyed_hash",
    "one_time_code",
    "permuted",
    "public_key",
    "same",
    "sign",
    "stretched",
    "system_randomness",
    "verify",
]

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
HASH_BYTES = 32  # of SHA-256

Randomness = Callable[[int], bytes]
system_randomness: Randomness = os.urandom


class Stretching(NamedTuple):
    """What Argon2id is asked to spend."""

    memory_kib: int
    iterations: int
    lanes: int


FieldCipher = AESGCM
KeyCipher = AESGCMSIV
KeyedHash = HMAC


def field_cipher(key: Secret) -> FieldCipher:
    """Return AES-256-GCM under ``key``, for the fields of one record."""
    return AESGCM(key.expose())


def key_cipher(key: Secret) -> KeyCipher:
    """Return AES-256-GCM-SIV under ``key``: a repeated nonce shows equality and no more.

    For keys that live long and seal much: key-encryption keys, the root, the reject key.
    """
    return AESGCMSIV(key.expose())


def keyed_hash(key: Secret) -> KeyedHash:
    """Return HMAC-SHA-256 begun under ``key``; ``copy()`` it for each message."""
    return HMAC(key.expose(), hashes.SHA256())


def extract(salt: bytes, key: Secret) -> bytes:
    """Return HKDF-Extract with SHA-512 of ``key`` under a public ``salt``, 64 bytes."""
    running = _salted(salt).copy()
    running.update(key.expose())
    return running.finalize()


@lru_cache(maxsize=16)
def _salted(salt: bytes) -> HMAC:
    # HKDF-Extract is HMAC with the salt as its key; begun once, copied for each key.
    return HMAC(salt, hashes.SHA512())


def expand(key: Secret, info: bytes) -> Secret:
    """Derive a key of 32 bytes from a uniformly random one (HKDF-Expand, SHA-256)."""
    return Secret(HKDFExpand(hashes.SHA256(), KEY_BYTES, info).derive(key.expose()))


def stretched(passphrase: Secret, salt: bytes, costs: Stretching) -> Secret:
    """Derive a key of 32 bytes from what a person remembers (Argon2id, RFC 9106)."""
    function = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=costs.iterations,
        lanes=costs.lanes,
        memory_cost=costs.memory_kib,
    )
    return Secret(function.derive(passphrase.expose()))


def one_time_code(seed: Secret, counter: int) -> str:
    """Return the HOTP of ``counter``: six digits, HMAC-SHA-1, as authenticator apps compute it.

    RFC 6238 counts the half minutes since 1970. SHA-1 is broken for collisions, not in HMAC.
    """
    code: bytes = HOTP(seed.expose(), 6, hashes.SHA1()).generate(counter)  # noqa: S303
    return code.decode()


def digest(content: bytes) -> bytes:
    """Return the SHA-256 digest of ``content``, 32 bytes."""
    running = hashes.Hash(hashes.SHA256())
    running.update(content)
    return running.finalize()


def permuted(key: Secret, blocks: bytes) -> bytes:
    """Return AES-256 under ``key`` of every 16-byte block by itself.

    A keyed permutation of single blocks, for pseudonyms of fixed length: equal blocks give
    equal results, which is what they are for. It is no encryption of a message.
    """
    running = Cipher(algorithms.AES(key.expose()), modes.ECB()).encryptor()  # noqa: S305
    return running.update(blocks) + running.finalize()


def same(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return constant_time.bytes_eq(left, right)


def sign(seed: Secret, message: bytes) -> bytes:
    """Return the Ed25519 signature of ``message``, 64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed.expose()).sign(message)


def public_key(seed: Secret) -> bytes:
    """Return the Ed25519 public key of ``seed``, 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed.expose()).public_key().public_bytes_raw()


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether ``signature`` is the Ed25519 signature of ``message`` by ``public``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
