"""Opens Parquet files and turns columns into cells: the one module here that imports pyarrow.

Cells are those of a spreadsheet: dates in ISO 8601, numbers in digits without exponent, booleans
as words. A list gives several values. A path inside a structure is its names, joined by dots;
through a list or a map (``key``, ``value``) it reaches every item.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, BinaryIO, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.attributes import canonical_decimal
from connectors.cells import BadCell, Cell
from connectors.record import RAW_LIMIT, Sensitive
from connectors.sources.cell_text import duration_text
from connectors.sources.parquet_pages import MAX_COLUMNS, BrokenPagesError, Footer, pages

MAX_LIST: Final = 100_000  # entries of one list in the metadata, such as of row groups
MAX_PAGE: Final = 256 * 1024**2  # bytes, unpacked; writers make about one megabyte
MAX_IN_LISTS: Final = 1_000_000  # values of one column of lists in a row group, and 200 a row
BATCH_BYTES: Final = 256 * 1024**2
BATCH_ROWS: Final = 2048
_BUFFER: Final = 1024**2
# The digits that a binary fraction keeps: of longer numbers the end is lost.
_EXACT: Final = {16: 2**11, 32: 2**24, 64: 10**15}
_PARTS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 24 * 60 * 60

_PLAIN_STEP: Final = "Map a path inside it, such as name.inner, or give a list of plain values."


class RefusedError(Exception):
    """The file is not read. Carries the rule and the next step, never a value."""

    def __init__(self, rule: str, next_step: str) -> None:
        super().__init__(rule, next_step)
        self.rule = rule
        self.next_step = next_step


# RuntimeError and NotImplementedError are among what the engine raises of types it does not know.
_ENGINE: Final = (
    BrokenPagesError,
    pa.ArrowException,
    OSError,
    ValueError,
    MemoryError,
    RuntimeError,
    KeyError,
)
TOO_MANY: Final = ("too_many_columns", f"Export at most {MAX_COLUMNS} columns.")
DAMAGED: Final = ("file_damaged", "Export or copy the file again: it cannot be read whole.")


class ParquetTable:
    """One Parquet file, opened. Holds at most a batch of rows and the pages they stand in."""

    def __init__(self, file: BinaryIO, described: Footer) -> None:
        """Read the schema.

        Raises:
            RefusedError: it is none, or describes more than is read.
        """
        self._file = file
        self._groups = described.groups
        self.rows = described.rows
        if any(len(group.chunks) > MAX_COLUMNS for group in described.groups):
            raise RefusedError(*TOO_MANY)
        try:
            self._parquet = _parquet(file)
            columns = range(self._parquet.metadata.num_columns)
            self._described = [self._parquet.schema.column(index) for index in columns]
            self._parquet = _parquet(file, _texts_in_lists(self._described))
            self._schema = self._parquet.schema_arrow
        except _ENGINE:  # from None: their messages may quote values
            raise RefusedError(*DAMAGED) from None
        if any(len(group.chunks) != len(columns) for group in described.groups):
            raise RefusedError(*DAMAGED)

    def columns(self) -> list[str]:
        """Everything that can be mapped: columns, and the paths inside structures."""
        return [path for field in self._schema for path in _paths(field.name, field.type)]

    def read(self, columns: Sequence[str], after: int) -> Iterator[tuple[int, list[list[Cell]]]]:
        """Give batches behind row ``after``: the number of their first row, and cells by column.

        Raises:
            RefusedError: the file is damaged, or a page would unpack to more than is read.
        """
        row = 0
        for index, group in enumerate(self._groups):
            if row + group.rows > after:
                yield from self._group(index, row, max(after - row, 0), columns)
            row += group.rows

    def _group(
        self, group: int, row: int, passed: int, columns: Sequence[str]
    ) -> Iterator[tuple[int, list[list[Cell]]]]:
        tops = [_top(self._schema.names, column) for column in columns]
        for batch in self._batches(group, tops):
            part = batch.slice(min(passed, batch.num_rows))
            passed -= batch.num_rows - part.num_rows
            row += batch.num_rows
            if part.num_rows:
                found = [
                    _cells(part.column(top), _keys(top, column))
                    for top, column in zip(tops, columns, strict=True)
                ]
                yield row - part.num_rows + 1, found

    def _batches(self, group: int, tops: Sequence[str]) -> Iterator[Any]:
        try:
            yield from self._parquet.iter_batches(
                batch_size=self._batch_rows(group, tops),
                row_groups=[group],
                columns=list(dict.fromkeys(tops)),
                use_threads=False,
            )
        except _ENGINE:
            raise RefusedError(*DAMAGED) from None

    def _batch_rows(self, group: int, tops: Sequence[str]) -> int:
        """How many rows may be unpacked at once, so that they fit in ``BATCH_BYTES``."""
        repeated = 1
        described = self._groups[group]
        for column, (start, length) in zip(self._described, described.chunks, strict=True):
            if any(column.path == top or column.path.startswith(f"{top}.") for top in tops):
                many = column.max_repetition_level > 0
                values, largest = self._walked(start, length)
                if many and values > 200 * described.rows + MAX_IN_LISTS:
                    raise RefusedError("list_too_long", "Export shorter lists.")
                # texts in lists stay dictionaries, so what repeats in them is there once
                repeated += 0 if many else largest
        return max(1, min(BATCH_ROWS, BATCH_BYTES // repeated))

    def _walked(self, start: int, length: int) -> tuple[int, int]:
        """Values of a column chunk, and the bytes that may stand for many of them."""
        values = largest = 0
        for page in pages(self._file, start, length):
            if page.unpacked > MAX_PAGE:
                step = f"Write pages of at most {MAX_PAGE // 1024**2} MB, as writers do unasked."
                raise RefusedError("page_too_large", step)
            values += page.values
            largest = max(largest, page.unpacked if page.repeats else 0)
        return values, largest


def _parquet(file: BinaryIO, dictionaries: Sequence[str] = ()) -> Any:
    return pq.ParquetFile(
        file,
        read_dictionary=list(dictionaries),
        pre_buffer=False,
        buffer_size=_BUFFER,
        page_checksum_verification=True,
        thrift_container_size_limit=MAX_LIST,
    )


def _texts_in_lists(columns: Sequence[Any]) -> list[str]:
    return [
        column.path
        for column in columns
        if column.max_repetition_level > 0 and column.physical_type == "BYTE_ARRAY"
    ]


def _top(names: Sequence[str], column: str) -> str:
    return column if column in names else column.partition(".")[0]


def _keys(top: str, column: str) -> list[str]:
    return [] if top == column else column.removeprefix(f"{top}.").split(".")


def _paths(path: str, kind: Any) -> Iterator[str]:
    yield path
    inner = _unlisted(kind)
    if pa.types.is_struct(inner):
        for field in inner:
            yield from _paths(f"{path}.{field.name}", field.type)


def _unlisted(kind: Any) -> Any:
    while _is_list(kind) or pa.types.is_map(kind):
        kind = kind.value_type if _is_list(kind) else _map_items(kind)
    return kind


def _map_items(kind: Any) -> Any:
    return pa.struct([("key", kind.key_type), ("value", kind.item_type)])


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _cells(column: Any, keys: Sequence[str]) -> list[Cell]:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        return _cells(column.storage, keys)
    if pa.types.is_map(kind):
        return _cells(column.cast(pa.list_(_map_items(kind))), keys)
    if _is_list(kind):
        return _gathered(_cells(column.flatten(), keys), pc.list_value_length(column).to_pylist())
    if pa.types.is_struct(kind) and keys:
        inside = kind.get_field_index(keys[0])
        return _cells(pc.struct_field(column, [inside]), keys[1:])
    if pa.types.is_dictionary(kind):
        entries = _plain(column.dictionary)
        return [None if at is None else entries[at] for at in column.indices.to_pylist()]
    return _plain(column)


def _gathered(items: list[Cell], lengths: list[int | None]) -> list[Cell]:
    """The items of each list as one cell; one that cannot be read makes it so."""
    found: list[Cell] = []
    at = 0
    for length in lengths:
        own = items[at : at + (length or 0)]
        at += length or 0
        bad = next((cell for cell in own if isinstance(cell, BadCell)), None)
        texts = tuple(
            text
            for cell in own
            if isinstance(cell, str | tuple)
            for text in ((cell,) if isinstance(cell, str) else cell)
        )
        found.append(bad or texts or None)
    return found


def _plain(column: Any) -> list[Cell]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        zone = _zone(kind.tz) if kind.tz else None
        return _counted(column, pa.int64(), lambda n: _moment(n, _PARTS[kind.unit], zone))
    if pa.types.is_time(kind):
        width = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return _counted(column, width, lambda n: _time(n, _PARTS[kind.unit]))
    if pa.types.is_duration(kind):
        return _counted(column, pa.int64(), lambda n: duration_text(n / _PARTS[kind.unit]))
    if pa.types.is_floating(kind):
        return _fractions(column)
    return _each(column, _not_plain if pa.types.is_struct(kind) else _text)


def _counted(column: Any, width: Any, text: Callable[[int], Cell]) -> list[Cell]:
    return [None if n is None else text(n) for n in column.cast(width).to_pylist()]


def _each(column: Any, text: Callable[[Any], Cell]) -> list[Cell]:
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # one text is no UTF-8, or one date beyond the calendar
        return [_alone(item, text) for item in column]
    return [None if value is None else text(value) for value in values]


def _alone(item: Any, text: Callable[[Any], Cell]) -> Cell:
    try:
        value = item.as_py()
    except UnicodeDecodeError as error:
        return _bytes(bytes(error.object))
    except (ValueError, OverflowError):
        step = "Write a date between the years 1 and 9999."
        return BadCell("out_of_range", step, Sensitive(""), rejects_row=False)
    return None if value is None else text(value)


def _text(value: Any) -> Cell:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, Decimal):
        return canonical_decimal(value)
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _bytes(value: bytes) -> Cell:
    try:
        return value.decode() or None
    except UnicodeDecodeError:
        raw = value.decode(errors="replace")[:RAW_LIMIT]
        return BadCell("not_text", "Write text in UTF-8.", Sensitive(raw), rejects_row=False)


def _not_plain(value: Any) -> Cell:
    raw = json.dumps(value, ensure_ascii=True, default=str)[:RAW_LIMIT]
    return BadCell("not_plain", _PLAIN_STEP, Sensitive(raw), rejects_row=False)


def _fractions(column: Any) -> list[Cell]:
    width = column.type.bit_width
    limit = _EXACT[width]
    if width == 16:
        column = column.cast(pa.float32())
    if width < 64:  # the shortest digits of the narrow number, not those of a wide one
        return [
            None if one is None else _fraction(float(one), one, limit)
            for one in column.cast(pa.string()).to_pylist()
        ]
    return [None if one is None else _fraction(one, repr(one), limit) for one in column.to_pylist()]


def _fraction(value: float, written: str, limit: int) -> Cell:
    if not math.isfinite(value):
        step = "Write nothing where there is no number."
        return BadCell("not_a_number", step, Sensitive(written), rejects_row=False)
    if abs(value) >= limit:
        step = "Export the column as text or as a whole number: its last digits are lost."
        return BadCell("digits_lost", step, Sensitive(f"{value:.0f}"), rejects_row=False)
    return canonical_decimal(Decimal(written))


def _zone(name: str) -> tzinfo:
    if name[:1] in "+-":
        hours, _, minutes = name[1:].partition(":")
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-offset if name[0] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        raise RefusedError("unknown_time_zone", "Export times in UTC.") from None


def _moment(count: int, parts: int, zone: tzinfo | None) -> Cell:
    """A day where nothing is said of its time, as in a spreadsheet; else ISO 8601."""
    seconds, part = divmod(count, parts)
    try:
        moment = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone or UTC)
    except OverflowError:
        step = "Write a date between the years 1 and 9999."
        return BadCell("out_of_range", step, Sensitive(str(count)), rejects_row=False)
    if not part and moment.time() == time.min:
        return moment.date().isoformat()
    written = moment.isoformat(timespec="seconds")
    whole = len("2026-05-04T09:30:00")
    return written[:whole] + _fraction_of(part, parts) + (written[whole:] if zone else "")


def _time(count: int, parts: int) -> Cell:
    seconds, part = divmod(count, parts)
    if not 0 <= seconds < _DAY:
        step = "Write a time of day."
        return BadCell("out_of_range", step, Sensitive(str(count)), rejects_row=False)
    return duration_text(seconds) + _fraction_of(part, parts)


def _fraction_of(part: int, parts: int) -> str:
    return f".{part:0{len(str(parts)) - 1}d}".rstrip("0") if part else ""
