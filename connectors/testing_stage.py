"""What an author gives so that a connector can be put to the test: a stage.

A stage is the system that the connector reads, as far as the laws need it: rows can be put into
it, deleted, given other columns, and it can be made to fail. Subclass ``Stage`` and write what
your system can do; what is not written is not tried, and the report says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from connectors.base import Deleted, Delivery, Feed, Finding, Mark, Source, State
from connectors.credentials import Credentials, NoCredentialError, Reference
from connectors.declaration import SourceDeclaration, parse_source
from connectors.installed import INSTALLED
from connectors.record import Record, Rejection, Sensitive
from connectors.testing import contents, opened

Row = Mapping[str, str]
"""One row in the words of the suite: column -> text. A column without a value is left out."""

COLUMNS: Final = ("id", "name", "phone", "visits", "updated")
SAMPLE: Final[tuple[Row, ...]] = (
    {"id": "900000001", "name": "canary-欧阳娜娜", "phone": "0013800001111", "visits": "3",
     "updated": "2026-03-01 08:00:00"},
    {"id": "900000002", "name": 'canary-"O, B"', "phone": "123456789012345678",
     "updated": "2026-03-01 08:00:00"},
    {"id": "900000003", "name": "canary-Zoë 𠮷", "visits": "0", "updated": "2026-03-01 09:00:00"},
    {"id": "900000004", "name": "canary-four", "phone": "canary-1-4", "visits": "12",
     "updated": "2026-03-01 09:30:00"},
    {"id": "900000005", "name": "canary-five", "phone": "canary-1-5",
     "updated": "2026-03-01 10:00:00"},
)  # fmt: skip
BASE: Final[Mapping[str, Any]] = {
    "record_id": "id",
    "fields": {"name": "name", "phone": "phone"},
    "attributes": {"visits": {"column": "visits", "type": "integer"}},
}
NAME: Final = "under_test"
MOST: Final = 10_000  # deliveries of one reading: the sample has a few rows


class Failure(StrEnum):
    """How a system fails."""

    REFUSED = "refused"  # it does not accept the credentials
    BUSY = "busy"  # it asks to come again later: a limit of calls
    AWAY = "away"  # it cannot be reached
    GARBLED = "garbled"  # it answers what nobody can read


class NotStaged(Exception):  # noqa: N818 - nothing went wrong: it is not tried
    """The stage cannot do this; the laws that need it do not apply."""


class Stage:
    """The system that a connector under test reads. One is made for each law.

    Attributes:
        entry: what the entry of ``cdp.yaml`` says beside record id, fields and attributes of the
            suite's columns; it may map these to columns of other names. ``connector`` and the
            name under ``installed`` are not needed.
        secrets: by their names under ``credentials`` of the entry.
        takes_late_rows: False where a row that is put late, with a time before the newest one,
            may be missed, as by a cursor without an overlap.
    """

    entry: Mapping[str, Any] = MappingProxyType({})
    secrets: Mapping[str, str] = MappingProxyType({})
    takes_late_rows = True

    def __init__(self, folder: Path) -> None:
        """Set the system up; ``folder`` is empty, and goes afterwards."""
        self.folder = folder

    def put(self, rows: Sequence[Row]) -> None:
        """Write rows: new ones, or other content of records that are there."""
        del rows
        raise NotStaged("Stage.put is not written")

    def delete(self, ids: Sequence[str]) -> None:
        """Delete the records of these ids, so that the connector hears of it."""
        del ids
        raise NotStaged("Stage.delete is not written: no deletions are promised")

    def columns(self, names: Sequence[str]) -> None:
        """Have these columns from now on: rows lose the others, and are empty in a new one."""
        del names
        raise NotStaged("Stage.columns is not written: its columns cannot change")

    def fail(self, how: Failure | None) -> None:
        """Fail like this from now on, whatever is asked; None: work again."""
        del how
        raise NotStaged("Stage.fail is not written")

    def left_open(self) -> int:
        """How many connections, files and cursors of the connector are open now."""
        return 0

    def close(self) -> None:
        """Take the system down."""


Making = Callable[[SourceDeclaration, Path, Credentials], Source | Feed]
"""Makes the connector under test."""


class Trial:
    """One stage, and the connector under test over it."""

    def __init__(
        self, making: Making, stage: Stage, folder: Path, entry: Mapping[str, Any]
    ) -> None:
        self.stage = stage
        self._making, self._folder = making, folder
        whole = {**BASE, **stage.entry, **entry}
        if "connector" not in whole:
            more = whole.get("installed", {})
            whole |= {"connector": INSTALLED, "installed": {"name": NAME, **more}}
        self.declaration = parse_source(NAME, whole)

    def open(self) -> "Source | Feed":
        """A new object over the system as it is now."""
        declared = self.declaration
        secrets = Credentials(declared.name, declared.credentials, self._secret(declared))
        return self._making(declared, self._folder, secrets)

    def _secret(self, declared: SourceDeclaration) -> Callable[[Reference], Sensitive]:
        names = {reference: name for name, reference in declared.credentials.items()}

        def fetch(reference: Reference) -> Sensitive:
            secret = self.stage.secrets.get(names[reference])
            if secret is None:
                raise NoCredentialError("credential_not_staged", "Give it in Stage.secrets.")
            return Sensitive(secret)

        return fetch

    def source(self) -> "BoundedSource":
        """The connector under test, which is a source."""
        made = self.open()
        if not isinstance(made, Source):
            raise TypeError("a source was expected")
        return BoundedSource(made)

    def feed(self) -> "Bounded":
        """The connector under test, which is a feed."""
        made = self.open()
        if isinstance(made, Source) or not isinstance(made, Feed):
            raise TypeError("a feed was expected")
        return Bounded(made)

    def rows(self) -> list[Record | Rejection]:
        """All that is read now."""
        made = self.open()
        given = made.read() if isinstance(made, Source) else made.read(None)
        return [one for one in ended(given) if isinstance(one, Record | Rejection)]

    @property
    def canaries(self) -> tuple[str, ...]:
        """What must never show: values of rows, and secrets."""
        values = {text for row in SAMPLE for name, text in row.items() if name != "updated"}
        return (*(one for one in values if len(one) > 7), *self.stage.secrets.values(), "canary-")


_Given = TypeVar("_Given")


def ended(given: Iterator[_Given]) -> Iterator[_Given]:
    """What a reading gives, held to an end. Closing it closes the reading.

    Raises:
        AssertionError: there is no end to it.
    """
    try:
        for count, one in enumerate(given, start=1):
            if count > MOST:
                raise AssertionError("the reading does not end")
            yield one
    finally:
        close = getattr(given, "close", None)
        if close is not None:
            close()


class Bounded:
    """A feed that is held to an end of its reading."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def name(self) -> str:
        """Its name."""
        return self._feed.name

    def check(self) -> list[Finding]:
        """What it finds."""
        return self._feed.check()

    def count(self, state: State | None) -> int | None:
        """What it counts."""
        return self._feed.count(state)

    def read(self, state: State | None) -> Iterator[Delivery]:
        """What it gives, and an end to it."""
        return ended(self._feed.read(state))

    def __repr__(self) -> str:
        return repr(self._feed)


class BoundedSource:
    """A source that is held to an end of its reading."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """Its name."""
        return self._source.name

    def fingerprint(self) -> str:
        """Its fingerprint."""
        return self._source.fingerprint()

    def count(self) -> int | None:
        """What it counts."""
        return self._source.count()

    def check(self) -> list[Finding]:
        """What it finds."""
        return self._source.check()

    def read(self, after: int = 0) -> Iterator[Record | Rejection]:
        """What it gives, and an end to it."""
        return ended(self._source.read(after))

    def __repr__(self) -> str:
        return repr(self._source)


def said(row: Record | Rejection | Deleted | Mark) -> tuple[object, ...]:
    """What a result says without its position, so that two readings can be compared."""
    if isinstance(row, Record | Rejection):
        source, _, *rest = contents(row)
        return (source, *rest)
    return ("deleted", opened(row.record_id)) if isinstance(row, Deleted) else ("mark",)


def records_of(rows: Sequence[object]) -> dict[str, Record]:
    """The records among some results, by id; the last of each."""
    return {opened(row.record_id): row for row in rows if isinstance(row, Record)}
