"""How a Latin name sounds, behind one function so that the engine can change."""

from functools import lru_cache

import jellyfish

from cdp.ingest.normalise.latin_name import fold


def _word(word: str) -> str:
    letters = "".join(letter for letter in word if "a" <= letter <= "z")
    return jellyfish.metaphone(letters) if letters else ""


@lru_cache(maxsize=65_536)
def _sound(text: str) -> str:
    return " ".join(filter(None, (_word(word) for word in fold(text).split())))


def latin_sound(text: str) -> str:
    """Return the Metaphone code (Philips, 1990) of each word, joined by spaces.

    `smith` and `smyth` are both `SM0`. Words without Latin letters are skipped.
    """
    return _sound(text[:128])
