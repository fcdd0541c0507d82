"""Which column of an undeclared file is what. Pure.

Invariants, each named by a test in ``tests/unit/ingest/test_guessing.py``:
    1. A guess holds headings, shares and counts, never a value.
    2. A column that fits no field is not mapped; neither is one that must not be a key.
    3. What strictly looks like a phone, a mail address or an ID number is found under any
       heading, in columns that a declaration leaves out as in new files.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

from cdp.ingest.first_row import FirstRow, first_row, is_typed
from cdp.ingest.headings import (
    avoided,
    named,
    names_a_mobile,
    names_a_record,
    names_exactly,
)
from cdp.ingest.normalise.phone import Phone, PhoneKind, normalise_phone
from cdp.ingest.values import Reading, read_record
from connectors.attribute_declaration import AttributeSpec, AttributeType
from connectors.base import Finding, Level
from connectors.record import FieldValue, Raw, Record, Sensitive
from connectors.table import Table

SAMPLE: Final = 200  # values of one column
NAMED_SHARE: Final = 0.5  # of the values must read, where the heading names the field
FOREIGN_SHARE: Final = 0.25  # of the phones must be of no country that shows
STRICT_SHARE: Final = 0.8  # where only the values tell
MOST_PAIRED: Final = 12  # columns that are tried together as a record id
FEWEST: Final = 3  # values, where only they tell
SEVERAL: Final = frozenset({"phone", "email"})  # people write two of them into one cell
SPLIT: Final = "[/、,;，；]"
_SEPARATORS: Final = re.compile(SPLIT)
FREE_TEXT: Final = frozenset({"nickname", "remark", "note"})
_NOT_STATED: Final = frozenset({"0", "未知", "保密", "unknown", "other"})
STRICT: Final = ("national_id", "email", "phone")  # forms that hardly anything else has
_PLATFORM_ID: Final = re.compile(r"o[A-Za-z0-9_-]{27}")  # of WeChat, as seen; not documented
MOST_DIGITS: Final = 15  # of a number, with its country (ITU-T E.164); more are two numbers
_NUMBER: Final = re.compile(r"[+(（]?[0-9０-９][-0-9０-９ ()（）/.－]{5,22}")
_ABROAD: Final = ("+", "00")
# Fields that happen to be unique in a sample, and name nobody for good.
UNSTEADY: Final = frozenset(
    {"name", "given_name", "surname", "nickname", "remark", "note", "birth_date", "gender",
     "address", "city", "district", "region", "postcode"}
)  # fmt: skip
# Forms of a day that nothing but the column's other values can tell apart. Years have four digits:
# of two nobody knows the century.
_DAYS: Final = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%b %d, %Y",
    "%d %B %Y", "%B %d, %Y", "excel",
)  # fmt: skip
_TYPES: Final[tuple[AttributeType, ...]] = ("integer", "decimal", "date", "boolean", "category")


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """What one column seems to be.

    Attributes:
        column: its heading.
        field: the identity field; None where it is none, or must not be one.
        confidence: 0 to 1: the share of values that read, less where no heading agrees.
        filled: values looked at.
        type: what it would be as an attribute; None: text, or nothing there.
        split: characters that separate several values in its cells; None: it has one each.
        formats: of a birth date: what reads the values that read as nothing without; of several,
            any of which reads them, a person must say which it is.
        foreign: whether many of its phones name no country, and are no Chinese mobiles: read as
            Chinese numbers they might be other people's.
        chosen: whether the declaration should take it; of several, the best one.
    """

    column: str
    field: str | None
    confidence: float
    filled: int
    type: AttributeType | None
    split: str | None = None
    formats: tuple[str, ...] = ()
    foreign: bool = False
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Guess(Raw):
    """What a file seems to be.

    Attributes:
        columns: in the order of the file.
        record_ids: columns, or pairs where no column does it alone, that are filled and unique
            in every row, the likeliest first.
        store: the column whose values are stores of the organisation.
        rows: that were looked at.
        first_row: whether it names the columns, or seems to be a person.
    """

    # Of a file without a heading these are the cells of a person.
    columns: tuple[ColumnGuess, ...] = field(repr=False)
    record_ids: tuple[tuple[str, ...], ...] = field(repr=False)
    store: str | None = field(repr=False)
    rows: int
    first_row: FirstRow


def guess(table: Table, reading: Reading) -> Guess:
    """Judge every column of a table."""
    judged = [_column(table, one, reading) for one in table.columns]
    stores = reading.stores or frozenset()
    store = next((one for one in table.columns if _all_in(table.texts(one), stores)), None)
    judged = [_named_here(one, table.columns) for one in judged]
    lists = {one for one in table.columns if any(isinstance(r.get(one), tuple) for r in table.rows)}
    best = _best(judged, lists)
    columns = tuple(
        replace(one, chosen=best.get(one.field or "") == one.column and one.column != store)
        for one in judged
    )
    row = first_row(table, {one.column: one.type for one in columns})
    return Guess(columns, _record_ids(table), store, len(table.rows), row)


def undeclared(table: Table, declared: Collection[str], reading: Reading) -> list[Finding]:
    """A warning for each column that seems personal and that no field is read from."""
    findings = []
    for column in table.columns:
        if column in declared:
            continue
        one = _column(table, column, reading)
        if one.field is None or one.field in FREE_TEXT or one.filled < FEWEST:
            continue
        step = (
            f"It looks like {one.field} ({one.confidence:.0%} of {one.filled} values): map it "
            "under fields, or have the export leave it out."
        )
        findings.append(Finding(Level.WARNING, "personal_data_undeclared", column, step))
    return findings


def _column(table: Table, column: str, reading: Reading) -> ColumnGuess:
    texts = table.texts(column)[:SAMPLE]
    kind = _type_of(texts)
    nothing = ColumnGuess(column, None, 0.0, len(texts), kind)
    if not texts or avoided(column):
        return nothing
    found = named(column)
    if found is not None:
        share = _share(found[0], texts, reading)
        parts = [part for text in texts for part in _SEPARATORS.split(text) if part.strip()]
        apart = _share(found[0], parts, reading) if found[0] in SEVERAL else 0.0
        split, share = (SPLIT, apart) if apart > share else (None, share)
        formats: tuple[str, ...] = ()
        if found[0] == "birth_date":
            formats, share = _formats(texts, share, reading)
        foreign = found[0] == "phone" and _part(texts, is_national) > FOREIGN_SHARE
        share = max(share, _part(texts, _is_number)) if foreign else share
        if share >= NAMED_SHARE:
            sure = round(share, 2)
            return ColumnGuess(column, found[0], sure, len(texts), kind, split, formats, foreign)
    for strict in STRICT:
        share = _strict_share(strict, texts, reading)
        if share >= STRICT_SHARE and len(texts) >= FEWEST:
            return ColumnGuess(column, strict, round(0.9 * share, 2), len(texts), kind)
    return nothing


def _share(field: str, texts: Sequence[str], reading: Reading) -> float:
    """The share of texts that read as a field whose heading names it."""
    if field in FREE_TEXT:
        return 1.0
    if field == "gender":  # many say nothing, and some must say something
        texts = [text for text in texts if text not in _NOT_STATED]
    if field in {"openid", "unionid"}:
        return _part(texts, lambda text: _PLATFORM_ID.fullmatch(text) is not None)
    return _part(texts, lambda text: _reads(field, text, reading))


def _formats(texts: Sequence[str], share: float, reading: Reading) -> tuple[tuple[str, ...], float]:
    """The formats that make the most of a column's days readable, and the share that then reads."""
    rest = [text for text in texts if not _reads("birth_date", text, reading)]
    read = {form: _part(rest, lambda text: _reads("birth_date", text, reading, (form,)))  # noqa: B023
            for form in _DAYS}  # fmt: skip
    best = max(read.values(), default=0.0)
    if not rest or best == 0:
        return (), share
    return tuple(form for form in _DAYS if read[form] == best), share + (1 - share) * best


