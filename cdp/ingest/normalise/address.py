"""Addresses and places: what of them can be compared.

The split is by suffix and shallow. It serves comparison, never delivery: where it finds
nothing, the canonical text still stands.
"""

import re
from dataclasses import dataclass

from cdp.ingest.normalise.latin_name import fold
from cdp.ingest.normalise.name_parts import Script
from cdp.ingest.normalise.provinces import (
    MUNICIPALITIES,
    PROVINCE_CODES,
    PROVINCE_SUFFIXES,
    SPECIAL_REGIONS,
)
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, squeeze, tidy, without_spaces

LIMIT = 512  # characters

_NOTHING = Problem("not_an_address", "map a column that holds addresses")


@dataclass(frozen=True, slots=True, repr=False)
class Address(Canonical):
    """An address. Parts that were not found are None.

    `province` is the short name (北京, 内蒙古); `city` has no closing 市.
    """

    full: str
    script: Script
    province: str | None
    city: str | None
    district: str | None
    road: str | None
    number: str | None

    @property
    def canonical(self) -> str:
        """The full text."""
        return self.full


@dataclass(frozen=True, slots=True, repr=False)
class Place(Canonical):
    """The name of a city, district or province."""

    name: str

    @property
    def canonical(self) -> str:
        """The name."""
        return self.name


_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_PROVINCE = re.compile(
    f"^(?P<name>{'|'.join(dict.fromkeys(PROVINCE_CODES.values()))})(?:{'|'.join(PROVINCE_SUFFIXES)})?"
)
_CITY = re.compile(r"^(?P<name>[^省市区县路街号0-9]{2,10}?)(?P<suffix>市|自治州|地区|盟)")
_DISTRICT = re.compile(r"^(?P<name>[^省市路街号0-9]{1,10}?(?:新区|区|县|旗|市))")
_ROAD = re.compile(
    r"(?P<name>[^省市区县镇乡0-9]{1,12}?[0-9]{0,3}(?:大道|大街|胡同|路|街(?!道)|巷|弄|道))"
)
_TOWN = re.compile(r"^[^路0-9]{1,10}?(?:街道|镇|乡)")  # stands between district and road
_NUMBER = re.compile(r"(?P<number>[0-9]{1,5}(?:-[0-9]{1,4})?)(?:号|弄|$)")
_PUNCTUATION = re.compile(r"[,，。;；、]+")

# USPS Publication 28, Appendix C1, the suffixes that occur most.
_STREETS = {
    "street": "st", "road": "rd", "avenue": "ave", "av": "ave", "boulevard": "blvd",
    "drive": "dr", "lane": "ln", "court": "ct", "place": "pl", "square": "sq", "terrace": "ter",
    "parkway": "pkwy", "highway": "hwy", "circle": "cir", "crescent": "cres", "close": "cl",
    "north": "n", "south": "s", "east": "e", "west": "w", "apartment": "apt", "suite": "ste",
    "building": "bldg", "floor": "fl", "mount": "mt", "saint": "st",
}  # fmt: skip
_LATIN_WORDS = re.compile(r"[^\W_]+")
_NUMBER_SIGN = re.compile("^(?:no)+(?=[0-9])")
_STREET_NUMBER = re.compile(r"[0-9]{1,6}[a-z]?")


def normalise_address(text: str) -> Address | Problem:
    """Return the address in `text`.

    Problems: `empty`, `too_long`, `unreadable`, `masked`, `not_an_address`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    if "*" in plain:
        return MASKED
    return _han(plain) if _HAN.search(plain) else _latin(plain)


def _han(plain: str) -> Address | Problem:
    full = squeeze(without_spaces(_PUNCTUATION.sub(" ", plain)).casefold())
    province, rest = _province(full)
    found = _CITY.match(rest)
    city = province if province in MUNICIPALITIES | SPECIAL_REGIONS else None
    if found and province not in MUNICIPALITIES:
        city, rest = _city_name(found), rest[found.end() :]
    elif city and rest.startswith(f"{city}市"):
        rest = rest.removeprefix(f"{city}市")
    found = _DISTRICT.match(rest)
    district, rest = (found["name"], rest[found.end() :]) if found else (None, rest)
    found = _ROAD.search(_TOWN.sub("", rest))
    road, rest = (found["name"], found.string[found.end() :]) if found else (None, rest)
    found = _NUMBER.match(rest) if road else _NUMBER.search(rest)
    number = found["number"] if found else None
    return Address(full, Script.HAN, province, city, district, road, number)


def _province(full: str) -> tuple[str | None, str]:
    found = _PROVINCE.match(full)
    return (found["name"], full[found.end() :]) if found else (None, full)


def _city_name(found: re.Match[str]) -> str:
    return found["name"] if found["suffix"] == "市" else found["name"] + found["suffix"]


def _latin(plain: str) -> Address | Problem:
    words = [_STREETS.get(word, word) for word in _LATIN_WORDS.findall(fold(plain))]
    if not words:
        return _NOTHING
    full = " ".join(words)
    number = next((word for word in words if _STREET_NUMBER.fullmatch(word)), None)
    road = " ".join(word for word in words if word != number) or None
    script = Script.LATIN if full.isascii() else Script.OTHER
    return Address(full, script, None, None, None, road, number)


def normalise_place(text: str) -> Place | Problem:
    """Return the name of one place: 北京市 and 北京 are equal, as are `York` and `york`.

    Problems: `empty`, `too_long`, `unreadable`, `not_an_address`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    if not _HAN.search(plain):
        words = _LATIN_WORDS.findall(fold(plain))
        return Place(" ".join(words)) if words else _NOTHING
    name = without_spaces(plain)
    province, rest = _province(name)
    if province is not None and not rest:
        return Place(province)
    short = name.rstrip("市")
    return Place(short if len(short) > 1 and _HAN.search(short) else name)


def normalise_street_number(text: str) -> Place | Problem:
    """Return a house number: `No. 12-A` is `12a`.

    Problems: `empty`, `too_long`, `unreadable`, `not_an_address`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    number = "".join(_LATIN_WORDS.findall(fold(plain))).rstrip("号")
    bare = _NUMBER_SIGN.sub("", number)
    return Place(bare) if bare else _NOTHING
