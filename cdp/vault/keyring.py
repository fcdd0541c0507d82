"""The keys of one workspace, by purpose and version.

1. A ring is created once: a second creation never replaces it.
2. A ring that others can read, that is a symbolic link, cut short or changed is refused.
3. The root secret is gone from memory once the keys are unwrapped.
4. A ring made `without` a purpose cannot give back that key.
5. The ring knows its workspace, and a key check lets the database know its ring.
6. A ring shows purposes and versions, never key material.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self
from uuid import UUID

from cdp.vault import primitives, ring_document, ring_file
from cdp.vault.context import frame, number
from cdp.vault.errors import KeyMissing, KeyWithheld, OtherWorkspace
from cdp.vault.primitives import Randomness
from cdp.vault.ring_document import PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.signing import Signer

_VERSION_BYTES = 2


class KeyRing:
    """The opened key ring of one workspace. Build it with `create` or `open`."""

    __slots__ = ("_checks", "_keys", "_withheld", "workspace")

    def __init__(
        self,
        workspace: UUID,
        keys: Mapping[str, Versions],
        checks: Mapping[int, bytes],
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self.workspace = workspace
        self._keys = dict(keys)
        self._checks = dict(checks)  # newest root last
        self._withheld = withheld

    @classmethod
    def create(
        cls,
        path: Path,
        workspace: UUID,
        randomness: Randomness = primitives.system_randomness,
    ) -> Self:
        """Draw new keys for ``workspace`` and write them to ``path`` (mode 0600).

        Raises:
            KeyRingExists: ``path`` is taken; what is there is left as it is.
            KeyRingUnwritable: the file cannot be made there.
        """
        document = RingDocument.fresh(workspace, randomness)
        ring_file.write_new(path, document.encode(randomness))
        return cls.of(document)

    @classmethod
    def open(cls, path: Path, workspace: UUID | None = None) -> Self:
        """Read the ring at ``path``; with ``workspace``, refuse the ring of another.

        Raises:
            KeyRingMissing, KeyRingExposed, KeyRingGarbled, OtherWorkspace.
        """
        ring = cls.of(ring_document.decode(ring_file.read(path), path))
        if workspace is not None:
            ring.require(workspace)
        return ring

    @classmethod
    def of(cls, document: RingDocument) -> Self:
        """Take the keys of an opened document and leave its root behind."""
        current = document.roots.current
        versions = sorted(document.roots.secrets, key=lambda v: (v == current, v))
        checks = {v: _check(document.roots.secrets[v], document.workspace, v) for v in versions}
        return cls(document.workspace, document.keys, checks)

    def without(self, *purposes: str) -> "KeyRing":
        """Return a ring that lacks the keys of ``purposes``, for a process that must not hold them.

        Raises:
            ValueError: a purpose that does not exist, which would withhold nothing.
        """
        if unknown := sorted(set(purposes) - set(PURPOSES)):
            raise ValueError(f"no such key purpose: {', '.join(unknown)}")
        left = {name: held for name, held in self._keys.items() if name not in purposes}
        return KeyRing(self.workspace, left, self._checks, self._withheld | set(purposes))

    def holds(self, purpose: str) -> bool:
        """Say whether this ring can give the key of ``purpose``."""
        return purpose in self._keys

    def current(self, purpose: str) -> int:
        """Return the version that new work uses."""
        return self._versions(purpose).current

    def secret(self, purpose: str, version: int | None = None) -> Secret:
        """Return the key of ``purpose``, by default its current version.

        Raises:
            KeyWithheld: this process works without that purpose.
            KeyMissing: the ring has no such purpose or version.
        """
        held = self._versions(purpose)
        found = held.secrets.get(held.current if version is None else version)
        if found is None:
            raise KeyMissing(
                "the key ring does not hold this key version",
                "restore the newest copy of the key ring, which has every version in use",
                key=purpose,
                version=version,
            )
        return found

    def _versions(self, purpose: str) -> Versions:
        held = self._keys.get(purpose)
        if held is not None:
            return held
        if purpose in self._withheld:
            raise KeyWithheld(
                "this process works without that key",
                "ask a process that is meant to hold it",
                key=purpose,
            )
        raise KeyMissing(
            "the key ring has no key for this purpose",
            "restore the newest copy of the key ring",
            key=purpose,
        )

    def require(self, workspace: UUID) -> None:
        """Refuse any workspace but the ring's own.

        Raises:
            OtherWorkspace: named with both ids.
        """
        if workspace != self.workspace:
            raise OtherWorkspace(
                f"the key ring belongs to workspace {self.workspace}",
                "put the key ring of this workspace in its place",
                workspace=workspace,
            )

    def key_check(self, workspace: UUID) -> bytes:
        """Return what the database keeps to know its ring again: 2 bytes root version, 32 check.

        It tells nothing about the root (HKDF of 32 random bytes).
        """
        self.require(workspace)
        return list(self._checks.values())[-1]

    def confirm(self, workspace: UUID, stored: bytes) -> None:
        """Refuse to go on when ``stored``, the database's key check, is not of this ring.

        Raises:
            OtherWorkspace: another workspace, or the same id with other keys.
        """
        self.require(workspace)
        known = self._checks.get(int.from_bytes(stored[:_VERSION_BYTES], "big"))
        if known is None or not primitives.same(known, stored):
            raise OtherWorkspace(
                "the database was written with another key ring",
                "put the key ring that was made with this database in its place",
                workspace=workspace,
            )

    def signer(self, purpose: str = "audit-signing", version: int | None = None) -> Signer:
        """Return the Ed25519 signer of ``purpose``."""
        version = self.current(purpose) if version is None else version
        return Signer(self.secret(purpose, version), version)

    def webhook_secret(self, destination: str, version: int | None = None) -> str:
        """Return the signing secret of one destination, ``whsec_`` and base64 of 32 bytes.

        The form is that of Standard Webhooks. It is a secret: show it once, to the one
        who configures the receiver, and write it nowhere.
        """
        secret = self.secret("webhook-secrets", version)
        derived = primitives.expand(secret, frame(b"kith/webhook/1", destination.encode()))
        return "whsec_" + base64.b64encode(derived.expose()).decode()

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {versions.current}" for name, versions in self._keys.items())
        return f"<key ring of {self.workspace}: {held}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring cannot be pickled; open it in each process")


def _check(root: Secret, workspace: UUID, version: int) -> bytes:
    info = frame(b"kith/key-ring/check/1", workspace.bytes, number(version))
    return version.to_bytes(_VERSION_BYTES, "big") + primitives.expand(root, info).expose()
