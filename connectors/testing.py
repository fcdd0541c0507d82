"""What every source must keep, as functions a test suite can call; and an in-memory source.

Each law takes a ``SourceCase`` and raises ``AssertionError`` with one sentence when it is broken.
Run them all with ``for law in LAWS: law(case)``, or give ``LAWS`` to a parametrised test.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.base import Finding, Level, Message, Source
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.errors import ConnectorError, Stop
from connectors.mapping import RowMapper
from connectors.record import FieldValue, Record, Rejection, Sensitive

_REASON: Final = "compare rows in a conformance test"


@dataclass(frozen=True)
class SourceCase:
    """A source with at least two results and one rejection, and ways to open it."""

    open: Callable[[], Source]  # a new object over the same bytes
    open_changed: Callable[[], Source]  # over other bytes
    open_broken: Callable[[], Source]  # over something that must raise Stop when read
    canaries: Sequence[str]  # values in the rows that must never show


def contents(row: Record | Rejection) -> tuple[object, ...]:
    """Everything in a result, opened, so that two can be compared."""
    if isinstance(row, Rejection):
        return (row.source, row.position, row.field, row.rule, row.next_step, opened(row.raw))
    fields = {name: [_value(value) for value in values] for name, values in row.fields.items()}
    problems = [(p.field, p.rule, p.next_step, opened(p.raw)) for p in row.problems]
    return (
        row.source,
        row.position,
        opened(row.record_id),
        fields,
        dict(row.attributes),
        row.store,
        row.opted_out,
        problems,
    )


def check_finds_no_error(case: SourceCase) -> None:
    """A readable source has no ERROR finding, and its checked name is the declared one."""
    source = case.open()
    errors = [finding for finding in source.check() if finding.level is Level.ERROR]
    require(not errors, f"check reports {[finding.rule for finding in errors]}")
    require(bool(source.name), "a source has a name")


def positions_increase(case: SourceCase) -> None:
    """Positions begin at 1 or later and only grow; each result names its source."""
    source, last = case.open(), 0
    for row in source.read():
        require(row.position > last, f"position {row.position} follows {last}")
        require(row.source == source.name, "a result names another source")
        last = row.position


def reading_again_gives_the_same(case: SourceCase) -> None:
    """The same bytes give the same results, from one object or from two."""
    source = case.open()
    first, second, other = _all(source), _all(source), _all(case.open())
    require(first == second == other, "two readings differ")


def resuming_gives_the_same_tail(case: SourceCase) -> None:
    """Reading after any position gives exactly the results behind it."""
    whole = _all(case.open())
    last = max(_position(row) for row in whole)
    for after in range(last + 2):
        tail = [row for row in whole if _position(row) > after]
        require(_all(case.open(), after) == tail, f"the tail after {after} differs")


def fingerprint_follows_the_content(case: SourceCase) -> None:
    """Same content, same fingerprint; other content, another one."""
    same = {case.open().fingerprint(), case.open().fingerprint()}
    require(len(same) == 1, "the same content has two fingerprints")
    require(case.open_changed().fingerprint() not in same, "other content has the same one")
    require(all(len(one) == 64 for one in same), "a fingerprint has 64 hex digits")


def nothing_shows_a_value(case: SourceCase) -> None:
    """No repr, finding or error shows a value of the rows."""
    source = case.open()
    shown = [repr(source), str(source.check())]
    for row in source.read():
        shown += [repr(row), str(row)]
        if isinstance(row, Rejection):
            shown.append(row.next_step)
        else:
            shown += [str(row.problems), *(problem.next_step for problem in row.problems)]
    broken = case.open_broken()
    shown.append(str(broken.check()))
    shown += texts_of_stop(broken.read)
    for text in shown:
        require(not any(canary in text for canary in case.canaries), "a value shows")


def a_broken_source_stops(case: SourceCase) -> None:
    """What cannot be read is an ERROR of check and a Stop of read, with a next step."""
    source = case.open_broken()
    errors = [finding for finding in source.check() if finding.level is Level.ERROR]
    require(bool(errors) and all(finding.next_step for finding in errors), "check finds nothing")
    require(bool(texts_of_stop(source.read)), "read does not stop")


def rejected_rows_are_reported(case: SourceCase) -> None:
    """A bad row gives one rejection of the whole row, with rule, next step and the row itself."""
    rejections = [row for row in case.open().read() if isinstance(row, Rejection)]
    require(bool(rejections), "the case has no bad row")
    for row in rejections:
        require(row.field is None, "a source rejects whole rows only")
        require(bool(row.rule and row.next_step), "a rejection lacks rule or next step")


def count_is_plausible(case: SourceCase) -> None:
    """The estimate is None or within a factor of two of the last position."""
    source = case.open()
    estimate, last = source.count(), max(row.position for row in source.read())
    require(estimate is None or last <= 2 * estimate <= 4 * last, f"{estimate} for {last} rows")


LAWS: Final[tuple[Callable[[SourceCase], None], ...]] = (
    check_finds_no_error,
    positions_increase,
    reading_again_gives_the_same,
    resuming_gives_the_same_tail,
    fingerprint_follows_the_content,
    nothing_shows_a_value,
    a_broken_source_stops,
    rejected_rows_are_reported,
    count_is_plausible,
)


class MemorySource:
    """Rows held in memory, for whoever needs a source without a file. Keeps every law."""

    def __init__(
        self, declaration: SourceDeclaration, rows: Sequence[Mapping[str, str | None]]
    ) -> None:
        self._declaration = declaration
        self._rows = [dict(row) for row in rows]
        self._mapper = RowMapper(declaration)

    @property
    def name(self) -> str:
        """The name the declaration gives the source."""
        return self._declaration.name

    def fingerprint(self) -> str:
        """SHA-256 over the rows."""
        return sha256_hex(repr(sorted(row.items())).encode() + b"\n" for row in self._rows)

    def count(self) -> int | None:
        """How many rows there are."""
        return len(self._rows)

    def check(self) -> list[Finding]:
        """An ERROR when a declared column is in no row."""
        try:
            self._require_columns()
        except Stop as stop:
            return [Finding(Level.ERROR, stop.rule, self.name, stop.next_step)]
        return []

    def read(self, after: int = 0) -> Iterator[Record | Rejection]:
        """Give the rows behind position ``after``."""
        self._require_columns()
        for position, row in enumerate(self._rows[after:], start=after + 1):
            text = "\t".join(cell or "" for cell in row.values())
            yield self._mapper.map(position, row, text.__str__)

    def _require_columns(self) -> None:
        there = {column for row in self._rows for column in row}
        missing = [one for one in self._declaration.columns() if one not in there]
        if self._rows and missing:
            names = ", ".join(map(self._declaration.called, missing))
            raise Stop(self.name, "column_missing", f"Give the rows the columns: {names}.")


class MemoryDestination:
    """Keeps what was delivered, once for each message id; fails on demand like a real receiver."""

    def __init__(self, name: str, failures: Sequence[ConnectorError] = ()) -> None:
        self._name = name
        self._failures = list(failures)
        self.delivered: dict[str, Message] = {}

    @property
    def name(self) -> str:
        """The name of the destination."""
        return self._name

    def deliver(self, message: Message) -> None:
        """Raise the next prepared failure, or keep the message."""
        if self._failures:
            raise self._failures.pop(0)
        self.delivered[message.id] = message

    def close(self) -> None:
        """Nothing is open."""


def _all(source: Source, after: int = 0) -> list[tuple[object, ...]]:
    return [contents(row) for row in source.read(after)]


def _position(row: tuple[object, ...]) -> int:
    position = row[1]
    return position if isinstance(position, int) else 0


def opened(value: Sensitive) -> str:
    """The raw value, to compare it."""
    return value.reveal(reason=_REASON)


def _value(value: FieldValue) -> tuple[str, str | None, tuple[str, ...]]:
    return opened(value.value), value.scope, value.formats


def texts_of_stop(read: Callable[[], Iterable[object]]) -> list[str]:
    """Read to the end; what the ``Stop`` shows that ends it, nothing if none does."""
    try:
        for _ in read():
            pass
    except Stop as stop:
        return [str(stop), repr(stop)]
    return []


def require(holds: bool, sentence: str) -> None:  # noqa: FBT001 - reads as: require this
    """Raise AssertionError with ``sentence`` unless the law holds."""
    if not holds:
        raise AssertionError(sentence)
