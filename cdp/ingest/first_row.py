"""Whether the first row of a file names its columns, or is already a person. Pure.

A heading is shown to whoever has a file's columns guessed; a person never is. So what cannot be
told is taken for a person until somebody says that it is a heading.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from cdp.ingest.headings import compact, named, names_a_record
from cdp.ingest.normalise.surnames import split_surname
from connectors.attribute_declaration import AttributeSpec, AttributeType
from connectors.attributes import AttributeRefused, typed
from connectors.table import Table

_LIKE_DATA: Final = re.compile(r"[0-9０-９]{4}|@")
_HAN_NAME: Final = re.compile("[\u4e00-\u9fff]{2,4}")
_MOST: Final = 0.5  # of the values of a column of names


class FirstRow(StrEnum):
    """What the first row is."""

    HEADING = "heading"
    PERSON = "person"
    UNCLEAR = "unclear"  # nothing in it is a word for a column, nor unlike what stands below


def first_row(table: Table, kinds: Mapping[str, AttributeType | None]) -> FirstRow:
    """Judge the first row.

    Args:
        table: its columns are called by that row.
        kinds: what all values of a column are; None: text, or nothing.
    """
    values = {compact(text) for one in table.columns for text in table.texts(one)}
    speaks = against = 0
    for column in table.columns:
        kind = kinds.get(column)
        kind = None if kind == "category" else kind  # any short text is one
        alike = kind is not None and is_typed(column, AttributeSpec("", kind))
        person = _is_name(column, table.texts(column))
        if _LIKE_DATA.search(column) or compact(column) in values or alike or person:
            against += 1
        elif named(column) is not None or names_a_record(column) or kind:
            speaks += 1
    if speaks > against:
        return FirstRow.HEADING
    return FirstRow.PERSON if against else FirstRow.UNCLEAR


def is_typed(text: str, spec: AttributeSpec) -> bool:
    """Whether a text is a value of a type."""
    try:
        typed(text, spec)
    except AttributeRefused:
        return False
    return True


def _is_name(heading: str, values: Sequence[str]) -> bool:
    """Whether a heading is a Chinese name over a column of such names."""
    return _is_han_name(heading) and sum(map(_is_han_name, values)) > _MOST * len(values)


def _is_han_name(text: str) -> bool:
    return _HAN_NAME.fullmatch(text) is not None and split_surname(text)[0] is not None
