"""What a source has told of one record so far, merged message by message.

An identify brings part of what is known. What it leaves out stays, an explicit null takes away,
and of two that say something of the same column the later one counts, whichever comes first.

Invariants, each named by a test in ``tests/unit/connectors/events/test_telling.py``:

1. Merging is commutative, associative and idempotent: any order, grouping or repetition of the
   same messages ends in the same.
2. However traits are split over messages, the record is the same.
3. Only declared columns are held.
4. A column that was taken away stays so against everything earlier.
5. The ids of devices add up; the newest twenty are held.

Each column is a register in which the last writer wins, stamped with (rank, time, message); the
devices are a set of the same: Shapiro and others, "Conflict-free Replicated Data Types" (2011).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from connectors.cells import Cell
from connectors.columns import file_columns
from connectors.declaration import SourceDeclaration
from connectors.events.declaration import RECORD_ID
from connectors.events.event import ABSENT, ANONYMOUS, Event, Kind, at_path
from connectors.mapping import RowMapper
from connectors.record import Raw, Record, Rejection, Sensitive
from connectors.sources.json_lines import cell_at
from connectors.vocabulary import SENSITIVE_FIELDS

VERSION: Final = 1
KEPT, KEPT_SENSITIVE = "raw_told", "raw_told_sensitive"
"""Cells beside the record that hold what was told, of the tiers contact and sensitive."""
MOST_DEVICES: Final = 20
USER, DEVICE, GROUP = "userId", "anonymousId", "groupId"
CONSENT_UPDATED: Final = "Segment Consent Preference Updated"
"""The event by which Segment's SDKs say that a visitor chose anew ("Consent in Unify")."""
_PREFERENCES: Final = ("context", "consent", "categoryPreferences")
REASON: Final = "merge what a source told of a record"

Stamp = tuple[int, int, str]  # rank, milliseconds since 1970, message
Register = tuple[Stamp, Any]


