"""The contents of a key ring, and the JSON they are written as.

Shape, format 2::

    {"format": "kith-key-ring", "version": 2, "workspace": UUID,
     "root": {"provider": "file", "current": 2, "latest": 2,
              "versions": {"2": {"made": time or null, "held": what the provider keeps}}},
     "checks": {"1": base64 of 34 bytes},
     "public": {"audit-signing": {"1": base64 of 32 bytes}},
     "keys": {purpose: {"current": 1, "latest": 1,
                        "versions": {"1": {"root": 2, "made": time, "wrapped": base64}}}},
     "mac": base64 of 32 bytes}

``provider`` says who guards the root secrets (`cdp.vault.roots`). A wrapped key is nonce
(12 bytes), then AES-256-GCM-SIV of the key's 32 bytes under a key derived from that root
version, bound to the workspace, purpose, key version, root version and format. ``latest``
is the highest number ever given, so that no number is given twice. ``checks`` are of roots
that are gone, and in an extract (`cdp.vault.ring_edits.extract`) of the `records` key, which
it lacks: see `cdp.vault.ring_check`. ``public`` is there in an extract only: the public halves
of signing keys that it lacks (`cdp.vault.public_halves`). ``mac`` is HMAC-SHA-256 of everything
else under a key of the current root: nothing can be left out, and no older version made current.

Format 1 is read too: one root in the file itself, no times, ``latest``, checks or mac.
Whatever is written is format 2.
"""

import datetime as dt
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from cdp.errors import KithError
from cdp.vault import primitives, public_halves, ring_check
from cdp.vault.context import frame, number
from cdp.vault.errors import KeyRingGarbled
from cdp.vault.primitives import KEY_BYTES, NONCE_BYTES, InvalidTag, Randomness
from cdp.vault.public_halves import SIGNING, PublicHalves
from cdp.vault.roots import local
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.provider import RootPlace, RootProvider, RootProviders
from cdp.vault.secret import Secret

FORMAT = "kith-key-ring"
FORMAT_VERSION = 2
MAX_VERSION = 2**16 - 1  # a key version is two bytes wherever it is stored

