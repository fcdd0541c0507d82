"""Secrets of other systems, sealed under the ring's ``webhook-secrets`` key.

1. A sealed secret opens only under its own name, in its own workspace.
2. The file is whole or not there: it is written as a key ring is (`cdp.vault.ring_file`).
3. No error and no ``repr`` shows a secret.
4. A version of the key that a secret needs can be told, and every secret brought under the one
   in force.

Shape of the file, mode 0600::

    {"format": "kith-credentials", "version": 1, "workspace": UUID,
     "entries": {name: base64 of the sealed secret}}

A sealed secret is written as::

    format (1) | key version (2) | nonce (12) | ciphertext and tag (16)
"""

import base64
import json
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cdp.errors import KithError, Stop
from cdp.vault import primitives, ring_file
from cdp.vault.context import frame
from cdp.vault.errors import KeyMissing, KeyRingChanged, KeyRingMissing
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import NONCE_BYTES, InvalidTag, Randomness
from cdp.vault.secret import Secret

PURPOSE: Final = "webhook-secrets"
MAX_SECRET: Final = 64 * 1024  # bytes; a private key is far smaller
_FILE: Final = "kith-credentials"
_VERSION: Final = 1
_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BH")
_BODY: Final = _HEAD.size + NONCE_BYTES
_ANEW: Final = "store it again: cdp credential set"


class SealedCredentials:
    """The sealed secrets of one workspace."""

    __slots__ = ("_keyring", "_path")

    def __init__(self, path: Path, keyring: KeyRing) -> None:
        self._path = path
        self._keyring = keyring

    def names(self) -> tuple[str, ...]:
        """Return what is stored, by name.

        Raises:
            Stop: the file cannot be used.
        """
        return tuple(sorted(self._entries(self._content())))

    def versions(self) -> dict[int, int]:
        """Return how many secrets each version of the key is needed for. Raises as ``names``."""
        sealed = self._entries(self._content()).values()
        return dict(Counter(_version(one) for one in sealed if len(one) >= _HEAD.size))

    def renew(self, randomness: Randomness = primitives.system_randomness) -> int:
        """Seal every secret that opens under the version in force; return how many came under it.

        One that does not open stays as it is: it was refused before, and is refused after.

        Raises:
            Stop: the file cannot be used.
            KeyRingChanged: somebody else changed the file meanwhile.
        """
        before = self._content()
        entries = self._entries(before)
        renewed = self._renewed(entries, randomness)
        if renewed:
            self._write(before, {**entries, **renewed})
        return len(renewed)

    def get(self, name: str) -> Secret | None:
        """Open the secret of that name; None when there is none.

        Raises:
            Stop: the file cannot be used, or the secret is of another ring.
            KeyWithheld: this process works without the key.
        """
        sealed = self._entries(self._content()).get(name)
        return None if sealed is None else self._open(name, sealed)

    def put(
        self, name: str, secret: Secret, randomness: Randomness = primitives.system_randomness
    ) -> None:
        """Seal and store ``secret`` under that name, in place of what had it; renew the others.

        Raises:
            Stop: the file cannot be used, or the secret is too large.
            KeyRingChanged: somebody else changed the file meanwhile.
        """
        if len(secret.expose()) > MAX_SECRET:
            raise Stop("credential_too_large", f"use at most {MAX_SECRET} bytes", credential=name)
        before = self._content()
        sealed = self._sealed(name, secret, self._keyring.current(PURPOSE), randomness)
        entries = self._entries(before)
        self._write(before, {**entries, **self._renewed(entries, randomness), name: sealed})

    def remove(self, name: str) -> bool:
        """Forget a secret; says whether there was one. Raises as ``put``."""
        before = self._content()
        entries = self._entries(before)
        if entries.pop(name, None) is None:
            return False
        self._write(before, entries)
        return True

    def _content(self) -> bytes | None:
        try:
            return ring_file.read(self._path)
        except KeyRingMissing:
            return None
        except KithError as error:
            raise Stop(
                "credentials_unusable", "make it a file of mode 0600", path=self._path
            ) from error

    def _entries(self, content: bytes | None) -> dict[str, bytes]:
        if content is None:
            return {}
        try:
            read = json.loads(content)
            marked = (read["format"], read["version"], read["workspace"])
            entries = {
                str(name): base64.b64decode(one, validate=True)
                for name, one in read["entries"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            step = "put a copy of it back, or remove it and store the credentials again"
            raise Stop("credentials_garbled", step, path=self._path) from None
        if marked != (_FILE, _VERSION, str(self._keyring.workspace)):
            step = "put the file of this workspace, written by this release, in its place"
            raise Stop("credentials_of_another_workspace", step, path=self._path)
        return entries

    def _write(self, before: bytes | None, entries: Mapping[str, bytes]) -> None:
        document = {
            "format": _FILE,
            "version": _VERSION,
            "workspace": str(self._keyring.workspace),
            "entries": {name: base64.b64encode(one).decode() for name, one in entries.items()},
        }
        content = json.dumps(document, indent=1).encode() + b"\n"
        try:
            if before is None:
                ring_file.write_new(self._path, content)
            else:
                ring_file.replace(self._path, ring_file.digest(before), content)
        except KeyRingChanged:
            step = "run the same command again"
            raise KeyRingChanged("somebody else changed the credentials", step) from None
        except KithError as error:
            step = "make its folder writable, with room, and try again"
            raise Stop("credentials_unwritable", step, path=self._path) from error

    def _renewed(self, entries: Mapping[str, bytes], randomness: Randomness) -> dict[str, bytes]:
        """Those that are under an older version and open, sealed under the one in force."""
        current = self._keyring.current(PURPOSE)
        renewed: dict[str, bytes] = {}
        for name, sealed in entries.items():
            if len(sealed) < _HEAD.size or _version(sealed) == current:
                continue
            with suppress(Stop):
                renewed[name] = self._sealed(name, self._open(name, sealed), current, randomness)
        return renewed

    def _sealed(self, name: str, secret: Secret, version: int, randomness: Randomness) -> bytes:
        head = _HEAD.pack(_FORMAT, version)
        nonce = randomness(NONCE_BYTES)
        cipher = primitives.key_cipher(self._key(version))
        return head + nonce + cipher.encrypt(nonce, secret.expose(), self._bound(name, head))

    def _open(self, name: str, sealed: bytes) -> Secret:
        try:
            _, version = _HEAD.unpack_from(sealed)
            cipher = primitives.key_cipher(self._key(version))
            bound = self._bound(name, sealed[: _HEAD.size])
            return Secret(cipher.decrypt(sealed[_HEAD.size : _BODY], sealed[_BODY:], bound))
        except (InvalidTag, ValueError, struct.error, KeyMissing):
            raise Stop("credential_refused", _ANEW, credential=name) from None

    def _key(self, version: int) -> Secret:
        secret = self._keyring.secret(PURPOSE, version)
        return primitives.expand(secret, frame(b"kith/credentials-seal/1"))

    def _bound(self, name: str, head: bytes) -> bytes:
        return frame(b"kith/credentials", self._keyring.workspace.bytes, name.encode(), head)

    def __repr__(self) -> str:
        return "<sealed credentials>"


def _version(sealed: bytes) -> int:
    return int(_HEAD.unpack_from(sealed)[1])