def _is_number(text: str) -> bool:
    digits = sum(letter.isdigit() for letter in text)
    return _NUMBER.fullmatch(text) is not None and digits <= MOST_DIGITS


def is_national(text: str) -> bool:
    """Whether a text is a number without its country, and no mobile of China."""
    text = text.lstrip("'")
    return _is_number(text) and not text.startswith(_ABROAD) and not _is_mobile(text, "CN")


def _strict_share(field: str, texts: Sequence[str], reading: Reading) -> float:
    if field != "phone":
        return _part(texts, lambda text: _reads(field, text, reading))
    return _part(texts, lambda text: _is_mobile(text, reading.region))


def _part(texts: Sequence[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, texts)) / len(texts) if texts else 0.0


def _is_mobile(text: str, region: str) -> bool:
    found = normalise_phone(text, region)
    return isinstance(found, Phone) and found.kind in {PhoneKind.MOBILE, PhoneKind.PRIVACY}


def _reads(field: str, text: str, reading: Reading, formats: tuple[str, ...] = ()) -> bool:
    value = FieldValue(Sensitive(text), None, formats)
    record = Record("guess", Sensitive("0"), 1, {field: (value,)})
    values = read_record(record, reading)
    return not values.problems and bool(values.read or values.delivered)


def _type_of(texts: Sequence[str]) -> AttributeType | None:
    """The narrowest type that every value is of."""
    for kind in _TYPES if texts else ():
        spec = AttributeSpec("", kind)
        if all(is_typed(text, spec) for text in texts):
            return None if kind == "category" and len(set(texts)) > len(texts) / 2 else kind
    return None


