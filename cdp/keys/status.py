"""What there is to know of the keys of a workspace. No key."""

import datetime as dt
from dataclasses import dataclass

from cdp.keys import usage
from cdp.keys.purposes import ROTATIONS, After, goes_on
from cdp.vault import ring_edits
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import ADDED, FORMAT_VERSION
from cdp.workspace import Workspace


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of one key."""

    purpose: str
    version: int
    current: bool
    made: dt.datetime | None  # None: before ring format 2
    age_days: int | None
    held: bool  # False: the database needs it and the ring lacks it
    rows: int  # of the database that need it


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The keys of a workspace."""

    format: int
    provider: str
    root_version: int
    root_made: dt.datetime | None
    versions: list[KeyVersion]
    missing: list[str]  # purposes that this release has and the ring has not
    problems: list[str]  # what to do something about, a sentence each


def status(workspace: Workspace) -> KeyStatus:
    """Hold the ring and the database against each other."""
    ring, now = workspace.keyring, workspace.now()
    with workspace.engine.connect() as connection:
        used = usage.needed(workspace, connection)
    versions = [
        one for purpose in ROTATIONS for one in _versions(ring, purpose, used.get(purpose, {}), now)
    ]
    facts = ring.facts
    missing = ring_edits.missing(one for one in ROTATIONS if ring.holds(one))
    problems = _problems(versions, missing, facts.format)
    return KeyStatus(
        facts.format,
        facts.provider,
        facts.root_version,
        facts.root_made,
        versions,
        missing,
        problems,
    )


def waiting(versions: list[KeyVersion], purpose: str) -> int:
    """How many rows still need an older version than the one in force."""
    return sum(one.rows for one in versions if one.purpose == purpose and not one.current)


def _versions(ring: KeyRing, purpose: str, rows: usage.Rows, now: dt.datetime) -> list[KeyVersion]:
    held = ring.versions(purpose) if ring.holds(purpose) else {}
    current = ring.current(purpose) if held else None
    found = []
    for version in sorted({*held, *rows}):
        made = held.get(version)
        age = None if made is None else (now - made).days
        found.append(
            KeyVersion(
                purpose,
                version,
                version == current,
                made,
                age,
                version in held,
                rows.get(version, 0),
            )
        )
    return found


def _problems(versions: list[KeyVersion], missing: list[str], layout: int) -> list[str]:
    found = [
        f"{one.purpose} version {one.version}: {one.rows} rows need it and the ring lacks it. "
        "Restore the newest copy of the key ring."
        for one in versions
        if not one.held
    ]
    lacking = [one for one in missing if one in ADDED]
    if lacking or layout < FORMAT_VERSION:
        found.append("The ring is of an earlier release. Run: cdp key upgrade")
    found += [
        f"{one.purpose} version {one.version}: {one.rows} rows wait for the version in force. "
        f"Run: cdp key rotate {one.purpose} --resume"
        for one in versions
        if one.held and not one.current and one.rows and goes_on(one.purpose)
    ]
    found += [
        f"{one.purpose} version {one.version}: no row needs it any more. "
        f"Run: cdp key retire {one.purpose} {one.version}"
        for one in versions
        if one.held and not one.current and not one.rows and _retirable(one.purpose)
    ]
    return found


def _retirable(purpose: str) -> bool:
    rotation = ROTATIONS[purpose]
    return rotation.after is not After.REFUSED and not rotation.kept
