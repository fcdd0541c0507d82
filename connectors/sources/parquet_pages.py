"""Where the pages of a Parquet file are and what they unpack to, before anything is unpacked.

A page says how much it unpacks to, and the engine believes it: a few bytes can ask for gigabytes.
Asked for a column that is encrypted, it ends the process. So the metadata and the headers of the
pages are walked first. The form is Apache Parquet's (``parquet.thrift``: ``FileMetaData``,
``PageHeader``) in Thrift's compact protocol. Pure but for the file it is given.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_HEADER: Final = 1024 * 1024  # bytes; statistics may stand in it
_FIRST_READ: Final = 4 * 1024
_MAX_DEPTH: Final = 8
TAIL: Final = 8  # bytes: length of the metadata, then the mark
MAX_COLUMNS: Final = 16_384  # as a spreadsheet may have
_MAX_SCHEMA: Final = 4 * MAX_COLUMNS  # a list or a structure has entries of its own
MARK: Final = b"PAR1"
ENCRYPTED_MARK: Final = b"PARE"

# Thrift compact protocol: types of a field.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS: Final = (4, 5, 6)

# parquet.thrift: fields of PageHeader and of the headers inside it.
_UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_2 = 2, 3, 5, 7, 8
_VALUES: Final = 1
_ENCODING: Final = {_DATA: 2, _DATA_2: 4}
_DELTA_BYTE_ARRAY: Final = 7  # a value may repeat all of the one before


# FileMetaData, and what stands in it.
_SCHEMA, _ROWS, _GROUPS, _ENCRYPTION = 2, 3, 4, 8
_CHUNKS, _GROUP_ROWS = 1, 3
_FILE_PATH, _META, _CRYPTO, _ENCRYPTED_META = 1, 3, 8, 9
_LENGTH, _DATA_START, _DICTIONARY_START = 7, 9, 11


class BrokenPagesError(ValueError):
    """The headers do not fit together."""


class TooManyColumnsError(BrokenPagesError):
    """The schema has more columns than are read."""


class _ShortError(Exception):
    """More bytes are needed."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one page says of itself."""

    unpacked: int  # bytes
    values: int  # also those that are nothing
    repeats: bool  # one entry may stand for many values: a dictionary, or deltas of text


@dataclass(frozen=True, slots=True)
class Group:
    """One row group: its rows, and where the chunk of each column begins and how long it is."""

    rows: int
    chunks: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Footer:
    """What the metadata says."""

    rows: int
    groups: list[Group]
    encrypted: bool


def footer(data: bytes) -> Footer:
    """Read the metadata at the end of a file.

    Raises:
        BrokenPagesError: it cannot be read, or does not fit together.
    """
    compact = _Compact(data)
    found: dict[int, object] = {}
    groups: list[tuple[Group, bool]] = []
    try:
        for field, kind in compact.heads():
            if field == _SCHEMA and kind == _LIST:
                _pass_schema(compact)
            elif field == _GROUPS and kind == _LIST:
                groups = [_group(compact) for _ in range(compact.count_of_structures())]
            else:
                found[field] = compact.value(kind)
    except _ShortError:
        raise BrokenPagesError("the metadata has no end") from None
    encrypted = _ENCRYPTION in found or any(hidden for _, hidden in groups)
    rows = sum(group.rows for group, _ in groups)
    if not encrypted and found.get(_ROWS) != rows:
        raise BrokenPagesError("the row groups have other rows than the file")
    return Footer(rows, [group for group, _ in groups], encrypted)


def _pass_schema(compact: "_Compact") -> None:
    count = compact.count_of_structures()
    if count > _MAX_SCHEMA:
        raise TooManyColumnsError("the schema has too many columns")
    for _ in range(count):
        compact.fields()


def _group(compact: "_Compact") -> tuple[Group, bool]:
    chunks: list[tuple[int, int]] = []
    rows, encrypted = 0, False
    for field, kind in compact.heads():
        if field == _CHUNKS and kind == _LIST:
            for _ in range(compact.count_of_structures()):
                found = compact.fields()
                encrypted = encrypted or _CRYPTO in found or _ENCRYPTED_META in found
                chunks.append((0, 0) if encrypted else _chunk(found))
        else:
            value = compact.value(kind)
            rows = value if field == _GROUP_ROWS and isinstance(value, int) else rows
    if rows < 0:
        raise BrokenPagesError("a row group has fewer rows than none")
    return Group(rows, chunks), encrypted


