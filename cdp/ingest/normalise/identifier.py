"""Identifiers that a system gave to a person: trimmed, and never a filler value.

Invariants:

1. A blocked value (`null`, `test`, all zeros, one character repeated) is no identifier.
2. Case is kept where the issuing system tells upper from lower case.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, SHEET, SPREADSHEET_NUMBER, tidy

LIMIT = 256  # characters of the raw text, before white space goes

BLOCKED = Problem("blocked", "clear the filler value at the source")
_SHAPE = Problem("invalid", "check that the mapping names the right column")


class IdentifierKind(StrEnum):
    """The identity field that an identifier belongs to."""

    OPENID = "openid"
    UNIONID = "unionid"
    EXTERNAL_USERID = "external_userid"
    BUYER_ID = "buyer_id"
    LOYALTY_CARD = "loyalty_card"
    TAX_NUMBER = "tax_number"
    BANK_CARD = "bank_card"
    POSTCODE = "postcode"


@dataclass(frozen=True, slots=True, repr=False)
class Identifier(Canonical):
    """One identifier. Its scope (app, corp, shop) is the caller's business."""

    value: str
    kind: IdentifierKind

    @property
    def canonical(self) -> str:
        """The value itself."""
        return self.value


# Lengths are generous: openid and unionid have 28 characters, an external_userid 32; a bank
# card 12 to 19 digits (ISO/IEC 7812-1), a Chinese taxpayer number 15 to 20.
_OPAQUE = re.compile(r"[!-)+-~]{4,128}")
_SHAPES = {
    IdentifierKind.OPENID: _OPAQUE,
    IdentifierKind.UNIONID: _OPAQUE,
    IdentifierKind.EXTERNAL_USERID: _OPAQUE,
    IdentifierKind.BUYER_ID: re.compile(r"[^\s*]{2,128}"),
    IdentifierKind.LOYALTY_CARD: re.compile(r"[0-9A-Z]{2,40}"),
    IdentifierKind.TAX_NUMBER: re.compile(r"[0-9A-Z]{6,20}"),
    IdentifierKind.BANK_CARD: re.compile(r"[0-9]{12,19}"),
    IdentifierKind.POSTCODE: re.compile(r"[0-9A-Z]{3,10}"),
}
_CASED = frozenset(
    {
        IdentifierKind.OPENID,
        IdentifierKind.UNIONID,
        IdentifierKind.EXTERNAL_USERID,
        IdentifierKind.BUYER_ID,
    }
)
_SEPARATORS = re.compile(r"[-–—_./ ]")
_FLOAT_TAIL = re.compile(r"(?<=[0-9])\.0$")
_BLOCKED_WORDS = frozenset(
    {
        "null", "none", "nil", "nan", "na", "n/a", "undefined", "unknown", "test", "testing",
        "test1", "test123", "tester", "demo", "example", "sample", "default", "empty", "false",
        "true", "anonymous", "guest", "admin", "todo", "tbd", "abc", "abcd", "abc123", "asdf",
        "qwerty", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789",
        "1234567890", "测试", "无", "空", "暂无", "没有", "未知", "[object object]",
    }
)  # fmt: skip


def normalise_identifier(text: str, kind: IdentifierKind) -> Identifier | Problem:
    """Return the identifier of `kind` in `text`.

    Platform ids keep their case and spelling; cards, tax numbers and postcodes lose separators
    and go to upper case. Problems: `empty`, `blocked`, `masked`, `invalid`,
    `spreadsheet_number`, `too_long`, `unreadable`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return BLOCKED if plain.rule == "empty" and text.strip() else plain
    if kind not in _CASED:
        if SPREADSHEET_NUMBER.fullmatch(plain):
            return SHEET
        plain = _SEPARATORS.sub("", _FLOAT_TAIL.sub("", plain)).upper()
    return _judge(plain, kind)


def _judge(value: str, kind: IdentifierKind) -> Identifier | Problem:
    if value.casefold() in _BLOCKED_WORDS or value == "0" or _is_repeated(value):
        return BLOCKED
    if "*" in value:
        return MASKED
    if _SHAPES[kind].fullmatch(value) is None:
        return _SHAPE
    return Identifier(value, kind)


def _is_repeated(value: str) -> bool:
    """All zeros, or one character over and over."""
    return value == value[:1] * len(value) and (len(value) > 1 or value == "0")
