"""The identifier a person gave at the counter, made comparable.

Invariants, each named by a test in ``tests/unit/access/test_identifiers.py``:

1. Only a full identifier is read: a masked, cut or filler one is refused.
2. The answer is the form that ingest indexed: the same normalisers make both.
3. A refusal never holds what was typed.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from cdp.ingest.normalise.email import Email, normalise_email
from cdp.ingest.normalise.identifier import IdentifierKind, normalise_identifier
from cdp.ingest.normalise.national_id import normalise_national_id
from cdp.ingest.normalise.phone import Phone, PhoneKind, normalise_phone
from cdp.ingest.normalise.result import Canonical, Problem
from cdp.vault.blind import INDEXED_FIELDS
from connectors.record import Sensitive

REASON: Final = "look a person up by a full identifier"

_FILLER: Final = Problem("filler", "ask for another identifier: this one names nobody")
_PRIVACY: Final = Problem("privacy_number", "ask for the person's own number: this one is lent")
_OTHER: Final = Problem("not_an_identifier", "look the person up by a full identifier")
_KINDS: Final[Mapping[str, IdentifierKind]] = {
    kind.value: kind for kind in IdentifierKind if kind.value in INDEXED_FIELDS
}


def canonical(field: str, raw: Sensitive, today: dt.date) -> Sensitive | Problem:
    """Return the canonical form of a full identifier, or why it is none.

    Args:
        field: an identity field.
        raw: as typed.
        today: no ID number is from the future.
    """
    read = _read(field, raw.reveal(reason=REASON), today)
    return read if isinstance(read, Problem) else Sensitive(read.canonical)


def _read(field: str, text: str, today: dt.date) -> Canonical | Problem:
    if field == "phone":
        return _phone(normalise_phone(text))
    if field == "email":
        return _email(normalise_email(text))
    if field == "national_id":
        return normalise_national_id(text, today=today)
    if field in _KINDS:
        return normalise_identifier(text, _KINDS[field])
    return _OTHER


def _phone(found: Phone | Problem) -> Phone | Problem:
    if isinstance(found, Problem):
        return found
    if found.placeholder:
        return _FILLER
    return _PRIVACY if found.kind is PhoneKind.PRIVACY else found


def _email(found: Email | Problem) -> Email | Problem:
    return _FILLER if isinstance(found, Email) and found.placeholder else found
