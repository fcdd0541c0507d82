"""In which of the encodings of one byte a character text makes sense: Latin, Cyrillic. Pure.

A byte above 127 is a letter in each of them, and another one in each. So what a text would say in
every encoding is held against how often languages use their letters, and against how words are
made. The figures are natural logarithms of likelihoods; they are added up, and compared with those
of the encodings of two bytes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from connectors.record import Raw

# Letters beyond ASCII by language, the most frequent first (letter frequencies as Wikipedia has
# them by language, rounded to their order).
_LETTERS: Final = {
    "cp1252": (
        "üäöß",  # German
        "éèàêçôîâûùïëœüæÿ",  # French
        "óíáéñúüºª¿¡ç",  # Spanish, Catalan
        "ãçéáíóêõâúàôü",  # Portuguese
        "èàòùìéîóú",  # Italian
        "åäöøæéü",  # Danish, Norwegian, Swedish
        "áíðéóöþúýæ",  # Icelandic
        "éëïöüèêóá",  # Dutch
        "éüöäèàóíáñçßøåôãêëîâûïùõæúœÿ",  # several of these in one file
    ),
    "cp1250": (
        "łóążęśćńź",  # Polish
        "íáěéřčžýšůúňóťď",  # Czech
        "áíéčžšýúťľôňäďóĺŕ",  # Slovak
        "áéóöőíüúű",  # Hungarian
        "ăîâşţ",  # Romanian
        "čžšćđ",  # Croatian, Slovene, Serbian in Latin letters
        "áéíöüóčšžłřěýąęćśńżźőůúűäăîâşţđťňďľôŕĺ",  # several of these in one file
    ),
    "cp1251": (
        "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",  # Russian
        "оаинеівтрсклудмпзягьйбчхцюєїжшщфґ",  # Ukrainian
        "аоиетнсрвлкдпмзуъгчябжйцшхщюьф",  # Bulgarian
        "аиоенрстјукдвлмпзгбчшцхжћњљђфџ",  # Serbian
    ),
}
_LETTERS_OF: Final = {"koi8-r": "cp1251"}
ALPHABETS: Final = ("cp1252", "cp1250", "cp1251", "koi8-r")  # of two that say the same, the first
_LATIN: Final = frozenset({"cp1252", "cp1250"})
_VOWELS: Final = frozenset("aeiouyäöüàáâãåæèéêëìíîïòóôõøœùúûýÿąęěůőűăаеёиоуыэюяіїєъьј’")
_SIGNS: Final = frozenset("€£§°´’‘–—“”„«»·…\xa0№©®™•")
_SIGN, _STRANGE = math.log(0.01), math.log(0.0001)
_TOUCHING: Final = frozenset("’‘´·–—“”„«»…\xa0")  # signs that stand beside letters
_PAIRED, _TRIPLED = -1.0, -4.0  # letters beyond ASCII side by side, in Latin letters
_MISSHAPEN: Final = -7.0  # a capital behind a small letter, two alphabets in one word
_OUT_OF_PLACE: Final = -2.0  # a third vowel or consonant in a row
KNOWN: Final = 0.9  # of the characters must be letters of one language, or signs
LEAST: Final = -4.2  # so likely must a character be on average: letters used as languages use them
MARGIN: Final = 3.0  # so much likelier must one encoding be than another


@dataclass(frozen=True, slots=True)
class Weighed(Raw):
    """What a text comes to in one encoding, read in the language that suits it best.

    Attributes:
        encoding: its name.
        likelihood: the logarithm of it.
        makes_sense: whether it is text of that language, and made of words.
        texts: what it says.
    """

    encoding: str
    likelihood: float
    makes_sense: bool
    texts: tuple[str, ...] = field(repr=False)


def weighed(lines: Sequence[bytes]) -> list[Weighed]:
    """Return what lines come to in each encoding, the likeliest first."""
    found = (_weighed(lines, encoding) for encoding in ALPHABETS)
    return sorted(found, key=lambda one: -one.likelihood)


def contenders(several: Sequence[Weighed]) -> list[str]:
    """Return the encodings that the likeliest cannot be told from, itself among them.

    One in which a text says the very same is none: it does not matter which is taken.
    """
    near = [one for one in several if one.likelihood > several[0].likelihood - MARGIN]
    same = [one.encoding for one in near if one.texts == several[0].texts]
    others = [one.encoding for one in near if one.encoding not in same]
    return [min(same, key=ALPHABETS.index), *others]


def _weighed(lines: Iterable[bytes], encoding: str) -> Weighed:
    texts = tuple(line.decode(encoding, "replace") for line in lines)
    of = _LETTERS[_LETTERS_OF.get(encoding, encoding)]
    shapes = [one for text in texts for one in _shape(text, latin=encoding in _LATIN)]
    beyond = [one.lower() for text in texts for one in text if one > "\x7f"]
    best, letters = max(
        (sum(_table(letters).get(one, _STRANGE) for one in beyond), letters) for letters in of
    )
    known = sum(one in _table(letters) for one in beyond)
    whole, count = best + sum(shapes), len(beyond)
    sense = (
        known >= KNOWN * count
        and shapes.count(_MISSHAPEN) <= (1 - KNOWN) * count
        and whole >= LEAST * count
    )
    return Weighed(encoding, whole, sense, texts)


@cache
def _table(letters: str) -> dict[str, float]:
    """How likely each character is, in a language: falling with its rank."""
    weights = [1 / rank for rank in range(1, len(letters) + 1)]
    whole = sum(weights)
    signs = dict.fromkeys(_SIGNS, _SIGN)
    found = zip(letters, weights, strict=True)
    return signs | {letter: math.log(weight / whole) for letter, weight in found}


def _shape(text: str, *, latin: bool) -> Iterator[float]:
    """How words are made: what speaks against each character, whatever its language."""
    around = f"  {text} "
    for place, here in enumerate(text):
        if here > "\x7f":
            before, left, right = around[place], around[place + 1], around[place + 3]
            yield _in_its_place(before, left, here, right, latin=latin)


def _in_its_place(before: str, left: str, here: str, right: str, *, latin: bool) -> float:
    if not here.isalpha():
        beside = left.isalpha() or (right.isalpha() and here not in _SIGNS)
        return _MISSHAPEN if beside and here not in _TOUCHING else 0.0
    capitals = before.isupper() and left.isupper()
    if (here.isupper() and left.islower()) or (here.islower() and capitals):
        return _MISSHAPEN
    if not latin and any(one.isalpha() and one <= "\x7f" for one in (left, right)):
        return _MISSHAPEN
    if latin and left > "\x7f" and left.isalpha():
        return _TRIPLED if before > "\x7f" and before.isalpha() else _PAIRED
    kinds = {one.lower() in _VOWELS for one in (left, here, right)}
    return _OUT_OF_PLACE if left.isalpha() and right.isalpha() and len(kinds) == 1 else 0.0
