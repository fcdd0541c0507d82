"""Key rings sealed by the written description alone, with no code of `cdp.vault`.

Whoever has the root can seal any body. So a test can show that a part is refused for what
it is, and not only because the seal of the whole no longer fits.
"""

import base64
import hmac
import json
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV


def framed(*parts: bytes) -> bytes:
    """Each part after its length in 4 bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def derived(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand with SHA-256 to 32 bytes (RFC 5869): one block of it."""
    return hmac.digest(key, info + b"\x01", "sha256")


def text_of(content: bytes) -> str:
    """Base 64."""
    return base64.b64encode(content).decode()


def put(body: dict[str, Any], place: tuple[str, ...], value: object) -> None:
    """Set what stands at ``place``; None takes it out."""
    *above, last = place
    for name in above:
        body = body[name]
    if value is None:
        del body[last]
    else:
        body[last] = value


def root_of(body: dict[str, Any]) -> bytes:
    """The root in force of a ring that keeps it in its file."""
    root = body["root"]
    return base64.b64decode(root["versions"][str(root["current"])]["held"]["secret"])


def wrapped(root: bytes, key: bytes, place: tuple[UUID, str, int, int]) -> str:
    """A key of the ring under ``root``: workspace, purpose, key version and root version."""
    workspace, purpose, *versions = place
    numbers = (version.to_bytes(8, "big") for version in (*versions, 2))
    bound = framed(b"kith/key-ring/key", workspace.bytes, purpose.encode(), *numbers)
    cipher = AESGCMSIV(derived(root, framed(b"kith/key-ring/wrap/1")))
    return text_of(bytes(12) + cipher.encrypt(bytes(12), key, bound))


def sealed(body: dict[str, Any], root: bytes) -> bytes:
    """The bytes of a ring with the seal that this body has under ``root``."""
    key = derived(root, framed(b"kith/key-ring/mac/1", UUID(body["workspace"]).bytes))
    rest = {name: part for name, part in body.items() if name != "mac"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**rest, "mac": text_of(hmac.digest(key, text, "sha256"))}).encode()
