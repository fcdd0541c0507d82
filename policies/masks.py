"""Masks: pure functions from a value to what may be shown of it.

Guarantees:

1. Fails closed: a shape that a mask does not know becomes ``***``. So do empty, blank,
   overlong and malformed values, and every value under an unknown mask.
2. The hidden part has no influence: two values of one shape that differ only in what is
   hidden have the same mask, down to its length.
3. Masking twice is masking once.
4. A mask cuts between whole letters only: what carries combining marks, joiners, marks of
   direction, variation selectors or surrogates after composition is an unknown shape.
5. At least ``residual_guesses`` values share each masked form.
6. With ``width``, everything shown has that many characters: not even the length of the
   part that is shown, such as a surname of two characters, can be told from outside.

Full-width letters and digits count as their plain forms (Unicode NFKC). docs/MASKS.md says
how much each mask shows and what the standards ask for.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import Final

# Forms are stored with it: raise it whenever some value gets another masked form than before.
VERSION: Final = 1
HIDDEN: Final = "***"
_STARS: Final = "****"
_LONGEST: Final = 200  # characters; whatever is longer is no value of a known shape


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask.

    Attributes:
        apply: from the normalised value to the shown text, None for an unknown shape.
        residual_guesses: the least number of values behind one masked form that shows
            a part of the value. None when no part is ever shown.
    """

    apply: Callable[[str], str | None]
    residual_guesses: int | None


def mask(kind: str, text: str, *, width: int | None = None) -> str:
    """Return ``text`` under the mask named ``kind``; whatever is not understood is ``***``.

    Args:
        kind: a key of ``MASKS``.
        text: the value, raw or masked already.
        width: the exact number of characters to return, filled up with spaces at the end;
            a masked form that is longer shows nothing. None: as long as the form is.

    Raises:
        ValueError: ``width`` has no room for ``***``.
    """
    shown = masker(kind)(text)
    if width is None:
        return shown
    if width < len(HIDDEN):
        raise ValueError("a width has room for at least the three stars")
    return (shown if len(shown) <= width else HIDDEN).ljust(width)


def masker(kind: str) -> Callable[[str], str]:
    """Return the mask named ``kind`` as a function of the value, for many values; see `mask`."""
    found = MASKS.get(kind)
    return partial(_shown, _whole if found is None else found.apply)


def _shown(apply: Callable[[str], str | None], text: str) -> str:
    """Return what a mask shows, behind what every mask asks of a value first (invariant 1)."""
    if len(text) > _LONGEST:
        return HIDDEN
    text = (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()
    return (apply(text) or HIDDEN) if len(text) <= _LONGEST else HIDDEN


def _whole(_text: str) -> None:
    """Show nothing."""


# --- telephone numbers

_MOBILE: Final = re.compile(r"(?:(?:\+|00)?86)?(1[3-9][0-9])[0-9]{4}([0-9]{4})")
_LANDLINE: Final = re.compile(
    r"(?:(?:\+|00)86)?0?(?P<area>10|2[0-9]|[3-9][0-9]{2})[2-9][0-9]{4,5}(?P<end>[0-9]{2})"
)
_FOREIGN: Final = re.compile(r"(?:\+|00)(?P<digits>[1-9][0-9]{8,14})")
_SEPARATORS: Final = re.compile(r"[\s().-]")
_MASKED_PHONE: Final = re.compile(
    r"1[3-9][0-9]\*{4}[0-9]{4}|0(?:10|2[0-9]|[3-9][0-9]{2})\*{4}[0-9]{2}"
    r"|\+[1-9][0-9]{0,2}\*{4}(?:[0-9]{2}){1,2}"
)
# Country codes of one and of two digits; every other one has three (ITU-T E.164, annex D).
_ONE_DIGIT: Final = frozenset("17")
_LISTED_TWO_DIGITS: Final = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 "
    "64 65 66 81 82 84 86 90 91 92 93 94 95 98"
)
_TWO_DIGITS: Final = frozenset(_LISTED_TWO_DIGITS.split())
_SHORTEST_NATIONAL: Final = 8  # digits after the country code
# Plans of eight digits leave whole first digits unused: with four digits shown, fewer than
# ten thousand numbers in use could be meant. Such numbers show two.
_SHORTEST_WITH_FOUR: Final = 9


