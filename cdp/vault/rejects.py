"""Rows and values that were set aside, sealed so that only their own place opens them.

There is no record yet, so there is no data key: all are sealed by one long-lived key,
with AES-256-GCM-SIV, where a repeated random nonce would show equality and no more.
Written as::

    format (1) | key version (2) | nonce (12) | ciphertext and tag (16)
"""

import struct
from typing import NamedTuple
from uuid import UUID

from cdp.errors import KithError
from cdp.vault.context import frame, number
from cdp.vault.errors import CellGarbled, CellRefused
from cdp.vault.primitives import NONCE_BYTES, TAG_BYTES, InvalidTag, KeyCipher

FORMAT = 1
_HEAD = struct.Struct(">BH")
_BODY = _HEAD.size + NONCE_BYTES
_MIN_BYTES = _BODY + TAG_BYTES
_NEXT = "sync the source again, which rejects the row anew"


class RejectPlace(NamedTuple):
    """Where something was set aside: ``field`` is empty for the whole row."""

    source: str
    fingerprint: str  # of the content that was read
    position: int
    field: str = ""


def seal(
    cipher: KeyCipher,
    version: int,
    workspace: UUID,
    place: RejectPlace,
    content: tuple[bytes, bytes],
) -> bytes:
    """Seal ``content``, a nonce of 12 random bytes and the plaintext, for ``place``."""
    nonce, plaintext = content
    head = _HEAD.pack(FORMAT, version)
    return head + nonce + cipher.encrypt(nonce, plaintext, _bound(workspace, place, head))


def key_version(place: RejectPlace, sealed: bytes) -> int:
    """Return the version of the key that sealed this.

    Raises:
        CellGarbled: too short, or of a format this release does not know.
    """
    if len(sealed) < _MIN_BYTES:
        raise CellGarbled("the rejected row is cut short", _NEXT, **_where(place))
    if sealed[0] != FORMAT:
        rule = f"the rejected row has format {sealed[0]}, this release reads {FORMAT}"
        raise CellGarbled(rule, "use the release that wrote it, or a newer one", **_where(place))
    version: int = _HEAD.unpack_from(sealed)[1]
    return version


def open_sealed(cipher: KeyCipher, workspace: UUID, place: RejectPlace, sealed: bytes) -> bytes:
    """Open what was sealed for ``place``; `key_version` has looked at it before.

    Raises:
        CellRefused: changed, extended, or sealed for another place or key.
    """
    bound = _bound(workspace, place, sealed[: _HEAD.size])
    plaintext: bytes | None
    try:
        plaintext = cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], bound)
    except InvalidTag:
        plaintext = None
    if plaintext is None:
        raise _refused(place)
    return plaintext


def _bound(workspace: UUID, place: RejectPlace, head: bytes) -> bytes:
    return frame(
        b"kith/reject",
        workspace.bytes,
        place.source.encode(),
        place.fingerprint.encode(),
        number(place.position),
        place.field.encode(),
        head,
    )


def _where(place: RejectPlace) -> dict[str, object]:
    return {"source": place.source, "position": place.position, "field": place.field or None}


def _refused(place: RejectPlace) -> KithError:
    rule = "the rejected row was changed or was sealed for another place"
    return CellRefused(rule, _NEXT, **_where(place))
