"""Seal a root under a key that this process has: what `passphrase` and `environment` share.

``check`` is derived from that key and tells a wrong key from a changed or misplaced root;
it also commits to the key, which AES-GCM-SIV alone does not. Offline it allows the same
guessing as the sealed root itself does, and no more.
"""

import base64
from typing import Final

from cdp.vault import primitives
from cdp.vault.context import frame
from cdp.vault.errors import RootOfAnotherPlace
from cdp.vault.primitives import KEY_BYTES, NONCE_BYTES, InvalidTag
from cdp.vault.roots.provider import Held, RootPlace
from cdp.vault.secret import Secret

_CHECK: Final = frame(b"kith/root/check/1")
_WRAP: Final = frame(b"kith/root/wrap/1")


def seal(key: Secret, root: Secret, bound: bytes, nonce: bytes) -> dict[str, str | int]:
    """Seal ``root`` under ``key``; ``nonce`` is 12 random bytes."""
    cipher = primitives.key_cipher(primitives.expand(key, _WRAP))
    sealed = nonce + cipher.encrypt(nonce, root.expose(), bound)
    return {"check": text_of(_check(key)), "sealed": text_of(sealed)}


def is_key(key: Secret, held: Held) -> bool:
    """Say whether ``held`` was sealed under ``key``."""
    return primitives.same(_check(key), bytes_of(held["check"]))


def open_sealed(key: Secret, held: Held, place: RootPlace, provider: str) -> Secret:
    """Open what `seal` made.

    Raises:
        RootOfAnotherPlace: sealed for another place, or changed.
    """
    sealed = bytes_of(held["sealed"])
    cipher = primitives.key_cipher(primitives.expand(key, _WRAP))
    opened = b""
    if len(sealed) == NONCE_BYTES + KEY_BYTES + primitives.TAG_BYTES:
        try:
            opened = cipher.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.bound(provider)
            )
        except InvalidTag:
            opened = b""
    if not opened:
        raise misplaced(place, provider)
    return Secret(opened)


def misplaced(place: RootPlace, provider: str) -> RootOfAnotherPlace:
    """The error of a root that is not of ``place``."""
    return RootOfAnotherPlace(
        "the root was sealed for another workspace or root version, or was changed",
        "restore this workspace's key ring from your own copy of it",
        provider=provider,
        workspace=place.workspace,
        root_version=place.version,
    )


def text_of(content: bytes) -> str:
    """Base 64."""
    return base64.b64encode(content).decode()


def bytes_of(text: object) -> bytes:
    """The bytes of base 64.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise ValueError("not base 64")  # noqa: TRY004 - one family for whatever is garbled
    return base64.b64decode(text, validate=True)


def _check(key: Secret) -> bytes:
    return primitives.expand(key, _CHECK).expose()