def _phone(text: str) -> str | None:
    """Mainland mobile 138****8000, landline 010****78, other countries +44****0123, +852****67."""
    digits = text if text.isdecimal() else _SEPARATORS.sub("", text)
    if _MASKED_PHONE.fullmatch(digits):
        return digits
    mobile = _MOBILE.fullmatch(digits)
    if mobile:
        return f"{mobile[1]}{_STARS}{mobile[2]}"
    landline = _LANDLINE.fullmatch(digits) if digits.startswith(("0", "+86")) else None
    if landline:
        return _masked_landline(digits, landline)
    foreign = _FOREIGN.fullmatch(digits)
    return _masked_foreign(foreign["digits"]) if foreign else None


def _masked_landline(digits: str, parts: re.Match[str]) -> str | None:
    """Area codes of two digits go with eight digits, longer ones with seven or eight."""
    local = len(digits) - parts.end("area")
    if len(parts["area"]) == 2 and local != 8:
        return None
    return f"0{parts['area']}{_STARS}{parts['end']}"


def _masked_foreign(digits: str) -> str | None:
    if digits.startswith("86"):
        return None  # a mainland number that fits neither shape above
    width = 1 if digits[0] in _ONE_DIGIT else 2 if digits[:2] in _TWO_DIGITS else 3
    national = digits[width:]
    if len(national) < _SHORTEST_NATIONAL:
        return None
    end = national[-4:] if len(national) >= _SHORTEST_WITH_FOUR else national[-2:]
    return f"+{digits[:width]}{_STARS}{end}"


# --- names

# Surnames of two characters in use today; any other surname is taken as its first character.
_LISTED_COMPOUND: Final = (
    "欧阳 歐陽 司马 司馬 上官 诸葛 諸葛 司徒 东方 東方 皇甫 尉迟 尉遲 公孙 公孫 慕容 令狐 "
    "夏侯 宇文 长孙 長孫 司空 端木 独孤 獨孤 南宫 南宮 申屠 轩辕 軒轅 钟离 鍾離 百里 东郭 東郭 "
    "呼延 拓跋 淳于 太史 公冶 濮阳 濮陽 单于 單于 万俟 闻人 聞人 澹台 澹臺 赫连 赫連 西门 西門 "
    "鲜于 鮮于 完颜 完顏 纳兰 納蘭 耶律 东门 東門 闾丘 閭丘 左丘 漆雕 亓官 羊舌 颛孙 顓孫 司寇 "
    "公羊 公西 公良 仲孙 仲孫 太叔 宰父 夹谷 夾谷 巫马 巫馬 壤驷 壤駟 哥舒 第五"
)
_COMPOUND: Final = frozenset(_LISTED_COMPOUND.split())
_HAN: Final = "[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]"
_HAN_NAME: Final = re.compile(f"{_HAN}{{2,6}}")
_HAN_DOTTED: Final = re.compile(f"({_HAN}){_HAN}*(?:[·•・]{_HAN}+){{1,4}}")
_HAN_MASKED: Final = re.compile(rf"({_HAN}{{1,2}})\*{{1,5}}")
_LATIN_WORD: Final = re.compile(r"(?P<initial>[^\W\d_])(?:[^\W\d_]|['’.-])*")
_LATIN_MASKED: Final = re.compile(r"[^\W\d_]?\*{3}")
_MOST_WORDS: Final = 5


def _name(text: str) -> str | None:
    """Surname and two stars for Han names, initials and three stars for Latin ones."""
    if _HAN_NAME.fullmatch(text):
        keep = 2 if len(text) > 2 and text[:2] in _COMPOUND else 1
        return f"{text[:keep]}**"
    masked = _HAN_MASKED.fullmatch(text)
    if masked:
        surname = masked[1]
        return f"{surname if surname in _COMPOUND else surname[0]}**"
    dotted = _HAN_DOTTED.fullmatch(text)
    return f"{dotted[1]}**" if dotted else _latin_name(text)


def _latin_name(text: str) -> str | None:
    words = text.split()
    if not 0 < len(words) <= _MOST_WORDS:
        return None
    shown = [_latin_word(word) for word in words]
    return " ".join(word for word in shown if word) if all(shown) else None


