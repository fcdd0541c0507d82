"""What a reader makes of one cell of a row, before it is mapped."""

from dataclasses import dataclass
from typing import Final

from connectors.record import Sensitive

# str.strip() knows every Unicode space but none of these, which exports leave around values.
_INVISIBLE: Final = "\0\ufeff\u200b\u200e\u200f"


@dataclass(frozen=True, slots=True, eq=False)
class BadCell:
    """A cell the reader could not turn into text."""

    rule: str
    next_step: str
    raw: Sensitive
    rejects_row: bool = True  # False: only its field is set aside


Cell = str | tuple[str, ...] | BadCell | None
"""Text, several texts (a JSON list), a cell that could not be read, or nothing."""


def trim(text: str) -> str:
    """``text`` without white space, NUL and invisible marks around it."""
    text = text.strip()
    if text and (text[0] in _INVISIBLE or text[-1] in _INVISIBLE):
        shorter = text.strip(_INVISIBLE)
        return trim(shorter)
    return text
