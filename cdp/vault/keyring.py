"""The keys of one workspace, by purpose and version.

1. A ring is created once: a second creation never replaces it.
2. A ring that others can read, that is a symbolic link, cut short or changed is refused.
3. The root secret is gone from memory once the keys are unwrapped.
4. A ring made `without` a purpose cannot give back that key, and one opened so never unwraps
   it for longer than its check or its public half takes.
5. The ring knows its workspace, and a key check lets the database know its ring.
6. A ring shows purposes and versions, never key material.
7. A process learns of a newer ring in the file's place, and goes on without being restarted.
8. A file that is no ring, cannot be read now, or is an older copy takes no key from a process.
"""

import base64
import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn, Self
from uuid import UUID

from cdp.vault import primitives, ring_check, ring_document, ring_file
from cdp.vault.context import frame
from cdp.vault.errors import KeyMissing, KeyWithheld, OtherWorkspace
from cdp.vault.primitives import Randomness
from cdp.vault.public_halves import PublicHalves
from cdp.vault.ring_document import ADDED, PURPOSES, RingDocument, Versions
from cdp.vault.ring_source import RingSource
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.provider import RootProvider, RootProviders
from cdp.vault.secret import Secret
from cdp.vault.signing import Signer


class RingFacts(NamedTuple):
    """What may be told of a ring. No key."""

    format: int  # of the file that was read
    provider: str  # who guards the root
    root_version: int
    root_made: dt.datetime | None  # None: before format 2


