"""Rows as COPY takes them: its binary format where every column has one here, else its text.

Binary is the cheaper one for both sides: sealed bytes go as they are, not as twice as many
hexadecimal digits (PostgreSQL manual, COPY, "Binary Format" and "Text Format"; what a value
looks like is what the ``recv`` function of its type reads).
"""

import datetime as dt
import io
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

Columns = tuple[sa.Column[Any], ...]
_Encoder = Callable[[Any], bytes]

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
BINARY = "(FORMAT binary)"
_SOME = 500  # rows whose values are held apart before they are joined
_LENGTH = struct.Struct(">i")
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


Written = tuple[int, io.BytesIO, str]  # how many rows, the rows, and the options of COPY


def written(columns: Columns, rows: Iterable[Sequence[Any]]) -> Written:
    """Write ``rows``, each with a value for every one of ``columns``."""
    encoders = _encoders(columns)
    return _as_text(rows) if encoders is None else _as_binary(encoders, rows)


# ── binary ──────────────────────────────────────────────────────────────────


def _as_binary(encoders: tuple[_Encoder, ...], rows: Iterable[Sequence[Any]]) -> Written:
    start = struct.pack(">h", len(encoders))
    content, count, coming = io.BytesIO(), 0, iter(rows)
    content.write(SIGNATURE)
    while some := list(islice(coming, _SOME)):
        parts = []
        for row in some:
            parts.append(start)
            parts += [
                _NULL if value is None else encode(value)
                for encode, value in zip(encoders, row, strict=True)
            ]
        content.write(b"".join(parts))
        count += len(some)
    content.write(END)
    content.seek(0)
    return count, content, BINARY


@cache
def _encoders(columns: Columns) -> tuple[_Encoder, ...] | None:
    """How a value of each column is written; None if one has a type without a way here."""
    found = [_encoder(column.type) for column in columns]
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(found) else None


def _encoder(kind: sa.types.TypeEngine[Any]) -> _Encoder | None:
    if isinstance(kind, ARRAY):
        return _array_encoder(kind.item_type)
    return next((encode for known, encode in _SCALARS if isinstance(kind, known)), None)


def _fixed(form: str) -> _Encoder:
    shape = struct.Struct(f">i{form}")
    return partial(shape.pack, shape.size - _LENGTH.size)


def _bytes(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


_WRITTEN: dict[str, bytes] = {}  # texts that stand in many rows: names of sources, fields, tiers
_MOST_WRITTEN = 1024


def _str(value: str) -> bytes:
    found = _WRITTEN.get(value)
    if found is None:
        text = value.encode()
        found = _LENGTH.pack(len(text)) + text
        if len(_WRITTEN) < _MOST_WRITTEN:
            _WRITTEN[value] = found
    return found


def _document(value: str) -> bytes:
    text = value.encode()
    return _LENGTH.pack(len(text) + 1) + b"\x01" + text  # version 1 of the type's binary form


@lru_cache(maxsize=64)  # rows that are stored together share their times
def _time(value: dt.datetime | str) -> bytes:
    """Microseconds since 2000."""
    time = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return struct.pack(">iq", 8, (time - _EPOCH) // _MICROSECOND)


# The first that a type is an instance of: BigInteger is an Integer too.
_SCALARS: tuple[tuple[type[sa.types.TypeEngine[Any]], _Encoder], ...] = (
    (sa.BigInteger, _fixed("q")),
    (sa.SmallInteger, _fixed("h")),
    (sa.Integer, _fixed("i")),
    (sa.Boolean, _fixed("?")),
    (sa.Text, _str),
    (BYTEA, _bytes),
    (JSONB, _document),
    (sa.DateTime, _time),
)
# Element types of arrays with their OIDs (pg_type.dat), which the format repeats.
_OIDS: tuple[tuple[type[sa.types.TypeEngine[Any]], int], ...] = (
    (sa.BigInteger, 20),
    (sa.SmallInteger, 21),
    (sa.Integer, 23),
    (sa.Text, 25),
    (BYTEA, 17),
)
_ARRAY = struct.Struct(">iiiiii")  # length, dimensions, nulls, element type, elements, first


def _array_encoder(element: sa.types.TypeEngine[Any]) -> _Encoder | None:
    encode = _encoder(element)
    oid = next((oid for known, oid in _OIDS if isinstance(element, known)), None)
    if encode is None or oid is None:
        return None
    empty = struct.pack(">iiii", 12, 0, 0, oid)
    head, known = _ARRAY.size - _LENGTH.size, encode

    def write(values: Sequence[Any]) -> bytes:
        if not values:
            return empty
        content = b"".join(
            [_LENGTH.pack(len(value)) + value for value in values]  # what `_bytes` writes
            if known is _bytes
            else [known(value) for value in values]
        )
        return _ARRAY.pack(head + len(content), 1, 0, oid, len(values), 1) + content

    if known is not _str:
        return write
    remembered = lru_cache(maxsize=_MOST_WRITTEN)(write)  # the fields of a row, purposes
    return lambda values: remembered(tuple(values))


# ── text ────────────────────────────────────────────────────────────────────


def _as_text(rows: Iterable[Sequence[Any]]) -> Written:
    content, count = io.BytesIO(), 0
    for row in rows:
        content.write(("\t".join(map(_text, row)) + "\n").encode())
        count += 1
    content.seek(0)
    return count, content, ""


_SPECIAL = re.compile(r'[\\\\\t\n\r"]')
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_QUOTES = str.maketrans({"\\": "\\\\", '"': '\\"'})


def _text(value: Any) -> str:
    """One value in COPY's text format (PostgreSQL manual, COPY, "Text Format")."""
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, str):
        return value.translate(_ESCAPES) if _SPECIAL.search(value) else value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list | tuple):
        return "{" + ",".join(map(_element, value)) + "}"
    return str(value)


def _element(value: Any) -> str:
    """One element of an array literal, with COPY's own escapes over those of the literal."""
    if isinstance(value, bytes):
        return '"\\\\\\\\x' + value.hex() + '"'
    if isinstance(value, str):
        if not _SPECIAL.search(value):
            return '"' + value + '"'
        return '"' + value.translate(_QUOTES).translate(_ESCAPES) + '"'
    return str(value)