@dataclass(frozen=True, slots=True)
class Told(Raw):
    """What was told: a register for each column, and when each device was named last."""

    columns: Mapping[str, Register] = field(default_factory=dict, repr=False)
    devices: Mapping[str, Stamp] = field(default_factory=dict, repr=False)

    def merged(self, other: "Told") -> "Told":
        """Return both, joined (invariant 1)."""
        columns = dict(self.columns)
        for name, register in other.columns.items():
            held = columns.get(name)
            if held is None or _order(held) < _order(register):
                columns[name] = register
        devices = dict(self.devices)
        for device, stamp in other.devices.items():
            devices[device] = max(stamp, devices.get(device, stamp))
        newest = sorted(devices.items(), key=lambda one: (one[1], one[0]))[-MOST_DEVICES:]
        return Told(columns, dict(newest))

    def split(self, apart: Iterable[str]) -> tuple["Told", "Told"]:
        """Return what is told of all columns but ``apart``, and of those."""
        names = set(apart)
        return (
            Told({n: r for n, r in self.columns.items() if n not in names}, self.devices),
            Told({n: r for n, r in self.columns.items() if n in names}),
        )

    def encode(self) -> str:
        """Return it as text, the same for equal ones."""
        whole = {"version": VERSION, "columns": dict(self.columns), "devices": dict(self.devices)}
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what ``encode`` wrote."""
        whole = json.loads(text)
        columns = {n: (_stamp(stamp), value) for n, (stamp, value) in whole["columns"].items()}
        return cls(columns, {one: _stamp(stamp) for one, stamp in whole["devices"].items()})

    def __bool__(self) -> bool:
        return bool(self.columns or self.devices)


def _stamp(found: list[Any]) -> Stamp:
    rank, at, message = found
    return rank, at, message


def _order(register: Register) -> tuple[Stamp, str]:
    stamp, value = register
    return stamp, json.dumps(value, sort_keys=True)


class Teller:
    """Reads what messages tell by one declaration, and makes records of it. Pure."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        inbound = declaration.inbound
        self._mapper = RowMapper(declaration)
        self._columns = declaration.columns()
        self._categories = inbound.categories if inbound else {}
        self._sensitive = frozenset(
            column
            for name, specs in declaration.fields.items()
            if name in SENSITIVE_FIELDS
            for spec in specs
            for column in file_columns(declaration.derived, spec.columns)
        )
        self._paths = {
            one: tuple(one.split("."))
            for one in self._columns
            if one not in {USER, DEVICE, GROUP, *RECORD_ID}
        }
        self._consent = {_category(one): (*_PREFERENCES, one) for one in self._categories}
        self._paths |= self._consent
        self._held = self._paths.keys() | ({GROUP} & set(self._columns))

    def told(self, event: Event, message: str, *, ids_alone: bool = False) -> Told:
        """Return what one message tells.

        Args:
            event: that asserts something.
            message: names it among all of the source.
            ids_alone: whether its sender is trusted for ids and nothing else. What it says of
                consent counts even so: that is the visitor's own word.
        """
        at = round(event.time.timestamp() * 1000)
        stamp = (0, -at, message) if event.once else (1, at, message)
        devices: dict[str, Stamp] = {}
        if event.anonymous_id is not None:
            devices[event.anonymous_id.reveal(reason=REASON)] = (1, at, message)
        columns: dict[str, Register] = {}
        for name, path in self._told_by(event, ids_alone=ids_alone).items():
            value = at_path(event.row, path)
            if value is not ABSENT:
                columns[name] = (stamp, value)
        if event.kind is Kind.GROUP and not ids_alone and GROUP in event.row:
            columns[GROUP] = (stamp, event.row[GROUP])
        return Told(columns, devices)

    def updates_consent(self, event: Event) -> bool:
        """Whether a message that only happened says what its user agrees to from now on."""
        named = event.kind is Kind.TRACK and event.name == CONSENT_UPDATED
        return named and bool(self._consent) and event.user_id is not None

    def _told_by(self, event: Event, *, ids_alone: bool) -> Mapping[str, tuple[str, ...]]:
        """Where a message tells which columns."""
        if event.kind is Kind.IDENTIFY:
            return self._consent if ids_alone else self._paths
        return self._consent if self.updates_consent(event) else {}

    def record(self, position: int, record_id: str, told: Told) -> Record | Rejection:
        """Make the record of all that was told of ``record_id``; see ``record_id_of``."""
        told = Told({n: r for n, r in told.columns.items() if n in self._held}, told.devices)
        cells: dict[str, Cell] = {
            name: cell_at({"": value}, "")
            for name, (_, value) in told.columns.items()
            if name in self._columns
        }
        cells[DEVICE] = tuple(sorted(told.devices)) or None
        cells[USER] = None if record_id.startswith(ANONYMOUS) else record_id
        cells[RECORD_ID[0]] = record_id
        found = self._mapper.map(position, cells, told.encode)
        if isinstance(found, Rejection):
            return found
        said = {one: told.columns.get(_category(one), (None, None))[1] for one in self._categories}
        refused, unstated = stated(self._categories, said)
        return replace(
            found,
            opted_out=found.opted_out | refused,
            unstated=unstated,
            kept=self._kept(told),
            cells=None,  # they say less than was told
        )

    def _kept(self, told: Told) -> dict[str, Sensitive]:
        """What was told, parted by the tier of the fields that it is mapped to."""
        contact, sensitive = told.split(self._sensitive)
        found = {KEPT: Sensitive(contact.encode())}
        if sensitive:
            found[KEPT_SENSITIVE] = Sensitive(sensitive.encode())
        return found


def joined(kept: Iterable[Sensitive]) -> Told:
    """Return what was told, from the parts of it that are kept beside a record."""
    found = Told()
    for one in kept:
        found = found.merged(Told.decode(one.reveal(reason=REASON)))
    return found


def stated(
    categories: Mapping[str, tuple[str, ...]], preferences: Mapping[str, Any]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the purposes that preferences refuse, and those of which they say nothing.

    A purpose of several categories is refused where one of them is, and granted where all are.
    """
    refused: set[str] = set()
    unstated: set[str] = set()
    for name, purposes in categories.items():
        if preferences.get(name) is False:
            refused.update(purposes)
        elif preferences.get(name) is not True:
            unstated.update(purposes)
    return frozenset(refused), frozenset(unstated - refused)


def preferences_of(event: Event) -> Mapping[str, Any]:
    """Return what a message says of consent, by category."""
    found = at_path(event.row, _PREFERENCES)
    return found if isinstance(found, dict) else {}


def record_id_of(event: Event) -> str:
    """Return the record that a message speaks of: of the user, or else of the device."""
    if event.user_id is not None:
        return event.user_id.reveal(reason=REASON)
    return device_id_of(event) or ""


def device_id_of(event: Event) -> str | None:
    """Return the record of the device that a message names."""
    if event.anonymous_id is None:
        return None
    return ANONYMOUS + event.anonymous_id.reveal(reason=REASON)


def _category(name: str) -> str:
    return ".".join((*_PREFERENCES, name))
