"""Names in Latin letters, and in scripts other than Han."""

import re
import unicodedata

from cdp.ingest.normalise.name_parts import Name, NameKind, Script
from cdp.ingest.normalise.name_words import LATIN_GENERATIONS, LATIN_LABELS, LATIN_TITLES
from cdp.ingest.normalise.result import Problem

_NOT_A_NAME = Problem("not_a_name", "map a column that holds one person's name")

# Letters that carry their stroke or ligature inside, so that no decomposition removes it.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i", "ħ": "h"}
)
# The combining diacritical marks. Marks of other scripts change the letter and stay.
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("['’‘`´ʼʹ]")
_PLAIN = re.compile("[a-z ]+")
_NO_LETTERS = re.compile("[^a-z*]+")


def fold(text: str) -> str:
    """Casefold, and drop accents and apostrophes: `O'Brién` and `obrien` become equal."""
    text = text.casefold()
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS))
    return unicodedata.normalize("NFC", _APOSTROPHES.sub("", text))


def read_latin(text: str, kind: NameKind) -> Name | Problem:
    """Return the name in a tidied text without Han characters.

    `Smith, John` is turned round. Titles go; generation marks (jr, iii) stay in the full name
    and never count as the surname. One word of kind `name` is an incomplete name.
    """
    first, comma, last = _turned(text, kind)
    words = _words(first, kind)
    behind = _words(last, kind) if comma else []
    if not any(map(str.isalpha, "".join(words + behind))):
        return _NOT_A_NAME
    return _build(words + behind, "*" in text, kind)


def _turned(text: str, kind: NameKind) -> tuple[str, str, str]:
    """Put what stands before a comma behind, unless the rest is only a title or a generation."""
    before, comma, after = text.partition(",")
    if comma and kind is NameKind.NAME:
        rest = fold(after).replace(".", " ").split()
        if not all(word in LATIN_TITLES or word in LATIN_GENERATIONS for word in rest):
            return after, comma, before
    return text, "", ""


def _letters(text: str) -> str:
    """Put a space for all but letters, the marks that belong to them, and masks."""
    if text.isascii():
        return _NO_LETTERS.sub(" ", text)
    kept = (sign if unicodedata.category(sign)[0] in "LM" or sign == "*" else " " for sign in text)
    return "".join(kept)


def _words(text: str, kind: NameKind) -> list[str]:
    folded = fold(text)
    words = (folded if _PLAIN.fullmatch(folded) else _letters(folded)).split()
    if kind is NameKind.REMARK:
        words = [word for word in words if word not in LATIN_LABELS]
    if len(words) > 1:
        words = [word for word in words if word not in LATIN_TITLES] or words
    return words


def _build(words: list[str], masked: bool, kind: NameKind) -> Name:  # noqa: FBT001
    full = " ".join(words)
    script = Script.LATIN if full.isascii() else Script.OTHER
    tokens = tuple(sorted(words))
    if kind is NameKind.GIVEN_NAME:
        return Name(full, script, None, full, masked, False, tokens)  # noqa: FBT003
    if kind is NameKind.SURNAME:
        return Name(full, script, full, None, masked, False, tokens)  # noqa: FBT003
    proper = [word for word in words if word not in LATIN_GENERATIONS]
    if len(proper) < 2:
        return Name(full, script, None, full, masked, False, tokens)  # noqa: FBT003
    return Name(full, script, proper[-1], " ".join(proper[:-1]), masked, not masked, tokens)
