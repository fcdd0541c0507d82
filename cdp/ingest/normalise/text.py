"""The first step of every normaliser: one plain spelling of the characters.

Width, compatibility forms, invisible marks and white space carry no meaning in the
values we read, and differ between keyboards and spreadsheets.
"""

import re
import unicodedata

from cdp.ingest.normalise.result import Problem

EMPTY = Problem("empty", "nothing to do: the cell holds no value")
UNREADABLE = Problem("unreadable", "declare the encoding that the source was written in")
MASKED = Problem("masked", "ask the source for the unmasked value, or leave the field unmapped")

SHEET = Problem("spreadsheet_number", "format the column as text in the spreadsheet, then export")
# A long number that a spreadsheet shows by its first digits; the others are lost.
SPREADSHEET_NUMBER = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{1,3}")

# Format characters and variation selectors: they have no glyph of their own.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# A lone surrogate or U+FFFD is what a wrong encoding leaves behind.
_BROKEN = re.compile("[\ud800-\udfff\ufffd]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Visible ASCII and the basic Han block: NFKC leaves both as they are.
_PLAIN = re.compile(r"[!-~\u4e00-\u9fff]+(?: [!-~\u4e00-\u9fff]+)*")

# Words that clerks and exports write into a cell to say that there is no value.
_EMPTY_WORDS = frozenset(
    {
        "", "-", "--", "---", "/", "//", "\\", ".", "..", "?", "??", "#n/a", "n/a", "na", "nan",
        "nil", "none", "null", "(null)", "undefined", "#ref!", "#value!", "无", "暂无", "没有",
        "空", "未填", "未填写", "不详", "无。", "—", "——", "\\n",
    }
)  # fmt: skip


def too_long(limit: int) -> Problem:
    """The problem of a text that is longer than `limit` characters."""
    return Problem("too_long", f"shorten the value to {limit} characters, or map another column")


def tidy(text: str, limit: int) -> str | Problem:
    """Return `text` in NFKC, visible, on one line, with single spaces and none at the ends.

    Problems: `too_long` (before any work), `unreadable` (traces of a wrong encoding),
    `empty` (nothing visible, or a word for nothing).
    """
    if len(text) > limit:
        return too_long(limit)
    if _PLAIN.fullmatch(text) is None:
        if _BROKEN.search(text):
            return UNREADABLE
        text = squeeze(_INVISIBLE.sub("", text))
        if len(text) > limit:  # NFKC can grow a text up to 18 times
            return too_long(limit)
    if len(text) < 10 and text.casefold() in _EMPTY_WORDS:
        return EMPTY
    return text


def squeeze(text: str) -> str:
    """NFKC, then every run of white space or control characters as one space."""
    text = unicodedata.normalize("NFKC", _CONTROL.sub(" ", text))
    return unicodedata.normalize("NFKC", " ".join(text.split()))


def without_spaces(text: str) -> str:
    """Drop the spaces of a tidied text; composed again where that joined two characters."""
    return unicodedata.normalize("NFKC", text.replace(" ", "")) if " " in text else text