def _latin_word(word: str) -> str | None:
    letters = [char for char in word if char.isalpha()]
    if any(not unicodedata.name(char, "").startswith("LATIN ") for char in letters):
        return None
    if _LATIN_MASKED.fullmatch(word):
        return word
    found = _LATIN_WORD.fullmatch(word)
    if found is None:
        return None
    return f"{found['initial']}{HIDDEN}" if len(letters) > 1 else HIDDEN


# --- numbers on cards

_NATIONAL_ID: Final = re.compile(r"([1-9][0-9])[0-9]{15}([0-9Xx])")
_NATIONAL_ID_MASKED: Final = re.compile(r"[1-9][0-9]\*{4}[0-9X]")
_BANK_CARD: Final = re.compile(r"[0-9]{8,15}([0-9]{4})")
_BANK_CARD_MASKED: Final = re.compile(r"\*{4}[0-9]{4}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{4,124}([A-Za-z0-9_-]{4})")
_IDENTIFIER_MASKED: Final = re.compile(r"\*{4}[A-Za-z0-9_-]{4}")


def _national_id(text: str) -> str | None:
    """Province and check character of an 18-character number (GB 11643): 11****X."""
    if _NATIONAL_ID_MASKED.fullmatch(text):
        return text
    found = _NATIONAL_ID.fullmatch(text)
    return f"{found[1]}{_STARS}{found[2].upper()}" if found else None


def _bank_card(text: str) -> str | None:
    """Last four of 12 to 19 digits (ISO/IEC 7812)."""
    digits = re.sub(r"[\s-]", "", text)
    if _BANK_CARD_MASKED.fullmatch(digits):
        return digits
    found = _BANK_CARD.fullmatch(digits)
    return f"{_STARS}{found[1]}" if found else None


def _last_four(text: str) -> str | None:
    """Last four of an identifier of at least eight characters."""
    if _IDENTIFIER_MASKED.fullmatch(text):
        return text
    found = _IDENTIFIER.fullmatch(text)
    return f"{_STARS}{found[1]}" if found else None


# --- e-mail

# A domain is shown only if it is shared by very many people; a small one names its owner.
_LISTED_PUBLIC_MAIL: Final = (
    "126.com 139.com 163.com 189.cn aliyun.com example.com example.net example.org foxmail.com "
    "gmail.com hotmail.com icloud.com live.com msn.com outlook.com qq.com sina.cn sina.com "
    "sohu.com tom.com vip.qq.com wo.cn yahoo.com yeah.net"
)
_PUBLIC_MAIL: Final = frozenset(_LISTED_PUBLIC_MAIL.split())
_LABEL: Final = r"(?:\*{3}|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)"
_EMAIL: Final = re.compile(
    r"(?P<local>[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64})"
    rf"@(?P<domain>(?:{_LABEL}\.){{1,8}}(?P<top>[a-z]{{2,24}}))"
)
_SHORTEST_LOCAL: Final = 3


def _email(text: str) -> str | None:
    """First character and domain: s***@example.com; less of short or private addresses."""
    found = _EMAIL.fullmatch(text.lower())
    if found is None:
        return None
    local, domain = found["local"], found["domain"]
    long_enough = len(local) >= _SHORTEST_LOCAL and local[0].isalnum()
    shown = domain if domain in _PUBLIC_MAIL else f"{HIDDEN}.{found['top']}"
    return f"{local[0] if long_enough else ''}{HIDDEN}@{shown}"


# --- places and dates

