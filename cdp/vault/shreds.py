"""The shred ledger: which records were destroyed, and which of them may come in again. Pure.

Invariants, each named by a test in ``tests/unit/vault/test_shreds.py``:

1. A line holds the keyed hash of a record, a time, a principal and a typed reason: nothing
   from which a destroyed record could be read or guessed.
2. Each line is sealed together with the seal of the line before it and the workspace: a
   line that was changed, taken out, put in, moved or brought from elsewhere is found.
   (Lines missing at the end are found by the copy in the database.)
3. The sequence decides what is newer. Times never go back, even if the clock does.
4. The last line of a record decides whether it stands as destroyed. What a database has of
   it from before a line that says so is the destroyed revision, whatever line came later.

A line is sealed with HMAC-SHA-256 under the key ``shreds`` of the ring. A ring without that
purpose seals under a key derived from ``records``; such lines carry key version 0.

On disk: a first line that names format, version and workspace, then one JSON object a line.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import KeyMissing, OtherWorkspace, ShredLedgerAltered
from cdp.vault.keyring import KeyRing
from cdp.vault.secret import Secret

FORMAT: Final = "kith-shred-ledger"
FORMAT_VERSION: Final = 1
PURPOSE: Final = "shreds"
START: Final = b""  # stands before the first line
_DERIVED: Final = 0  # the key version of lines under the key that ``records`` gives
_RESTORE: Final = "put your own copy of the ledger file back, then run: cdp vault replay"


class Kind(StrEnum):
    """What a line says about its record."""

    SHRED = "shred"
    READMIT = "readmit"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written down about one record."""

    kind: Kind
    key: bytes  # of the record, 16 bytes
    at: dt.datetime
    actor: str  # principal
    reason: str  # as typed


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger."""

    sequence: int  # from 1
    entry: Entry
    key_version: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a ledger ends."""

    sequence: int
    mac: bytes


EMPTY: Final = Head(0, START)


class Sealer:
    """Seals and checks the lines of one workspace."""

    __slots__ = ("_keyring",)

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring

    @property
    def workspace(self) -> UUID:
        """Whose ledger it is."""
        return self._keyring.workspace

    def seal(self, entries: Iterable[Entry], after: Line | None) -> list[Line]:
        """Return the lines that say ``entries`` behind the line ``after``."""
        sequence, before = (after.sequence, after.mac) if after else (0, START)
        latest = after.entry.at if after else None
        version = self._version()
        lines = []
        for given in entries:
            sequence += 1
            latest = max(given.at, latest) if latest else given.at
            entry = replace(given, at=latest.astimezone(dt.UTC))
            before = self._mac(sequence, entry, version, before)
            lines.append(Line(sequence, entry, version, before))
        return lines

    def check(self, lines: Iterable[Line], after: Line | None = None) -> Iterator[Line]:
        """Yield ``lines`` as long as each is genuine and follows the one before it.

        Raises:
            ShredLedgerAltered: names the first line that does not.
        """
        for one in lines:
            sequence, before = (after.sequence, after.mac) if after else (0, START)
            follows = one.sequence == sequence + 1 and (
                after is None or one.entry.at >= after.entry.at
            )
            genuine = follows and primitives.same(
                one.mac, self._mac(one.sequence, one.entry, one.key_version, before)
            )
            if not genuine:
                raise ShredLedgerAltered("shred_ledger_altered", _RESTORE, line=one.sequence)
            after = one
            yield one

    def _version(self) -> int:
        try:
            return self._keyring.current(PURPOSE)
        except KeyMissing:
            return _DERIVED

    def _mac(self, sequence: int, entry: Entry, version: int, before: bytes) -> bytes:
        running = primitives.keyed_hash(_key(self._keyring, version))
        running.update(
            frame(
                b"kith/shred/1",
                self.workspace.bytes,
                number(sequence),
                entry.kind.value.encode(),
                entry.key,
                _time(entry.at).encode(),
                entry.actor.encode(),
                entry.reason.encode(),
                number(version),
                before,
            )
        )
        return running.finalize()


def _key(keyring: KeyRing, version: int) -> Secret:
    """The key of one version: the one place that knows where it comes from."""
    purpose = keyring.secret("records") if version == _DERIVED else keyring.secret(PURPOSE, version)
    return primitives.expand(purpose, frame(b"kith/shreds/1"))


def standing(lines: Iterable[Line]) -> frozenset[bytes]:
    """The keys of the records that stand as destroyed (invariant 4)."""
    last = {one.entry.key: one.entry.kind for one in lines}
    return frozenset(key for key, kind in last.items() if kind is Kind.SHRED)


def to_destroy(lines: Sequence[Line], seen: int) -> frozenset[bytes]:
    """The keys of what must not be in a database that has seen the first lines (invariant 4).

    Those that stand as destroyed, and those destroyed behind the line ``seen``, also if they
    were let in again: what such a database has under their keys is what was destroyed.
    """
    later = {one.entry.key for one in lines[seen:] if one.entry.kind is Kind.SHRED}
    return standing(lines) | later


# ── as text ─────────────────────────────────────────────────────────────────


def first_line(workspace: UUID) -> bytes:
    """The line that a ledger file begins with."""
    return _json({"format": FORMAT, "version": FORMAT_VERSION, "workspace": str(workspace)})


def check_first_line(content: bytes, workspace: UUID) -> None:
    """Refuse a file that is no ledger, or not of this workspace.

    Raises:
        ShredLedgerAltered: it does not begin as a ledger of this version does.
        OtherWorkspace: it is the ledger of another.
    """
    head = _object(content)
    if head.get("format") != FORMAT or head.get("version") != FORMAT_VERSION:
        raise ShredLedgerAltered("not_a_shred_ledger", _RESTORE)
    if head.get("workspace") != str(workspace):
        raise OtherWorkspace(
            "the shred ledger belongs to another workspace",
            "put the ledger file of this workspace in its place",
            workspace=workspace,
        )


def encode(line: Line) -> bytes:
    """One line of the file, its end included."""
    entry = line.entry
    return _json(
        {
            "sequence": line.sequence,
            "kind": entry.kind.value,
            "key": entry.key.hex(),
            "at": _time(entry.at),
            "actor": entry.actor,
            "reason": entry.reason,
            "key_version": line.key_version,
            "mac": line.mac.hex(),
        }
    )


def decode(content: bytes) -> Line:
    """Read one line; whether it is genuine is for `Sealer.check` to say.

    Raises:
        ShredLedgerAltered: it is none.
    """
    found = _object(content)
    try:
        entry = Entry(
            Kind(found["kind"]),
            bytes.fromhex(found["key"]),
            dt.datetime.fromisoformat(found["at"]),
            str(found["actor"]),
            str(found["reason"]),
        )
        line = Line(
            int(found["sequence"]), entry, int(found["key_version"]), bytes.fromhex(found["mac"])
        )
    except (KeyError, ValueError, TypeError):
        raise ShredLedgerAltered("shred_ledger_altered", _RESTORE) from None
    if encode(line) != content:
        raise ShredLedgerAltered("shred_ledger_altered", _RESTORE, line=line.sequence)
    return line


def _time(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ShredLedgerAltered("shred_ledger_altered", _RESTORE)
    return found