def _named_here(one: ColumnGuess, columns: Collection[str]) -> ColumnGuess:
    """The same, where the columns beside it tell more: only followers subscribe."""
    if one.field == "openid" and "subscribe" in columns:
        return replace(one, field="official_openid")
    return one


def _best(judged: Sequence[ColumnGuess], lists: Collection[str]) -> Mapping[str, str]:
    """The column to take for each field: one value a row, least deep, surest, first in the file.

    Of two that are about as sure, the one that is called so and no more: an export's `Phone` is
    the person's, and its `Default Address Phone` may be somebody else's. Of phones, a mobile.
    """
    best: dict[str, str] = {}
    ranked = sorted(
        judged,
        key=lambda one: (
            one.column in lists,
            one.column.count("."),
            one.field == "phone" and not names_a_mobile(one.column),
            -round(one.confidence, 1),
            not names_exactly(one.column),
            -one.confidence,
        ),
    )
    for one in ranked:
        if one.field is not None:
            best.setdefault(one.field, one.column)
    return best


def _record_ids(table: Table) -> tuple[tuple[str, ...], ...]:
    """Columns that name a record: one text in every row, no two the same."""
    rows = len(table.rows)
    full = [one for one in table.columns if rows and table.filled(one) == rows]
    alone = [(one,) for one in full if len(set(table.texts(one))) == rows]
    found: list[tuple[str, ...]] = sorted(
        alone, key=lambda ids: (-names_a_record(ids[0]), ids[0].count("."))
    )
    if not any(names_a_record(ids[0]) for ids in found):
        likely = [one for one in full if names_a_record(one)][:MOST_PAIRED]
        pairs = [two for two in combinations(likely, 2) if _tells_apart(table, two)]
        found = [*pairs, *found]
    return tuple(found)


def _tells_apart(table: Table, columns: tuple[str, ...]) -> bool:
    return len({tuple(row.get(one) for one in columns) for row in table.rows}) == len(table.rows)


def _all_in(texts: Sequence[str], stores: Collection[str]) -> bool:
    return bool(texts) and all(text in stores for text in texts)
