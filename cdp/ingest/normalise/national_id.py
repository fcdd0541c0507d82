"""Chinese resident identity numbers after GB 11643-1999.

Eighteen characters: six for the place, eight for the birthday, three for the order (odd for
men, even for women), one check character (ISO 7064 MOD 11-2). The older fifteen digits lack
the century and the check character.

Invariants:

1. A number whose check character does not fit is a problem.
2. Cards of Hong Kong, Macau, Taiwan and other countries are never read as resident numbers.
"""

import datetime as dt
import re
from dataclasses import dataclass
from operator import mul

from cdp.ingest.normalise.provinces import PROVINCE_CODES
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, SHEET, SPREADSHEET_NUMBER, tidy
from identity.catalogue import shipped

LIMIT = 64  # characters

_SHAPE = Problem("unknown_shape", "leave it: only mainland resident numbers are read")
_CHECKSUM = Problem("checksum", "correct the number at the source: its check character is wrong")
_REGION = Problem("unknown_region", "correct the number at the source: no province has that code")
_BIRTH = Problem("impossible_date", "correct the number at the source: it holds no real birthday")
_BLOCKED = Problem("blocked", "clear the filler value at the source")


@dataclass(frozen=True, slots=True, repr=False)
class NationalId(Canonical):
    """A resident number of 18 characters, and what it says.

    `region` is the province code (two digits), `sex` is `male` or `female`.
    """

    value: str
    birth: dt.date
    sex: str
    region: str

    @property
    def canonical(self) -> str:
        """The 18 characters."""
        return self.value


_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # 2**(17-i) mod 11
_CHECKS = "10X98765432"
_NEW = re.compile(r"[0-9]{17}[0-9X]")
_OLD = re.compile(r"[0-9]{15}")
_SEPARATORS = re.compile(r"[-–— .]")
_LABEL = re.compile(r"^(?:居民)?身份证(?:号码?)?[::]?|^id[::]", re.IGNORECASE)
# Orders that GB 11643-1989 kept for people of a hundred years and more.
_CENTENARIANS = frozenset({"996", "997", "998", "999"})


def check_character(first17: str) -> str:
    """Return the check character of 17 digits, by ISO 7064 MOD 11-2."""
    total = sum(map(mul, map(int, first17), _WEIGHTS))
    return _CHECKS[total % 11]


def normalise_national_id(text: str, *, today: dt.date) -> NationalId | Problem:
    """Return the resident number in `text`; fifteen digits become eighteen.

    Problems: `empty`, `too_long`, `unreadable`, `masked`, `spreadsheet_number`, `blocked`,
    `unknown_shape`, `unknown_region`, `impossible_date` (also one after `today`), `checksum`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    plain = _LABEL.sub("", plain).upper()
    if "*" in plain:
        return MASKED
    if SPREADSHEET_NUMBER.fullmatch(plain):
        return SHEET
    value = _SEPARATORS.sub("", plain)
    if shipped()["national_id"].blocked.blocks(value):
        return _BLOCKED
    if _OLD.fullmatch(value):
        century = "18" if value[12:] in _CENTENARIANS else "19"
        value = value[:6] + century + value[6:]
        value += check_character(value)
    return _judge(value, today) if _NEW.fullmatch(value) else _SHAPE


def _judge(value: str, today: dt.date) -> NationalId | Problem:
    if value[:2] not in PROVINCE_CODES:
        return _REGION
    try:
        birth = dt.date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return _BIRTH
    if birth > today or birth.year < 1800:
        return _BIRTH
    if value[17] != check_character(value[:17]):
        return _CHECKSUM
    return NationalId(value, birth, "male" if int(value[16]) % 2 else "female", value[:2])
