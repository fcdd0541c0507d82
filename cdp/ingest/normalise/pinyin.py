"""How a Han name sounds: toneless pinyin, read as a name.

Each character has one reading, whatever stands beside it: a name that lost a character keeps
the sounds of the others. Surnames take their reading as surnames. ü is written v.
"""

from functools import lru_cache

from cdp.ingest.normalise.surnames import SURNAME_SOUNDS, split_surname

# Enough for the characters of the General Standard list (8,105) and the names of a large store.
_CHARACTERS = 16_384
_NAMES = 65_536


@lru_cache(maxsize=_CHARACTERS)
def _character(han: str) -> str:
    from pypinyin import lazy_pinyin  # noqa: PLC0415 - half a second that Latin data never pays

    return " ".join(lazy_pinyin(han, errors="ignore")) if han.isalpha() else ""


def _spell(han: str) -> str:
    return " ".join(filter(None, map(_character, han)))


@lru_cache(maxsize=_NAMES)
def _sound(han: str, *, surname_first: bool) -> str:
    if not surname_first:
        return _spell(han)
    surname, given = split_surname(han)
    if surname is None:
        return _spell(han)
    read = SURNAME_SOUNDS.get(surname) or _spell(surname)
    return f"{read} {_spell(given)}".strip()


def sound(han: str, *, surname_first: bool = True) -> str:
    """Return the syllables of a Han text, joined by spaces: 单小明 gives `shan xiao ming`.

    `surname_first=False` reads a given name alone. Characters without a reading are skipped.
    """
    if len(han) > 64:
        return _spell(han[:64])
    return _sound(han, surname_first=surname_first)


# Confusions that southern speakers make and hear: flat and curled initials, n and l, front
# and back nasals after a, e and i.
_INITIALS = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("n", "l"))
_FINALS = (("ang", "an"), ("eng", "en"), ("ing", "in"))
# Standard Mandarin has f before a full vowel where these accents have hu.
_FH = {
    "hu": "fu", "hua": "fa", "huai": "fai", "huan": "fan", "huang": "fang", "hui": "fei",
    "hun": "fen", "huo": "fo",
}  # fmt: skip


@lru_cache(maxsize=2_048)
def _blur(syllable: str, *, fh: bool) -> str:
    if fh:
        syllable = _FH.get(syllable, syllable)
    for exact, merged in _INITIALS:
        if syllable.startswith(exact):
            syllable = merged + syllable.removeprefix(exact)
            break
    for exact, merged in _FINALS:
        if syllable.endswith(exact):
            return syllable.removesuffix(exact) + merged
    return syllable


def fuzzy_sound(han: str, *, fh: bool = False, surname_first: bool = True) -> str:
    """Return `sound` with the common southern confusions merged; `fh` merges f and h too."""
    syllables = sound(han, surname_first=surname_first).split(" ")
    return " ".join(_blur(syllable, fh=fh) for syllable in syllables)
