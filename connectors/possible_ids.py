"""Which record a rejected row may be of: every text in it that could be the record's id. Pure.

A row that could not be read has no record id, and still holds what somebody's record says.
Before such a row is kept, and when a record is destroyed, whoever asks keys each of these
texts and compares: so a guess too many costs a row, and shows nothing.

Invariants, each named by a test in ``tests/unit/connectors/test_possible_ids.py``:

1. The id of a row is among the answers, whatever made the row be rejected: too many cells,
   misplaced quotes, a key given twice, a broken line.
2. An id of several columns is found from its parts, which stand apart in the row.
3. There is an end to trying: a row with too many combinations has no answer.
4. Where an id stands in a row, as words or by its parts, every word of it is a word of the row.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from connectors.cells import trim
from connectors.mapping import MAX_RECORD_ID, join_record_id
from connectors.sources.csv_rows import CellSplitter
from connectors.sources.json_lines import texts_of

MAX_TRIED: Final = 20_000  # combinations of one row: 140 cells for two columns, 27 for three
_KEPT_ID: Final = "kept_record_id"  # no source has a key of this name
DELIMITERS: Final = ",;|\t"  # all that files may have; between cells that are shown, of sheets
_WORDS: Final = re.compile(r"\w+")
_PIECES: Final = re.compile(r"""[^\s,;|"'(){}\[\]]+""")


def possible_ids(row: str, columns: int, delimiter: str = ",") -> frozenset[str] | None:
    """Return every text that may be the id of a rejected row; None where there are too many.

    Args:
        row: as text, the way a rejection holds it.
        columns: how many columns name a record of the source.
        delimiter: of the source's file.
    """
    parts = parts_of(row, delimiter)
    alone = {one for found in (_WORDS, _PIECES) for one in found.findall(row)}
    ids = set(parts) | {one for one in alone if len(one) <= MAX_RECORD_ID}
    if columns > 1:
        if len(parts) ** columns > MAX_TRIED:
            return None
        ids |= {join_record_id(list(one)) for one in itertools.product(parts, repeat=columns)}
    return frozenset(ids)


def parts_of(row: str, delimiter: str = ",") -> frozenset[str]:
    """Return the texts of a row that may be one column of its id: cells and JSON values."""
    found = (trim(text) for text in _texts(row, delimiter))
    return frozenset(text for text in found if 0 < len(text) <= MAX_RECORD_ID)


def words_in(row: str) -> frozenset[str]:
    """Return every word of a rejected row, and of the cells and JSON values that stand in it.

    What is made of them is stored beside the row: who changes this lets older rows be opened.
    """
    return frozenset(word for text in (row, *parts_of(row)) for word in _WORDS.findall(text))


def words_of(record_id: str) -> frozenset[str]:
    """Return the words of an id; none of one that is all signs."""
    return frozenset(_WORDS.findall(record_id))


def columns_of(record_id: str) -> list[str]:
    """Split an id of several columns into its parts: the way back of ``join_record_id``."""
    parts = re.findall(r"((?:[^|\\]|\\.)*)(?:\||$)", record_id, re.DOTALL)
    if len(parts) < 3:  # one part, and the nothing at the end
        return [record_id]
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts[:-1]]


def _texts(row: str, delimiter: str) -> Iterator[str]:
    yield row
    quoted = '"' in row
    if quoted or row.lstrip()[:1] in ("{", "["):
        yield from texts_of(row)
    # A source may have had another delimiter when the row was kept.
    for one in dict.fromkeys(delimiter + DELIMITERS):
        if one in row:
            yield from row.split(one)
        if quoted:
            splitter = CellSplitter(one, len(row))
            splitter.feed(row, "")
            yield from splitter.cells
    if quoted:
        yield from row.split('"')


def kept(
    record_id: str | None, row: str, cells: str | None = None, order: int | None = None
) -> str:
    """Return the text that is kept of a rejected row.

    Args:
        record_id: of the row, if that could be read.
        row: as text.
        cells: of the row, as `connectors.kept_cells` has them; None: there are none.
        order: of the row, if its source gave one.
    """
    if record_id is None and cells is None:
        return row
    whole: dict[str, Any] = {_KEPT_ID: record_id, "row": row}
    if cells is not None:
        whole |= {"cells": json.loads(cells), "order": order}
    return json.dumps(whole, ensure_ascii=False)


def kept_parts(text: str) -> dict[str, Any] | None:
    """Return what ``kept`` put together: row, and cells and order where there are; None: a row."""
    if not text.startswith(f'{{"{_KEPT_ID}": '):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("row"), str) else None


def kept_id(text: str) -> str | None:
    """Return the id that a rejected row was kept with."""
    if not text.startswith(f'{{"{_KEPT_ID}": '):
        return None
    try:
        found = json.loads(text)[_KEPT_ID]
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