class KeyRing:
    """The opened key ring of one workspace. Build it with `create` or `open`."""

    __slots__ = ("_checks", "_keys", "_public", "_source", "_withheld", "facts", "workspace")

    def __init__(
        self,
        document: RingDocument,
        withheld: frozenset[str] = frozenset(),
        source: RingSource | None = None,
    ) -> None:
        self.workspace = document.workspace
        self._withheld = withheld
        self._source = source
        self._take(document)

    def _take(self, document: RingDocument) -> None:
        roots = document.roots
        made = roots.made.get(roots.current)
        self._keys: Mapping[str, Versions] = {
            name: held for name, held in document.keys.items() if name not in self._withheld
        }
        self._checks: Mapping[int, bytes] = document.all_checks()
        self._public: PublicHalves = document.all_public()
        self.facts = RingFacts(document.format, document.provider, roots.current, made)

    @classmethod
    def create(
        cls,
        path: Path,
        workspace: UUID,
        randomness: Randomness = primitives.system_randomness,
        provider: RootProvider = FILE,
        now: dt.datetime | None = None,
    ) -> Self:
        """Draw new keys for ``workspace`` and write them to ``path`` (mode 0600).

        Raises:
            KeyRingExists: ``path`` is taken; what is there is left as it is.
            KeyRingUnwritable: the file cannot be made there.
            RootNeeds, RootUnreachable, RootRefused, PassphraseWeak: of ``provider``.
        """
        providers = ONLY_FILE.adding(provider)
        content = Secret(
            RingDocument.fresh(workspace, randomness, now).encode(randomness, provider)
        )
        # Opened before it is written: a root that cannot be got back must guard nothing.
        document = ring_document.decode(content.expose(), path, providers)
        ring_file.write_new(path, content.expose())
        return cls(document, source=RingSource(path, providers))

    @classmethod
    def open(
        cls,
        path: Path,
        workspace: UUID | None = None,
        providers: RootProviders = ONLY_FILE,
        withheld: Iterable[str] = (),
    ) -> Self:
        """Read the ring at ``path``; with ``workspace``, refuse the ring of another.

        Args:
            path: of the file.
            workspace: whose ring it must be.
            providers: that may guard the root.
            withheld: purposes that this process must not hold, as for `without`.

        Raises:
            KeyRingMissing, KeyRingExposed, KeyRingGarbled, OtherWorkspace.
            RootProviderUnknown, and what the provider of the root raises.
        """
        less = frozenset(withheld)
        _check_purposes(less)
        source = RingSource(path, providers, less)
        ring = cls(source.read(), less, source)
        if workspace is not None:
            ring.require(workspace)
        return ring

    @classmethod
    def of(cls, document: RingDocument) -> Self:
        """Take the keys of an opened document and leave its root behind."""
        return cls(document)

    def without(self, *purposes: str) -> "KeyRing":
        """Return a ring that lacks the keys of ``purposes``, for a process that must not hold them.

        Raises:
            ValueError: a purpose that does not exist, which would withhold nothing.
        """
        _check_purposes(frozenset(purposes))
        less = object.__new__(KeyRing)
        less.workspace, less.facts, less._checks = self.workspace, self.facts, self._checks
        less._public = self._public
        less._withheld = self._withheld | set(purposes)
        less._keys = {name: held for name, held in self._keys.items() if name not in purposes}
        less._source = self._source.another(frozenset(purposes)) if self._source else None
        return less

    def holds(self, purpose: str) -> bool:
        """Say whether this ring can give the key of ``purpose``."""
        return purpose in self._keys

    def current(self, purpose: str) -> int:
        """Return the version that new work uses, also if another process put it in force."""
        self._look_again(at_once=False)
        return self._versions(purpose).current

    def versions(self, purpose: str) -> Mapping[int, dt.datetime | None]:
        """Return the versions that this ring holds, in order, and when each was made.

        None is a time from before ring format 2.
        """
        held = self._versions(purpose)
        return {version: held.made.get(version) for version in sorted(held.secrets)}

    def secret(self, purpose: str, version: int | None = None) -> Secret:
        """Return the key of ``purpose``, by default its current version.

        Raises:
            KeyWithheld: this process works without that purpose.
            KeyMissing: the ring has no such purpose or version.
        """
        held = self._versions(purpose)
        found = held.secrets.get(held.current if version is None else version)
        if found is None and self._look_again(at_once=True):
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
            "run: cdp key upgrade"
            if purpose in ADDED
            else "restore the newest copy of the key ring",
            key=purpose,
        )

    def _look_again(self, *, at_once: bool) -> bool:
        """Take the ring that is in the file's place now, if it is newer and of this workspace."""
        document = self._source.newer(at_once=at_once) if self._source else None
        if document is None or document.workspace != self.workspace:
            return False
        if _is_older(document.keys, self._keys):
            return False
        lasting = document.all_checks().get(ring_check.LASTING, b"")
        if not primitives.same(lasting, self._checks.get(ring_check.LASTING, b"")):
            return False
        self._take(document)
        return True

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
        """Return what a database keeps to know its ring again, 34 bytes (`ring_check`).

        It tells nothing of a key, and stays when roots and keys are rotated.

        Raises:
            OtherWorkspace: another workspace.
            KeyMissing: the ring lacks the `records` key.
        """
        self.require(workspace)
        found = self._checks.get(ring_check.LASTING)
        if found is None:
            raise KeyMissing(
                "the key ring lacks the key that its check derives from",
                "restore the newest copy of the key ring",
                key="records",
                version=1,
            )
        return found

    def confirm(self, workspace: UUID, stored: bytes) -> None:
        """Refuse to go on when ``stored``, the database's key check, is not of this ring.

        Raises:
            OtherWorkspace: another workspace, or the same id with other keys.
        """
        self.require(workspace)
        known = self._checks.get(int.from_bytes(stored[: ring_check.VERSION_BYTES], "big"))
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

    def public_keys(self, purpose: str = "audit-signing") -> dict[int, bytes]:
        """Return the public key of every version of ``purpose``, to verify with.

        Of a signing key also where this process does not hold the key itself.

        Raises:
            KeyWithheld, KeyMissing: there is neither key nor public half: an extract that an
                earlier release made.
        """
        self._look_again(at_once=False)
        if purpose in self._public:
            return dict(self._public[purpose])
        return {v: self.signer(purpose, v).public_bytes() for v in self.versions(purpose)}

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


def _is_older(found: Mapping[str, Versions], held: Mapping[str, Versions]) -> bool:
    """Whether a ring lacks a key that is held, or has given fewer numbers: an old copy, or a part.

    What was retired is no sign of it: the highest number ever given stays.
    """
    return any(
        purpose not in found or found[purpose].next < mine.next for purpose, mine in held.items()
    )


def _check_purposes(purposes: frozenset[str]) -> None:
    if unknown := sorted(purposes - set(PURPOSES)):
        raise ValueError(f"no such key purpose: {', '.join(unknown)}")
