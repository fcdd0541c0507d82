"""Values of a database as cells, and as places in a state. Pure.

Types become cells as in the spreadsheet reader: dates in ISO 8601, numbers in digits without
exponent; a whole number keeps all its digits, however many.
"""

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from connectors.attributes import canonical_decimal
from connectors.cells import BadCell, Cell
from connectors.record import RAW_LIMIT, Sensitive

EXACT_FLOATS: Final = 2**53  # above, a double skips whole numbers

_Place = list[str] | None  # kind and text of one value of a state


def cell_of(value: object) -> Cell:
    """The cell of a value as the driver gives it."""
    if value is None or isinstance(value, str):
        return value or None
    for kinds, read in _READERS:
        if isinstance(value, kinds):
            return read(value)
    step = "map a column of text, numbers or times, or cast it in a query."
    return BadCell("type_not_read", step, Sensitive(""), rejects_row=False)


def shown(cell: Cell) -> str:
    """A cell as text, for a rejected row."""
    if isinstance(cell, BadCell):
        return cell.raw.reveal(reason="keep the row for the rejection") or f"#{cell.rule}"
    return " ".join(cell) if isinstance(cell, tuple) else cell or ""


def place_of(value: object) -> _Place:
    """A value of a cursor or a key, as a state keeps it.

    Raises:
        TypeError: values of this type have no place in an order.
    """
    if value is None:
        return None
    for kind, (of, write, _) in _PLACES.items():
        if isinstance(value, of):
            return [kind, write(value)]
    raise TypeError(f"a {type(value).__name__} has no place in an order")


def value_at(place: _Place) -> Any:
    """The value again, as the driver takes it."""
    if place is None:
        return None
    kind, text = place
    return _PLACES[kind][2](text)


def _number(value: Any) -> Cell:
    if not math.isfinite(value):
        step = "Write a number."
        return BadCell("not_a_number", step, Sensitive(str(value)), rejects_row=False)
    if isinstance(value, float) and abs(value) >= EXACT_FLOATS:
        step = "Store the number as text or as an exact one: its last digits are lost."
        return BadCell("digits_lost", step, Sensitive(f"{value:.0f}"), rejects_row=False)
    return canonical_decimal(Decimal(repr(value)) if isinstance(value, float) else value)


def _time(value: dt.datetime) -> str:
    return value.date().isoformat() if value.time() == dt.time.min else value.isoformat()


def _duration(value: dt.timedelta) -> str:
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _several(values: Any) -> Cell:
    cells = [cell_of(value) for value in values]
    bad = next((cell for cell in cells if isinstance(cell, BadCell)), None)
    return bad or tuple(cell for cell in cells if isinstance(cell, str)) or None


def _document(value: Mapping[str, Any]) -> Cell:
    return json.dumps(value, ensure_ascii=False, default=str)


def _bytes(value: Any) -> Cell:
    step = "Map a column of text: this one holds bytes."
    return BadCell("binary", step, Sensitive(bytes(value)[:RAW_LIMIT].hex()), rejects_row=False)


_READERS: Final[tuple[tuple[Any, Callable[[Any], Cell]], ...]] = (
    (bool, lambda value: "true" if value else "false"),
    (int, str),
    (float | Decimal, _number),
    (dt.datetime, _time),
    (dt.date | dt.time, lambda value: value.isoformat()),
    (dt.timedelta, _duration),
    (UUID, str),
    (bytes | bytearray | memoryview, _bytes),
    (Mapping, _document),
    (list | tuple | set | frozenset, _several),
)
# Kind in a state: which values it holds, how they are written and read back. Some types are
# kinds of others (a bool of an int, a datetime of a date), so the order matters.
_PLACES: Final[Mapping[str, tuple[Any, Callable[[Any], str], Callable[[str], Any]]]] = {
    "text": (str, str, str),
    "truth": (bool, str, lambda text: text == "True"),
    "whole": (int, str, int),
    "exact": (Decimal, str, Decimal),
    "real": (float, repr, float),
    "time": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "uuid": (UUID, str, UUID),
    "bytes": (bytes | memoryview, lambda value: bytes(value).hex(), bytes.fromhex),
}
