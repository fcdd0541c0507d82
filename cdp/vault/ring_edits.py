"""What may be done to a key ring. Pure: a document in, another one out.

1. No number of a key version is given twice, in the ring or by the database.
2. A version that the database still uses is not retired, nor is the one in force.
3. Nothing is added to a ring that is older than its database: it would become a second,
   different key under a number that is taken.
4. A new root wraps every key, and the old root is in the ring no more.
5. The database knows its ring again after every edit.
6. An extract has the keys that were asked for and no other, under a root drawn for it. Of a
   signing key it lacks it has the public halves, under its own seal.

``in_use`` says how many rows of the database need each version of a purpose. Whoever
counts them must keep others from writing with an old version meanwhile.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from cdp.vault.errors import KeyMissing, KeyRingGarbled, NotRotatable, VersionInUse
from cdp.vault.primitives import KEY_BYTES, Randomness
from cdp.vault.ring_document import ADDED, MAX_VERSION, PURPOSES, RingDocument, Versions
from cdp.vault.secret import Secret

FIXED: Final = "records"  # record keys and profile ids derive from it
InUse = Mapping[int, int]  # version: rows that need it


def rotate_root(document: RingDocument, randomness: Randomness, now: dt.datetime) -> RingDocument:
    """Draw a new root; writing the document wraps every key under it. The old root is gone."""
    version = _number(document.roots.next, "root")
    root = Secret(randomness(KEY_BYTES))
    checks = {v: check for v, check in document.all_checks().items() if v}
    roots = Versions(version, {version: root}, {version: now}, version)
    return replace(document, roots=roots, checks=checks)


def add_version(
    document: RingDocument, purpose: str, in_use: InUse, randomness: Randomness, now: dt.datetime
) -> RingDocument:
    """Draw a new version of a purpose and put it in force. Older ones stay readable.

    Raises:
        NotRotatable: the purpose keeps one version.
        KeyMissing: the ring has no such purpose, or lacks a version that is in use.
    """
    if purpose == FIXED:
        raise NotRotatable(
            "record keys and profile ids derive from this key and must stay what they are",
            "rotate the others; this one opens nothing",
            key=purpose,
        )
    held = _held(document, purpose)
    _not_older(purpose, held, in_use)
    version = _number(held.next, purpose)
    added = Versions(
        version,
        {**held.secrets, version: Secret(randomness(KEY_BYTES))},
        {**held.made, version: now},
        version,
    )
    return replace(document, keys={**document.keys, purpose: added})


def retire(document: RingDocument, purpose: str, version: int, in_use: InUse) -> RingDocument:
    """Take an old version of a purpose out of the ring, for ever.

    Raises:
        VersionInUse: it is the one in force, or the database still needs it.
        KeyMissing: the ring has no such purpose or version, or lacks one that is in use.
    """
    held = _held(document, purpose)
    _not_older(purpose, held, in_use)
    if version not in held.secrets:
        raise KeyMissing(
            "the key ring has no such version",
            "see which there are with: cdp key status",
            key=purpose,
            version=version,
        )
    if version == held.current:
        raise VersionInUse(
            "this version is in force",
            f"put a newer one in force first: cdp key rotate {purpose}",
            key=purpose,
            version=version,
        )
    if rows := in_use.get(version, 0):
        raise VersionInUse(
            f"{rows} rows of the database still need this version",
            "see what waits with cdp key status, and retire it when nothing does",
            key=purpose,
            version=version,
        )
    secrets = {number: secret for number, secret in held.secrets.items() if number != version}
    made = {number: at for number, at in held.made.items() if number != version}
    left = Versions(held.current, secrets, made, held.next - 1)
    return replace(document, keys={**document.keys, purpose: left})


def add_purposes(
    document: RingDocument,
    in_use: Mapping[str, InUse],
    randomness: Randomness,
    now: dt.datetime,
) -> RingDocument:
    """Draw the keys that rings of earlier releases lack; those that are there stay.

    Raises:
        KeyMissing: the database already uses one of them: this ring is an old copy.
        KeyRingGarbled: one is missing that every release had.
    """
    if gone := sorted(set(PURPOSES) - set(ADDED) - set(document.keys)):
        raise KeyRingGarbled(
            f"it lacks keys that every release had: {', '.join(gone)}",
            "restore the key ring from your own copy of it",
        )
    added: dict[str, Versions] = {}
    for purpose in missing(document.keys):
        if used := sorted(in_use.get(purpose, {})):
            raise _older(purpose, used)
        added[purpose] = Versions(1, {1: Secret(randomness(KEY_BYTES))}, {1: now}, 1)
    return replace(document, keys={**document.keys, **added})


def extract(
    document: RingDocument, purposes: Collection[str], randomness: Randomness, now: dt.datetime
) -> RingDocument:
    """Return a ring with the keys of ``purposes`` alone, and a root of its own.

    Raises:
        KeyMissing: this ring lacks one of them.
    """
    held = {purpose: _held(document, purpose) for purpose in purposes}
    # A number of its own: checks of this ring's roots stay what they are.
    version = _number(document.roots.next, "root")
    root = Versions(version, {version: Secret(randomness(KEY_BYTES))}, {version: now}, version)
    keys = {purpose: held[purpose] for purpose in document.keys if purpose in held}
    public = {one: halves for one, halves in document.all_public().items() if one not in held}
    return RingDocument(
        document.workspace,
        root,
        keys,
        checks=document.all_checks(),
        format=document.format,
        public=public,
    )


def is_extract(document: RingDocument) -> bool:
    """Say whether a ring was made by `extract`: only the whole ring names records."""
    return FIXED not in document.keys


def missing(purposes: Iterable[str]) -> list[str]:
    """Return the purposes that a ring of an earlier release may lack and this one does."""
    there = set(purposes)
    return [purpose for purpose in ADDED if purpose not in there]


def _held(document: RingDocument, purpose: str) -> Versions:
    held = document.keys.get(purpose)
    if held is None:
        raise KeyMissing(
            "the key ring has no key for this purpose",
            "run: cdp key upgrade" if purpose in ADDED else f"name one of {', '.join(PURPOSES)}",
            key=purpose,
        )
    return held


def _not_older(purpose: str, held: Versions, in_use: InUse) -> None:
    if lacking := sorted(version for version in in_use if version not in held.secrets):
        raise _older(purpose, lacking)


def _older(purpose: str, lacking: list[int]) -> KeyMissing:
    return KeyMissing(
        "the database uses versions of this key that the key ring lacks: it is an old copy",
        "restore the newest copy of the key ring",
        key=purpose,
        versions=", ".join(map(str, lacking)),
    )


def _number(version: int, what: str) -> int:
    if version > MAX_VERSION:
        raise NotRotatable(
            f"its number of versions is used up: there are {MAX_VERSION}",
            "begin a new workspace and sync every source",
            key=what,
        )
    return version
