"""The contents of a key ring, and the JSON they are written as.

Shape, format 1::

    {"format": "kith-key-ring", "version": 1, "workspace": UUID,
     "root": {"provider": "file", "current": 1, "versions": {"1": base64 of 32 bytes}},
     "keys": {purpose: {"current": 1, "versions": {"1": {"root": 1, "wrapped": base64}}}}}

``provider`` says where the root secrets are; here they are in the file itself. A wrapped
key is nonce (12 bytes), then AES-256-GCM-SIV of the key's 32 bytes under a key derived
from that root version, bound to the workspace, purpose, key version and root version.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import KeyRingGarbled
from cdp.vault.primitives import KEY_BYTES, NONCE_BYTES, InvalidTag, Randomness
from cdp.vault.secret import Secret

FORMAT = "kith-key-ring"
FORMAT_VERSION = 1
MAX_VERSION = 2**16 - 1  # a key version is two bytes wherever it is stored

PURPOSES = (
    "contact",  # key-encryption key of the contact tier
    "sensitive",  # key-encryption key of the sensitive tier
    "blind-index",
    "features",
    "records",  # record keys, content digests, profile ids
    "rejects",
    "audit-signing",  # Ed25519 seed
    "webhook-secrets",
    "api-keys",
    "published",
)

_RESTORE = "restore the key ring from your own copy of it"


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one key, and the one that new work uses."""

    current: int
    secrets: Mapping[int, Secret]


@dataclass(frozen=True, slots=True)
class RingDocument:
    """What a key ring file says, opened. Holds the root secrets: keep it short-lived."""

    workspace: UUID
    roots: Versions
    keys: Mapping[str, Versions]

    @classmethod
    def fresh(cls, workspace: UUID, randomness: Randomness) -> "RingDocument":
        """Draw a root and one key for every purpose, all at version 1."""

        def first() -> Versions:
            return Versions(1, {1: Secret(randomness(KEY_BYTES))})

        return cls(workspace, first(), {purpose: first() for purpose in PURPOSES})

    def encode(self, randomness: Randomness) -> bytes:
        """Write the document as the bytes of a key ring file."""
        root = self.roots.current
        cipher = _wrapping(self.roots.secrets[root])

        def wrapped(purpose: str, version: int, secret: Secret) -> dict[str, object]:
            nonce = randomness(NONCE_BYTES)
            bound = _bound(self.workspace, purpose, version, root)
            return {
                "root": root,
                "wrapped": _base64(nonce + cipher.encrypt(nonce, secret.expose(), bound)),
            }

        keys = {
            purpose: {
                "current": held.current,
                "versions": {str(v): wrapped(purpose, v, s) for v, s in held.secrets.items()},
            }
            for purpose, held in self.keys.items()
        }
        roots = {str(v): _base64(s.expose()) for v, s in self.roots.secrets.items()}
        body = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "workspace": str(self.workspace),
            "root": {"provider": "file", "current": root, "versions": roots},
            "keys": keys,
        }
        return json.dumps(body, indent=1).encode() + b"\n"


def decode(content: bytes, path: Path) -> RingDocument:
    """Read the bytes of a key ring file and unwrap every key in it.

    Raises:
        KeyRingGarbled: not JSON, not this format, a part missing, or a key that does not
            unwrap. The message names the part, never what stands there.
    """
    found = _read(content)
    del content  # it holds the root: a traceback with locals must not show it
    if isinstance(found, RingDocument):
        return found
    raise KeyRingGarbled(found.rule, found.next_step, key_ring=path)


class _Finding(NamedTuple):
    rule: str
    next_step: str


_NOT_JSON = _Finding("the file is not a whole JSON object", _RESTORE)
_NOT_A_RING = _Finding("the file is not a key ring", "name the right file")
_OTHER_RELEASE = _Finding(
    "its format version or root provider is not one this release reads",
    "use the release that wrote it, or a newer one",
)
_NO_ROOT = _Finding("its workspace or root cannot be read", _RESTORE)
_NO_KEY = _Finding("a key in it does not unwrap", _RESTORE)
# What reading a changed document can raise; `binascii.Error` is a ValueError.
_CHANGED = (AttributeError, KeyError, TypeError, ValueError, InvalidTag)


def _read(content: bytes) -> RingDocument | _Finding:
    # Findings are returned, because an error raised here would carry the content with it.
    body = _parsed(content)
    if body is None:
        return _NOT_JSON
    if body.get("format") != FORMAT:
        return _NOT_A_RING
    if not _is_known(body):
        return _OTHER_RELEASE
    try:
        workspace, roots = UUID(body["workspace"]), _roots(body["root"])
    except _CHANGED:
        return _NO_ROOT
    try:
        keys = {name: _keys(workspace, name, held, roots) for name, held in body["keys"].items()}
    except _CHANGED:
        return _NO_KEY
    return RingDocument(workspace, roots, keys)


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _is_known(body: dict[str, Any]) -> bool:
    root = body.get("root")
    known = body.get("version") == FORMAT_VERSION
    return known and isinstance(root, dict) and root.get("provider") == "file"


def _roots(section: dict[str, Any]) -> Versions:
    secrets = {_version(name): _secret(_bytes(text)) for name, text in section["versions"].items()}
    return _versions(section["current"], secrets)


def _keys(workspace: UUID, purpose: str, section: dict[str, Any], roots: Versions) -> Versions:
    secrets: dict[int, Secret] = {}
    for name, entry in section["versions"].items():
        version, root, wrapped = _version(name), entry["root"], _bytes(entry["wrapped"])
        cipher = _wrapping(roots.secrets[root])
        bound = _bound(workspace, purpose, version, root)
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        secrets[version] = _secret(cipher.decrypt(nonce, sealed, bound))
    return _versions(section["current"], secrets)


def _versions(current: object, secrets: dict[int, Secret]) -> Versions:
    if not isinstance(current, int) or current not in secrets:
        raise ValueError("no current version")
    return Versions(current, secrets)


def _version(name: str) -> int:
    version = int(name)
    if str(version) != name or not 1 <= version <= MAX_VERSION:
        raise ValueError("not a key version")
    return version


def _secret(material: bytes) -> Secret:
    if len(material) != KEY_BYTES:
        raise ValueError("not the length of a key")
    return Secret(material)


def _wrapping(root: Secret) -> primitives.KeyCipher:
    return primitives.key_cipher(primitives.expand(root, frame(b"kith/key-ring/wrap/1")))


def _bound(workspace: UUID, purpose: str, version: int, root: int) -> bytes:
    return frame(
        b"kith/key-ring/key",
        workspace.bytes,
        purpose.encode(),
        number(version),
        number(root),
        number(FORMAT_VERSION),
    )


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two equal names JSON keeps the last without a word; a key ring has no such choice.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