# Purposes that rings of earlier releases lack; `cdp key upgrade` adds them.
ADDED = (
    "masked",  # key-encryption key of the masked tier
    "shreds",  # MAC of the ledger of shredded records
    "sign-in",  # sessions, one-time codes and their seeds
)
PURPOSES = (
    "contact",  # key-encryption key of the contact tier
    "sensitive",  # key-encryption key of the sensitive tier
    "blind-index",
    "features",
    "records",  # record keys, content digests, profile ids, the lasting check
    "rejects",
    "audit-signing",  # Ed25519 seed
    "webhook-secrets",
    "api-keys",
    "published",
    *ADDED,
)
_RESTORE: Final = "restore the key ring from your own copy of it"


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one key, and the one that new work uses."""

    current: int
    secrets: Mapping[int, Secret]
    made: Mapping[int, dt.datetime] = field(default_factory=dict)  # none: before format 2
    latest: int = 0  # the highest number ever given; never below those that are there

    @property
    def next(self) -> int:
        """The number of the version after all that ever were."""
        return max(self.latest, *self.secrets) + 1


@dataclass(frozen=True, slots=True)
class RingDocument:
    """What a key ring file says, opened. Holds the root secrets: keep it short-lived."""

    workspace: UUID
    roots: Versions
    keys: Mapping[str, Versions]
    provider: str = FILE.name  # who guards the roots
    checks: Mapping[int, bytes] = field(default_factory=dict)  # of keys that are not here
    format: int = FORMAT_VERSION  # that it was read from
    public: PublicHalves = field(default_factory=dict)  # of signing keys that are not here

    @classmethod
    def fresh(
        cls, workspace: UUID, randomness: Randomness, now: dt.datetime | None = None
    ) -> "RingDocument":
        """Draw a root and one key for every purpose, all at version 1."""

        def first() -> Versions:
            made = {} if now is None else {1: now}
            return Versions(1, {1: Secret(randomness(KEY_BYTES))}, made, 1)

        return cls(workspace, first(), {purpose: first() for purpose in PURPOSES})

    def all_checks(self) -> dict[int, bytes]:
        """Return every check that a database of this ring may hold, by its version."""
        found = dict(self.checks)
        for version, root in self.roots.secrets.items():
            found[version] = ring_check.of_root(root, self.workspace, version)
        return found | _lasting(self.workspace, self.keys)

    def all_public(self) -> dict[str, Mapping[int, bytes]]:
        """Return the public halves of every signing key, by purpose and version."""
        return {**self.public, **_public_halves(self.keys)}

    def encode(self, randomness: Randomness, provider: RootProvider = FILE) -> bytes:
        """Write the document as the bytes of a key ring file, its roots guarded by ``provider``.

        Raises:
            RootNeeds, RootUnreachable, RootRefused, PassphraseWeak: the provider cannot.
        """
        root = self.roots.current
        body: dict[str, Any] = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "workspace": str(self.workspace),
            "root": _section(self.roots, self._held(provider), {"provider": provider.name}),
            "checks": {str(v): local.text_of(check) for v, check in self.checks.items()},
            "keys": {
                purpose: _section(held, self._wrapped(purpose, held, randomness), {})
                for purpose, held in self.keys.items()
            },
        }
        if self.public:
            body["public"] = public_halves.written(self.public)
        body["mac"] = local.text_of(_mac(body, self.workspace, self.roots.secrets[root]))
        return json.dumps(body, indent=1).encode() + b"\n"

    def _held(self, provider: RootProvider) -> dict[int, dict[str, Any]]:
        return {
            version: {"held": dict(provider.wrap(secret, RootPlace(self.workspace, version)))}
            for version, secret in self.roots.secrets.items()
        }

    def _wrapped(
        self, purpose: str, held: Versions, randomness: Randomness
    ) -> dict[int, dict[str, Any]]:
        root = self.roots.current
        cipher = _wrapping(self.roots.secrets[root])
        found = {}
        for version, secret in held.secrets.items():
            nonce = randomness(NONCE_BYTES)
            bound = _bound(self.workspace, purpose, (version, root, FORMAT_VERSION))
            sealed = nonce + cipher.encrypt(nonce, secret.expose(), bound)
            found[version] = {"root": root, "wrapped": local.text_of(sealed)}
        return found


def _section(
    held: Versions, parts: Mapping[int, dict[str, Any]], more: dict[str, Any]
) -> dict[str, Any]:
    versions = {
        str(version): {"made": _time_text(held.made.get(version)), **part}
        for version, part in parts.items()
    }
    return {**more, "current": held.current, "latest": held.next - 1, "versions": versions}


def _lasting(workspace: UUID, keys: Mapping[str, Versions]) -> dict[int, bytes]:
    """Return the check that derives from the `records` key, where the key is there."""
    records = keys.get("records")
    if records is None or 1 not in records.secrets:
        return {}
    return {ring_check.LASTING: ring_check.lasting(records.secrets[1], workspace)}


def _public_halves(keys: Mapping[str, Versions]) -> dict[str, Mapping[int, bytes]]:
    return public_halves.derived({purpose: held.secrets for purpose, held in keys.items()})


def _time_text(at: dt.datetime | None) -> str | None:
    return None if at is None else at.astimezone(dt.UTC).isoformat(timespec="seconds")


def _wrapping(root: Secret) -> primitives.KeyCipher:
    """Return the cipher that wraps the keys of a ring under ``root``."""
    return primitives.key_cipher(primitives.expand(root, frame(b"kith/key-ring/wrap/1")))


def _bound(workspace: UUID, purpose: str, versions: tuple[int, int, int]) -> bytes:
    """Return the associated data of a wrapped key; versions of key, root and format."""
    parts = (workspace.bytes, purpose.encode(), *map(number, versions))
    return frame(b"kith/key-ring/key", *parts)


def _mac(body: Mapping[str, Any], workspace: UUID, root: Secret) -> bytes:
    """Return the MAC of a ring's body, ``mac`` itself left out."""
    key = primitives.expand(root, frame(b"kith/key-ring/mac/1", workspace.bytes))
    running = primitives.keyed_hash(key)
    rest = {name: part for name, part in body.items() if name != "mac"}
    running.update(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    return running.finalize()


def decode(
    content: bytes,
    path: Path,
    providers: RootProviders = ONLY_FILE,
    withheld: Collection[str] = (),
) -> RingDocument:
    """Read the bytes of a key ring file and unwrap every key in it.

    Keys of ``withheld`` purposes are left out: what is not to be written again.

    Raises:
        KeyRingGarbled: not JSON, not this format, a part missing, or a key that does not
            unwrap. The message names the part, never what stands there.
        RootProviderUnknown: its root is with a provider that is not among ``providers``.
        RootNeeds, RootUnreachable, RootRefused, PassphraseWrong, RootKeyWrong,
            RootOfAnotherPlace: the provider does not give the root.
    """
    found = _read(content, providers, withheld)
    del content  # it may hold the root: a traceback with locals must not show it
    if isinstance(found, RingDocument):
        return found
    if isinstance(found, KithError):
        raise found.at(key_ring=path)  # anew: its own traceback passed by the content
    raise KeyRingGarbled(found.rule, found.next_step, key_ring=path)


class _Finding(NamedTuple):
    rule: str
    next_step: str


_NOT_JSON = _Finding("the file is not a whole JSON object", _RESTORE)
_NOT_A_RING = _Finding("the file is not a key ring", "name the right file")
_OTHER_RELEASE = _Finding(
    "its format version is not one this release reads",
    "use the release that wrote it, or a newer one",
)
_NO_ROOT = _Finding("its workspace or root cannot be read", _RESTORE)
_NO_KEY = _Finding("a key in it does not unwrap", _RESTORE)
_ALTERED = _Finding("it was altered: its seal does not fit", _RESTORE)
# What reading a changed document can raise; `binascii.Error` is a ValueError.
_CHANGED = (AttributeError, KeyError, TypeError, ValueError, OverflowError, InvalidTag)


def _read(
    content: bytes, providers: RootProviders, withheld: Collection[str]
) -> RingDocument | _Finding | KithError:
    # Findings are returned, because an error raised here would carry the content with it.
    body = _parsed(content)
    if body is None:
        return _NOT_JSON
    if body.get("format") != FORMAT:
        return _NOT_A_RING
    if not _is_known(body):
        return _OTHER_RELEASE
    try:
        workspace, name = UUID(body["workspace"]), body["root"]["provider"]
        roots = _roots(body, workspace, providers.named(name))
    except KithError as error:
        return error
    except _CHANGED:
        return _NO_ROOT
    return _unwrapped(body, workspace, roots, withheld)


def _unwrapped(
    body: dict[str, Any], workspace: UUID, roots: Versions, withheld: Collection[str]
) -> RingDocument | _Finding:
    try:
        # The database knows its ring by the `records` key, and everybody verifies by the public
        # half of a signing key: some processes must keep neither key.
        passing = ("records", *SIGNING)
        wanted = [one for one in body["keys"] if one not in withheld or one in passing]
        keys = {purpose: _keys(body, workspace, purpose, roots) for purpose in wanted}
        checks = _checks(body) | (_lasting(workspace, keys) if "records" in withheld else {})
        halves = _public_halves({one: held for one, held in keys.items() if one in withheld})
        public = public_halves.read(body.get("public", {})) | halves
    except _CHANGED:
        return _NO_KEY
    if not _is_whole(body, workspace, roots.secrets[roots.current]):
        return _ALTERED
    provider, version = body["root"]["provider"], body["version"]
    keys = {purpose: held for purpose, held in keys.items() if purpose not in withheld}
    return RingDocument(workspace, roots, keys, provider, checks, version, public)


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _is_known(body: dict[str, Any]) -> bool:
    root, version = body.get("root"), body.get("version")
    if not isinstance(root, dict) or type(version) is not int:
        return False
    return version == FORMAT_VERSION or (version == 1 and root.get("provider") == FILE.name)


def _is_whole(body: dict[str, Any], workspace: UUID, root: Secret) -> bool:
    if body["version"] == 1:
        return True  # it had no seal
    try:
        stored = local.bytes_of(body["mac"])
    except _CHANGED:
        return False
    return primitives.same(_mac(body, workspace, root), stored)


def _roots(body: dict[str, Any], workspace: UUID, provider: RootProvider) -> Versions:
    section, secrets = body["root"], {}
    for name, entry in section["versions"].items():
        version = _version(name)
        held = {"secret": entry} if body["version"] == 1 else entry["held"]
        root = provider.unwrap(held, RootPlace(workspace, version))
        secrets[version] = _of_key_length(root)
    return _versions(section, secrets)


def _keys(body: dict[str, Any], workspace: UUID, purpose: str, roots: Versions) -> Versions:
    section, secrets = body["keys"][purpose], {}
    for name, entry in section["versions"].items():
        version, root = _version(name), entry["root"]
        wrapped = local.bytes_of(entry["wrapped"])
        bound = _bound(workspace, purpose, (version, root, body["version"]))
        key = _wrapping(roots.secrets[root]).decrypt(
            wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound
        )
        secrets[version] = _of_key_length(Secret(key))
    return _versions(section, secrets)


def _versions(section: dict[str, Any], secrets: dict[int, Secret]) -> Versions:
    current, latest = section["current"], section.get("latest", max(secrets))
    if type(current) is not int or type(latest) is not int or current not in secrets:
        raise ValueError("no current version")
    entries = section["versions"].items()
    times = {int(name): entry.get("made") for name, entry in entries if isinstance(entry, dict)}
    made = {version: dt.datetime.fromisoformat(at) for version, at in times.items() if at}
    return Versions(current, secrets, made, latest)


def _checks(body: dict[str, Any]) -> dict[int, bytes]:
    found = {
        ring_check.LASTING if v == str(ring_check.LASTING) else _version(v): local.bytes_of(text)
        for v, text in body.get("checks", {}).items()
    }
    if any(len(check) != ring_check.CHECK_BYTES for check in found.values()):
        raise ValueError("not a check")
    return found


def _version(name: str) -> int:
    version = int(name)
    if str(version) != name or not 1 <= version <= MAX_VERSION:
        raise ValueError("not a key version")
    return version


def _of_key_length(secret: Secret) -> Secret:
    if len(secret.expose()) != KEY_BYTES:
        raise ValueError("not the length of a key")
    return secret


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two equal names JSON keeps the last without a word; a key ring has no such choice.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found
