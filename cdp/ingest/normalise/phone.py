"""Phone numbers: one E.164 form, and whether a number can stand for a person.

Invariants:

1. The fast path for clean Chinese mobiles equals the full path.
2. A number with an extension on a mobile is a privacy number: it never counts as a person's.
3. A masked number has no canonical form.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumberType

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import EMPTY, MASKED, SHEET, SPREADSHEET_NUMBER, tidy
from identity.catalogue import shipped

LIMIT = 64  # characters; the longest real cell has a label, a country code and an extension

_LETTERS = Problem("not_a_number", "map a column that holds phone numbers only")
_INVALID = Problem("invalid", "correct the number at the source, or set its country")
_TOO_SHORT = Problem("too_short", "write the whole number")
_TOO_MANY = Problem("too_many_digits", "split the cell: it seems to hold more than one number")
_NO_AREA = Problem("no_area_code", "write the landline with its area code")


class PhoneKind(StrEnum):
    """What a number reaches."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    PRIVACY = "privacy"
    OTHER = "other"


@dataclass(frozen=True, slots=True, repr=False)
class Phone(Canonical):
    """A phone number.

    `placeholder` marks a number typed to get past a form: it must never join two records.
    """

    e164: str
    kind: PhoneKind
    extension: str | None
    placeholder: bool

    @property
    def canonical(self) -> str:
        """E.164, and the extension in the spelling of RFC 3966."""
        return self.e164 if self.extension is None else f"{self.e164};ext={self.extension}"


_CN_MOBILE = re.compile(r"1[3-9][0-9]{9}")
# The spellings that nearly all cells have, read without any further step.
_CN_USUAL = re.compile(r"(?:(?:\+|00)?86[- ]?)?(1[3-9][0-9])[- ]?([0-9]{4})[- ]?([0-9]{4})")
_LABEL = re.compile(
    r"^(?:联系(?:电话|方式|号码)|收件人?(?:电话|手机)|手机(?:号码?)?|电话(?:号码?)?|座机|固话|移动电话"
    r"|tel(?:ephone)?|phone|mobile|mob|cell|fax)(?: ?(?:no|number))?[.:： ]*",
    re.IGNORECASE,
)
_MASK = re.compile(r"[*●•○✱×]|[0-9]\s?x{2,}", re.IGNORECASE)
# A word or sign for "extension", then up to six digits at the end. A bare dash counts only
# behind a complete mobile, because dashes also group digits.
_EXTENSION = re.compile(
    r"^(?P<number>.*[0-9][^0-9]*?)"
    r"(?:转接?|分机号?|;? ?ext(?:ension|n)?[.=]?|[x#,;])[: ]*(?P<extension>[0-9]{1,6})$",
    re.IGNORECASE,
)
_MOBILE_EXTENSION = re.compile(
    r"^(?P<number>(?:(?:\+|00)?86[- ]?)?1[3-9](?:[- .]?[0-9]){9})"
    r" ?(?:-|_|\[|\() ?(?P<extension>[0-9]{1,6})[\])]?$"
)
_LANDLINE_EXTENSION = re.compile(
    r"^(?P<number>(?:(?:\+|00)?86[- ]?)?\(?0[0-9]{2,3}\)?[- ][0-9]{7,8})"
    r"[-_](?P<extension>[0-9]{1,6})$"
)
_NOISE = re.compile(r"[-\s().\[\]/_–—‐‑‒−~·]|\(0\)")
_EDGES = "。,、;:!'\"` "  # slips of the finger, and the mark that makes a cell text
_SENTENCE_MARKS = " .,;:。，、；："  # typed behind a number by habit
_DIGITS = re.compile(r"\+?[0-9]+")


def is_placeholder(digits: str) -> bool:
    """Say whether national `digits` were typed to fill a field.

    One digit repeated; the last eight digits one digit (13800000000, 13888888888) or a count
    up or down; a count from the first digit on (12345678900). Some such numbers are sold as
    lucky numbers: losing a link is the smaller error. The catalogue lists the single ones.
    """
    return shipped()["phone"].blocked.blocks(digits)