_MUNICIPALITY: Final = "(?:北京|天津|上海|重庆)市?"
_PROVINCE: Final = (
    "(?:(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南"
    "|四川|贵州|云南|陕西|甘肃|青海)省?"
    "|(?:内蒙古|广西壮族|西藏|宁夏回族|新疆维吾尔)自治区)"
)
# Cities of more than three characters, and prefectures of other kinds, are listed: a free
# stretch of text here could hold somebody's name.
_LISTED_CITIES: Final = (
    "呼和浩特市 鄂尔多斯市 呼伦贝尔市 乌兰察布市 巴彦淖尔市 齐齐哈尔市 乌鲁木齐市 克拉玛依市 "
    "兴安盟 锡林郭勒盟 阿拉善盟 大兴安岭地区 阿里地区 喀什地区 和田地区 阿克苏地区 塔城地区 "
    "阿勒泰地区 延边朝鲜族自治州 恩施土家族苗族自治州 湘西土家族苗族自治州 阿坝藏族羌族自治州 "
    "甘孜藏族自治州 凉山彝族自治州 黔东南苗族侗族自治州 黔南布依族苗族自治州 "
    "黔西南布依族苗族自治州 西双版纳傣族自治州 文山壮族苗族自治州 红河哈尼族彝族自治州 "
    "德宏傣族景颇族自治州 怒江傈僳族自治州 迪庆藏族自治州 大理白族自治州 楚雄彝族自治州 "
    "临夏回族自治州 甘南藏族自治州 海南藏族自治州 海北藏族自治州 海西蒙古族藏族自治州 "
    "黄南藏族自治州 果洛藏族自治州 玉树藏族自治州 伊犁哈萨克自治州 博尔塔拉蒙古自治州 "
    "昌吉回族自治州 巴音郭楞蒙古自治州 克孜勒苏柯尔克孜自治州"
)
_CITY: Final = "|".join(["[\u4e00-\u9fff]{2,3}?市", *_LISTED_CITIES.split()])
# At most three characters before the suffix; road, lane, building and estate words mean that
# this is no district. Longer names (autonomous counties) are an unknown shape.
_DISTRICT: Final = (
    "[\u4e00-\u9fff](?:(?![路街巷弄号楼栋幢室村省市])[\u4e00-\u9fff]){0,2}?"
    "(?:(?<![小社园校厂营库景片街])区|县|旗|市)"
)
_ADDRESS: Final = re.compile(f"((?:{_MUNICIPALITY}|{_PROVINCE}(?:{_CITY})){_DISTRICT}).*")
_DATES: Final = (
    re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
    re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日", re.ASCII),
)
_YEAR_MASKED: Final = re.compile(r"(?:19|20)[0-9]{2}-\*\*-\*\*")


def _district(text: str) -> str | None:
    """A mainland address down to its district: 北京市朝阳区***."""
    found = _ADDRESS.fullmatch(re.sub(r"\s", "", text))
    return f"{found[1]}{HIDDEN}" if found else None


def _birth_year(text: str) -> str | None:
    """The year of a date that starts with it: 1990-**-**."""
    if _YEAR_MASKED.fullmatch(text):
        return text
    for pattern in _DATES:
        found = pattern.fullmatch(text)
        if found:
            return _year_of(int(found[1]), int(found[2]), int(found[3]))
    return None


def _year_of(year: int, month: int, day: int) -> str | None:
    try:
        date(year, month, day)
    except ValueError:
        return None
    return f"{year}-**-**" if 1900 <= year <= 2099 else None


# --- things

_PLATE: Final = re.compile(
    "([京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Za-hj-np-z])"
    r"[·\s]?(?:[A-HJ-NP-Za-hj-np-z0-9]{5,6}|\*{4})"
)


def _plate(text: str) -> str | None:
    """Place of registration of a mainland number plate: 京A****."""
    found = _PLATE.fullmatch(text)
    return f"{found[1].upper()}{_STARS}" if found else None


_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP: Final = "(?:0|[1-9a-f][0-9a-f]{0,3})"
_IP_MASKED: Final = re.compile(rf"{_OCTET}\.{_OCTET}\.\*\.\*|{_GROUP}:{_GROUP}:\*")


def _ip(text: str) -> str | None:
    """The first half of an IPv4 address, the first 32 bits of an IPv6 one."""
    if _IP_MASKED.fullmatch(text):
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return ".".join([*address.exploded.split(".")[:2], "*", "*"])
    groups = address.exploded.split(":")[:2]
    return ":".join([*(group.lstrip("0") or "0" for group in groups), "*"])


MASKS: Final[Mapping[str, Mask]] = MappingProxyType(
    {
        "whole": Mask(_whole, None),
        # Whatever people type may hold a name, and no search for names finds every one: free
        # text is no shape, so nothing of it is shown.
        "free_text": Mask(_whole, None),
        "phone": Mask(_phone, 10_000),
        "name": Mask(_name, 8_105),  # given names of one character of the 2013 standard list
        "national_id": Mask(_national_id, 1_000_000),
        "bank_card": Mask(_bank_card, 10_000_000),
        "last_four": Mask(_last_four, 10_000),
        "email": Mask(_email, 1_296),  # two letters or digits after the first character
        "district": Mask(_district, 1_000),
        "birth_year": Mask(_birth_year, 365),
        "plate": Mask(_plate, 100_000),
        "ip": Mask(_ip, 65_536),
    }
)
