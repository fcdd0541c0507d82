"""Tell text a spreadsheet would evaluate from text it would only show.

Nothing here evaluates anything. Reading uses it to set aside what is no value of its field;
writing uses it to make cells safe. Source: OWASP, CSV Injection.
"""

import re
from typing import Final

# A signed number as people write it: +86 138-0013-8000, +1 (415) 555-0100, -12.5, +3.2E+5, -5%.
_SIGNED_NUMBER: Final = re.compile(r"[+-][\d\s().,/-]*\d[\d\s().,/-]*([eE][+-]?\d{1,3})?%?")
_STRICT_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
OPENERS: Final = frozenset("=@+-")  # what is_formula looks at first
_RISKY: Final = tuple("=+-@\t\r\n\0＝＋－＠")


def is_formula(text: str, *, free_text: bool = False) -> bool:
    """Whether a delivered cell is a formula and not a value.

    ``=`` always begins one. ``@`` and a sign begin one too, unless a number follows the sign or
    nothing but dashes does; free text may open with them (a nickname, a list in a note).
    """
    if text.startswith("="):
        return True
    if free_text:
        return False
    if text.startswith("@"):
        return True
    if not text.startswith(("+", "-")) or not text.strip("+-"):
        return False
    return _SIGNED_NUMBER.fullmatch(text) is None


def safe_cell(text: str) -> str:
    """Text for a CSV cell that no spreadsheet evaluates: a risky opening gets a ``'`` before it.

    A plain number keeps its sign: it evaluates to itself.
    """
    if text.lstrip().startswith(_RISKY) or text.startswith(_RISKY):
        return text if _STRICT_NUMBER.fullmatch(text) else "'" + text
    return text
