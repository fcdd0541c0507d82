"""Identifiers that a system gave to a person: trimmed, and never a filler value.

What each looks like and which values stand for nobody is said in `identity/identifiers.yaml`.

Invariants:

1. A blocked value (`null`, `test`, all zeros, one character repeated) is no identifier.
2. Case is kept where the issuing system tells upper from lower case.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, SHEET, SPREADSHEET_NUMBER, tidy
from identity.catalogue import Blocked, Form, shipped

LIMIT = 256  # characters of the raw text, before white space goes

BLOCKED = Problem("blocked", "clear the filler value at the source")
_SHAPE = Problem("invalid", "check that the mapping names the right column")


class IdentifierKind(StrEnum):
    """The identity field that an identifier belongs to, of those that ship."""

    OPENID = "openid"
    OFFICIAL_OPENID = "official_openid"
    UNIONID = "unionid"
    EXTERNAL_USERID = "external_userid"
    BUYER_ID = "buyer_id"
    OUID = "ouid"
    OMID = "omid"
    OAID = "oaid"
    DOUYIN_OPENID = "douyin_openid"
    LOYALTY_CARD = "loyalty_card"
    DEVICE_ID = "device_id"
    ANONYMOUS_ID = "anonymous_id"
    TAX_NUMBER = "tax_number"
    BANK_CARD = "bank_card"
    POSTCODE = "postcode"  # not in the catalogue: it names a place


@dataclass(frozen=True, slots=True, repr=False)
class Identifier(Canonical):
    """One identifier. Its scope (app, corp, shop) is the caller's business."""

    value: str
    kind: str

    @property
    def canonical(self) -> str:
        """The value itself."""
        return self.value


_POSTCODE = Form("letters_and_digits", 3, 10)
_CHARACTERS = {
    "visible": r"[^\s*]",
    "ascii": "[!-)+-~]",
    "letters_and_digits": "[0-9A-Z]",
    "digits": "[0-9]",
}
_AS_SPELLED = frozenset({"visible", "ascii"})
_SEPARATORS = re.compile(r"[-–—_./ ]")
_FLOAT_TAIL = re.compile(r"(?<=[0-9])\.0$")


def normalise_identifier(text: str, kind: IdentifierKind) -> Identifier | Problem:
    """Return the identifier of `kind`, one that ships, in `text`; see `read_identifier`."""
    if kind is IdentifierKind.POSTCODE:
        return read_identifier(text, kind, _POSTCODE, shipped().fillers)
    known = shipped()[kind]
    return read_identifier(text, kind, known.form, known.blocked)


def read_identifier(text: str, kind: str, form: Form, blocked: Blocked) -> Identifier | Problem:
    """Return the identifier in `text`.

    Platform ids keep their case and spelling; cards, tax numbers and postcodes lose separators
    and go to upper case. Problems: `empty`, `blocked`, `masked`, `invalid`,
    `spreadsheet_number`, `too_long`, `unreadable`.
    """
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return BLOCKED if plain.rule == "empty" and text.strip() else plain
    if form.characters not in _AS_SPELLED:
        if SPREADSHEET_NUMBER.fullmatch(plain):
            return SHEET
        plain = _SEPARATORS.sub("", _FLOAT_TAIL.sub("", plain)).upper()
    if blocked.blocks(plain):
        return BLOCKED
    if "*" in plain:
        return MASKED
    return Identifier(plain, kind) if _shape(form).fullmatch(plain) else _SHAPE


@cache
def _shape(form: Form) -> re.Pattern[str]:
    return re.compile(f"{_CHARACTERS[form.characters]}{{{form.shortest},{form.longest}}}")
