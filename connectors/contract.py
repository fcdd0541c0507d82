"""What one row alone tells of its source's contract. Pure.

Invariants, each named by a test in ``tests/unit/connectors/test_contract.py``:

1. A row that breaks a demand says which, and what is to be done: reject, pause or warn.
2. A breach names the column or field and the rule, never the value.
3. A row that keeps its contract is the record it would be without one.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from connectors.attribute_declaration import AttributeSpec
from connectors.attributes import AttributeRefused, typed
from connectors.cells import BadCell, Cell, trim
from connectors.contract_terms import Contract, Demand, Freshness, within
from connectors.record import AttributeValue, Breach, FieldValue

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNITS: Final = {10: 1, 13: 1000, 16: 1_000_000}  # digits of a moment of 2001 to 2286; its unit
_REASON: Final = "compare a value with the contract"
_WORDS: Final = {
    "required": "must be filled",
    "readable": "could not be read",
    "type": "is not of the agreed type",
    "range": "is outside the agreed range",
    "allowed": "is not one of the agreed values",
}

Fields = Mapping[str, tuple[FieldValue, ...]]


class RowContract:
    """Holds rows against one contract."""

    def __init__(self, contract: Contract) -> None:
        self._columns = [one for one in contract.demands if not one.of_field]
        self._fields = [one for one in contract.demands if one.of_field]
        self._fresh = contract.freshness

    def breaches(
        self,
        cells: Mapping[str, Cell],
        fields: Fields,
        attributes: Mapping[str, AttributeValue],
    ) -> tuple[Breach, ...]:
        """Which demands the row breaks, those of columns first."""
        found = [_breach(one, _texts(cells.get(one.subject))) for one in self._columns]
        found += [_breach(one, _mapped(fields, attributes, one.subject)) for one in self._fields]
        return tuple(breach for breach in found if breach is not None)

    def day(self, cells: Mapping[str, Cell]) -> str | None:
        """The newest day in the row's column of freshness, YYYY-MM-DD; None without one."""
        if self._fresh is None:
            return None
        texts = _texts(cells.get(self._fresh.column)) or ()
        days = (_day(text, self._fresh) for text in texts)
        return max((day for day in days if day is not None), default=None)


def _day(text: str, fresh: Freshness) -> str | None:
    """The day that a cell names.

    Where no formats are declared, a moment names one too, in UTC: in ISO 8601, as databases and
    APIs give it, or counted since 1970.
    """
    try:
        return str(typed(text, AttributeSpec(fresh.column, "date", fresh.formats)))
    except AttributeRefused:
        if fresh.formats:
            return None
    try:
        unit = _UNITS.get(len(text)) if text.isascii() and text.isdigit() else None
        if unit is not None:
            return (_EPOCH + dt.timedelta(seconds=int(text) // unit)).date().isoformat()
        time = dt.datetime.fromisoformat(text)
        return (time.astimezone(dt.UTC) if time.tzinfo else time).date().isoformat()
    except (ValueError, OverflowError):
        return None


def _texts(cell: Cell) -> tuple[str, ...] | None:
    """The filled texts of a cell; None where it could not be read."""
    if isinstance(cell, BadCell):
        return None
    texts = (cell,) if isinstance(cell, str) else cell or ()
    return tuple(text for text in map(trim, texts) if text)


def _mapped(
    fields: Fields, attributes: Mapping[str, AttributeValue], subject: str
) -> tuple[str, ...]:
    if subject in attributes:
        value = attributes[subject]
        return (str(value).lower() if isinstance(value, bool) else str(value),)
    return tuple(one.value.reveal(reason=_REASON) for one in fields.get(subject, ()))


def _breach(demand: Demand, texts: tuple[str, ...] | None) -> Breach | None:
    broken = _broken(demand, texts)
    if broken is None:
        return None
    kind = "Field" if demand.of_field else "Column"
    step = f"{kind} {demand.subject} {_WORDS[broken]}: correct it at its source, or the contract."
    return Breach(f"contract_{broken}", demand.subject, step, demand.action)


def _broken(demand: Demand, texts: tuple[str, ...] | None) -> str | None:
    if texts is None:
        return "readable"
    if not texts:
        return "required" if demand.required else None
    for text in texts:
        if demand.allowed and text.casefold() not in demand.allowed:
            return "allowed"
        if demand.type is not None:
            try:
                value = typed(text, AttributeSpec(demand.subject, demand.type, demand.formats))
            except AttributeRefused:
                return "type"
            if (demand.least or demand.most) and not within(demand, str(value)):
                return "range"
    return None
