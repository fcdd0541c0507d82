"""The cells of a rejected row as one text, so that the row can be mapped again some day. Pure.

Invariants, each named by a test in ``tests/unit/connectors/test_kept_cells.py``:

1. What is read back is what was kept: texts, lists, cells that could not be read, and nothing.
2. A row with more than ``RAW_LIMIT`` characters of cells is not kept so.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from connectors.cells import BadCell, Cell
from connectors.record import RAW_LIMIT, Sensitive

_WHY: Final = "keep the cells of a rejected row, sealed"


def kept_cells(cells: Mapping[str, Cell]) -> Sensitive | None:
    """The cells as a JSON object; None where there are too many characters."""
    plain = {column: _plain(cell) for column, cell in cells.items()}
    text = json.dumps(plain, ensure_ascii=False)
    return Sensitive(text) if len(text) <= RAW_LIMIT else None


def cells_again(kept: Mapping[str, Any]) -> dict[str, Cell]:
    """The cells that ``kept_cells`` kept, from the parsed object.

    Raises:
        ValueError: it is none. It shows nothing of it.
    """
    try:
        return {column: _cell(one) for column, one in kept.items()}
    except (KeyError, TypeError, AttributeError):
        raise ValueError("these are no cells") from None


def _plain(cell: Cell) -> Any:
    if isinstance(cell, BadCell):
        raw = cell.raw.reveal(reason=_WHY)
        return {"rule": cell.rule, "next_step": cell.next_step, "raw": raw,
                "rejects_row": cell.rejects_row}  # fmt: skip
    return list(cell) if isinstance(cell, tuple) else cell


def _cell(one: Any) -> Cell:
    if one is None or isinstance(one, str):
        return one
    if isinstance(one, list):
        return tuple(map(str, one))
    rejects = one["rejects_row"]
    return BadCell(one["rule"], one["next_step"], Sensitive(one["raw"]), rejects_row=rejects)
