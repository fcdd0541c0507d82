"""Columns of numbers as COPY takes them in binary: a column at a time, not a value at a time.

The layout is that of ``cdp/storage/copy_format.py``, which writes rows of anything. Where a row
has the same length as every other, numpy lays out all of them at once.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cdp.storage.copy_format import END, SIGNATURE

Numbers = npt.NDArray[np.generic]
Column = Numbers | str  # shape (rows,), or (rows, elements) for arrays; a text is that of every row
Ints = npt.NDArray[np.int64]

AT_ONCE = 200_000  # rows that are laid out together
# What a value looks like at the server, and the OID of its type (pg_type.dat) inside an array.
_FORMS = {
    "int64": (">i8", 20),
    "int32": (">i4", 23),
    "int16": (">i2", 21),
    "float64": (">f8", 701),
    "bool": (">i1", 16),
}
_ARRAY = struct.Struct(">iiiiii")  # length, dimensions, nulls, element type, elements, first


def parts(columns: Sequence[Column], rows: int) -> Iterator[bytes]:
    """Lay out ``rows`` rows, as much as one COPY takes at a time."""
    for start in range(0, rows, AT_ONCE):
        some = [one if isinstance(one, str) else one[start : start + AT_ONCE] for one in columns]
        yield SIGNATURE + _laid_out(some, min(AT_ONCE, rows - start)) + END


def _laid_out(columns: Sequence[Column], rows: int) -> bytes:
    fields: list[tuple[str, object]] = [("count", ">i2")]
    values: dict[str, object] = {"count": len(columns)}
    for place, column in enumerate(columns):
        head, body = f"head_{place}", f"body_{place}"
        if isinstance(column, str):
            text = column.encode()
            constant = struct.pack(">i", len(text)) + text
            fields += [(head, f"V{len(constant)}")]
            values[head] = np.void(constant)
        elif column.ndim == 1:
            form = np.dtype(_form(column)[0])
            fields += [(head, ">i4"), (body, form)]
            values |= {head: form.itemsize, body: column}
        else:
            form, oid = np.dtype(_form(column)[0]), _form(column)[1]
            elements = column.shape[1]
            fields += [(head, f"V{_ARRAY.size}")]
            fields += [(body, np.dtype([("length", ">i4"), ("value", form)]), (elements,))]  # type: ignore[list-item]
            values[head] = np.void(_array_head(oid, elements, form.itemsize))
            values[body] = column
    laid = np.zeros(rows, np.dtype(fields))
    for name, value in values.items():
        if laid[name].ndim == 1:
            laid[name] = value
        else:
            laid[name]["length"] = laid.dtype[name].base["value"].itemsize
            laid[name]["value"] = value
    return laid.tobytes()


def lists(keys: Ints, starts: Ints, columns: Sequence[Numbers]) -> Iterator[bytes]:
    """Lay out rows of a number and arrays of any length.

    Args:
        keys: the number of each row. Shape (rows,).
        starts: where the elements of each row begin, and the last end. Shape (rows + 1,).
        columns: the elements of each array, one row's after another's.
    """
    written = [_elements(column) for column in columns]
    for first in range(0, len(keys), AT_ONCE):
        last = min(first + AT_ONCE, len(keys))
        bounds = starts[first : last + 1].tolist()
        rows = [SIGNATURE]
        for place, key in enumerate(keys[first:last].tolist()):
            start, end = bounds[place], bounds[place + 1]
            rows.append(struct.pack(">hiq", 1 + len(columns), 8, key))
            for oid, size, content in written:
                width = 4 + size
                rows.append(_array_head(oid, end - start, size))
                rows.append(content[width * start : width * end])
        rows.append(END)
        yield b"".join(rows)


def _elements(column: Numbers) -> tuple[int, int, bytes]:
    """OID and size of the elements, and each of them behind its length."""
    form, oid = _form(column)
    laid = np.zeros(len(column), np.dtype([("length", ">i4"), ("value", form)]))
    size = laid.dtype["value"].itemsize
    laid["length"], laid["value"] = size, column
    return oid, size, laid.tobytes()


def _array_head(oid: int, elements: int, size: int) -> bytes:
    return _ARRAY.pack(_ARRAY.size - 4 + elements * (4 + size), 1, 0, oid, elements, 1)


def _form(column: Numbers) -> tuple[str, int]:
    return _FORMS[column.dtype.name]