def _chunk(found: dict[int, object]) -> tuple[int, int]:
    meta = found.get(_META)
    if not isinstance(meta, dict) or _FILE_PATH in found:
        raise BrokenPagesError("a column has no pages in this file")
    start = _size(meta, _DATA_START)
    dictionary = meta.get(_DICTIONARY_START)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    return start, _size(meta, _LENGTH)


def footer_length(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """Return the length of the metadata and the mark at the end of a file of ``size`` bytes."""
    file.seek(max(size - TAIL, 0))
    end = file.read(TAIL)
    if len(end) < TAIL:
        return 0, b""
    return int(struct.unpack("<I", end[:4])[0]), end[4:]


def pages(file: BinaryIO, start: int, length: int) -> Iterator[Page]:
    """Give the pages of one column chunk, from ``start``, ``length`` bytes.

    Raises:
        BrokenPagesError: a header cannot be read, or a page ends behind its chunk.
    """
    end = start + length
    while start < end:
        head, taken = _header(file, start, min(end - start, MAX_HEADER))
        unpacked, packed = _size(head, _UNPACKED), _size(head, _PACKED)
        start += taken + packed
        if start > end:
            raise BrokenPagesError("a page ends behind its chunk")
        yield _page(head, unpacked)


def _page(head: dict[int, object], unpacked: int) -> Page:
    for kind in (_DATA, _DATA_2, _DICTIONARY):
        inner = head.get(kind)
        if isinstance(inner, dict):
            delta = kind in _ENCODING and inner.get(_ENCODING[kind]) == _DELTA_BYTE_ARRAY
            return Page(unpacked, _size(inner, _VALUES), delta or kind == _DICTIONARY)
    return Page(unpacked, 0, repeats=False)  # an index, which is passed over


def _size(head: dict[int, object], field: int) -> int:
    found = head.get(field)
    if not isinstance(found, int) or found < 0:
        raise BrokenPagesError("a page lacks its size")
    return found


def _header(file: BinaryIO, start: int, limit: int) -> tuple[dict[int, object], int]:
    wanted = min(_FIRST_READ, limit)
    while True:
        file.seek(start)
        compact = _Compact(file.read(wanted))
        try:
            return compact.fields(), compact.at
        except _ShortError:
            if wanted >= limit:
                raise BrokenPagesError("the header of a page has no end") from None
            wanted = min(wanted * 16, limit)


class _Compact:
    """Reads whole numbers and structures, and passes over everything else."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def heads(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a structure; the value must be taken in between."""
        last = 0
        while head := self._byte():
            last = last + (head >> 4) if head >> 4 else self._integer()
            yield last, head & 0x0F

    def fields(self, depth: int = 0) -> dict[int, object]:
        """A structure, with the whole numbers and structures in it."""
        if depth > _MAX_DEPTH:
            raise BrokenPagesError("it is nested too deep")
        return {field: self.value(kind, depth) for field, kind in self.heads()}

    def count_of_structures(self) -> int:
        """How many structures the list has that begins here."""
        count, kind = self._list_head()
        if count and kind != _STRUCT:
            raise BrokenPagesError("a list has items of another type")
        return count

    def value(self, kind: int, depth: int = 0) -> object:
        """The value of a type; None for what is passed over."""
        if kind in _INTEGERS:
            return self._integer()
        if kind in {_TRUE, _FALSE}:
            return kind == _TRUE
        if kind == _STRUCT:
            return self.fields(depth + 1)
        self._pass_over(kind, depth)
        return None

    def _pass_over(self, kind: int, depth: int) -> None:
        if kind == _BINARY:
            self._skip(self._varint())
        elif kind in {_BYTE, _DOUBLE}:
            self._skip(1 if kind == _BYTE else 8)
        elif kind in {_LIST, _SET}:
            count, inner = self._list_head()
            self._items(count, (inner,), depth)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            self._items(count, (kinds >> 4, kinds & 0x0F), depth)
        else:
            raise BrokenPagesError("a field has an unknown type")

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        return self._varint() if head >> 4 == 0x0F else head >> 4, head & 0x0F

    def _items(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise BrokenPagesError("it is nested too deep")
        for _ in range(count):  # each takes a byte at least, so the data ends it
            for kind in kinds:
                if kind in {_TRUE, _FALSE}:
                    self._skip(1)
                else:
                    self.value(kind, depth + 1)

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise _ShortError
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise _ShortError

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise BrokenPagesError("a number has no end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)  # zigzag