def normalise_phone(text: str, region: str = "CN") -> Phone | Problem:
    """Return the number in `text`, read as written in `region` (ISO 3166 alpha-2).

    One number a cell: the caller splits lists. Every Chinese mobile shape (1, then 3 to 9,
    then nine digits) is accepted, assigned or not, because operators open new ranges faster
    than tables follow. Raises `ValueError` for an unknown region.
    Problems: `empty`, `too_long`, `unreadable`, `masked`, `spreadsheet_number`,
    `not_a_number`, `too_short`, `too_many_digits`, `no_area_code`, `invalid`.
    """
    if region == "CN" and (found := _CN_USUAL.fullmatch(text)) is not None:
        national = "".join(found.groups())
        return Phone("+86" + national, PhoneKind.MOBILE, None, is_placeholder(national))
    return read_phone(text, region)


def is_country(code: str) -> bool:
    """Whether phones of that country can be read (ISO 3166 alpha-2)."""
    return code in phonenumbers.SUPPORTED_REGIONS


def read_phone(text: str, region: str) -> Phone | Problem:
    """Take the full path of `normalise_phone`, for any spelling and any country."""
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    if _MASK.search(plain):
        return MASKED
    if SPREADSHEET_NUMBER.fullmatch(plain):
        return SHEET
    number, extension = _split_extension(_LABEL.sub("", plain).strip(_EDGES))
    digits = _NOISE.sub("", number)
    if not _DIGITS.fullmatch(digits):
        return _LETTERS
    return _judge(digits, extension, region)


def _split_extension(text: str) -> tuple[str, str | None]:
    for pattern in (_MOBILE_EXTENSION, _LANDLINE_EXTENSION, _EXTENSION):
        found = pattern.match(text)
        if found:
            return found["number"], found["extension"]
    return text, None


def _judge(digits: str, extension: str | None, region: str) -> Phone | Problem:
    country = str(phonenumbers.country_code_for_region(region))
    if country == "0":
        raise ValueError("region must be an ISO 3166 alpha-2 code, such as CN")
    national = _national(digits, country)
    if len(national) < 5:
        return _TOO_SHORT if national.strip("0") else EMPTY
    if len(national) > 15:
        return _TOO_MANY
    home = not digits.startswith("+") or digits.startswith(("+86", "+0086"))
    if country == "86" and home and _CN_MOBILE.fullmatch(national):
        return _phone(national, country, PhoneKind.MOBILE, extension)
    answer = _parse(digits, extension, region)
    if isinstance(answer, Phone) or not is_placeholder(national):
        return answer
    # A filler that no numbering plan knows is kept, so that the caller can flag it.
    e164 = f"+{country}{national}" if home else digits
    return Phone(e164, PhoneKind.OTHER, extension, placeholder=True)


def _national(digits: str, country: str) -> str:
    """Drop the international prefix of `country`, and the trunk zero before a mobile."""
    for prefix in (f"+{country}", f"00{country}", f"+00{country}"):
        if digits.startswith(prefix):
            digits = digits.removeprefix(prefix)
            break
    if country == "86" and len(digits) in {13, 14} and digits.startswith("86"):
        digits = digits.removeprefix("86")
    if country == "86" and len(digits) == 12 and digits.startswith("01"):
        digits = digits.removeprefix("0")
    return digits.removeprefix("+")


def _parse(digits: str, extension: str | None, region: str) -> Phone | Problem:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return _INVALID
    national = phonenumbers.national_significant_number(number)
    country = str(number.country_code)
    if country == "86" and _CN_MOBILE.fullmatch(national):
        return _phone(national, country, PhoneKind.MOBILE, extension)
    if not phonenumbers.is_valid_number(number):
        local = country == "86" and len(national) in {7, 8} and not digits.startswith(("+", "00"))
        return _NO_AREA if local else _INVALID
    kind = _KINDS.get(phonenumbers.number_type(number), PhoneKind.OTHER)
    return _phone(national, country, kind, extension)


# A plan that does not tell mobiles from landlines (North America) counts as mobile: what
# matters is that the number may be one person's.
_KINDS = {
    PhoneNumberType.MOBILE: PhoneKind.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: PhoneKind.MOBILE,
    PhoneNumberType.FIXED_LINE: PhoneKind.LANDLINE,
}


def _phone(national: str, country: str, kind: PhoneKind, extension: str | None) -> Phone:
    if extension is not None and kind is PhoneKind.MOBILE:
        kind = PhoneKind.PRIVACY
    return Phone(f"+{country}{national}", kind, extension, is_placeholder(national))
