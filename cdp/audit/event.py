"""One audit event, and the one line of text that is stored, hashed and signed for it.

Invariants, each named by a test in ``tests/unit/audit/test_event.py``:

1. Equal events give equal lines: sorted keys, no spaces, UTC to the microsecond.
2. A line carries its version.
3. An event without a time zone is refused.
4. A ``Sensitive``, or anything else that is not plain text, is refused and not shown.
5. Every part but ``detail`` is a code, an id or a version: it has no room for a name,
   an e-mail address or a number of a person.
6. ``detail``, the only text a person types, is short and carries no run of digits as
   long as a phone, card or ID number, in whatever digits it is written, and no e-mail.
7. No error shows what it refuses.

What a screen cannot do: recognise a name in free text. The person who types is told.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, get_args

from cdp.audit.errors import DetailRefused, EventNotRecordable

LINE_VERSION: Final = 1
DETAIL_LIMIT: Final = 200
"""Characters of a typed reason."""
RUN_LIMIT: Final = 6
"""Digits in a row: a landline number without its area code has seven."""
DIGIT_LIMIT: Final = 10
"""Digits in all: a mobile number has eleven, whatever stands between them."""

Decision = Literal["allow", "deny"]

# A code starts with a letter and has no run of digits that could be a number of a person.
_CODE: Final = re.compile(r"(?!.*\d{7})[a-z][a-z0-9_.:-]{0,63}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}", re.ASCII)
# A whole id that is a phone, card or ID number; a UUID or a digest of digits is longer.
_PERSONAL_NUMBER: Final = re.compile(r"[._:-]*(?:\d[._:-]*){5,20}[Xx]?", re.ASCII)

_CODES: Final = ("role", "action", "purpose", "reason")
_IDS: Final = ("profile_id", "request_id")
_CHINESE_DIGITS: Final = frozenset("零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖")
_AT_SIGN: Final = re.compile(r"@|[(\[{]\s*at\s*[)\]}]", re.IGNORECASE)
_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
# Control, format, surrogate and private characters, line and paragraph separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What someone did, or was refused, with the data of a person.

    Raises:
        EventNotRecordable: a part is not of its shape; names the part, never its value.
        DetailRefused: what the person typed cannot be kept; says what to write instead.
    """

    actor: str  # principal id
    role: str
    action: str  # such as profile.read
    purpose: str
    decision: Decision
    reason: str  # code of the rule that decided
    policy_version: str
    at: datetime  # with a time zone; kept in UTC
    profile_id: str | None = None
    fields: tuple[str, ...] = ()  # field classes that were shown or asked for
    detail: str | None = None  # ticket or reason, typed by the actor
    request_id: str | None = None

    def __post_init__(self) -> None:
        for part in _CODES:
            _check_code(part, getattr(self, part))
        _check_id("actor", self.actor)
        _check("policy_version", self.policy_version, _VERSION)
        for part in _IDS:
            if getattr(self, part) is not None:
                _check_id(part, getattr(self, part))
        _check_decision(self.decision)
        _check_fields(self.fields)
        _check_time(self.at)
        # Python finds times of an hour that clocks repeat unequal across time zones.
        object.__setattr__(self, "at", self.at.astimezone(UTC))
        if self.detail is not None:
            screen(self.detail)


@lru_cache(maxsize=1024)
def _known_code(value: str) -> None:
    """Remember the few codes there are. What is refused is raised, so it is not remembered."""
    if _CODE.fullmatch(value) is None:
        raise ValueError


def _check_code(part: str, value: object) -> None:
    try:
        if type(value) is str:
            _known_code(value)
            return
    except ValueError:
        pass
    _check(part, value, _CODE)


def _check(part: str, value: object, shape: re.Pattern[str]) -> None:
    if type(value) is not str:
        raise EventNotRecordable("not_plain_text", "pass a code or an id, never a value", part=part)
    if shape.fullmatch(value) is None:
        raise EventNotRecordable("not_of_its_shape", "pass a code or an id", part=part)


def _check_id(part: str, value: object) -> None:
    _check(part, value, _ID)
    if _PERSONAL_NUMBER.fullmatch(str(value)):
        raise EventNotRecordable(
            "looks_like_a_personal_number", "pass the id that the platform made", part=part
        )


def _check_decision(value: object) -> None:
    if type(value) is not str or value not in get_args(Decision):
        raise EventNotRecordable("not_a_decision", "pass allow or deny", part="decision")


def _check_fields(value: object) -> None:
    if type(value) is not tuple:
        raise EventNotRecordable("not_a_tuple", "pass field classes as a tuple", part="fields")
    for name in value:
        _check_code("fields", name)


def _check_time(value: object) -> None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise EventNotRecordable("time_without_zone", "pass a datetime with a time zone", part="at")


def screen(detail: str) -> None:
    """Refuse a typed reason that is blank, too long or may carry personal data.

    Digits count in whatever script they are written, Chinese numerals in runs too;
    spaces and punctuation between digits do not end a run, letters do.

    Raises:
        DetailRefused: names the rule and what to write instead, never the text.
    """
    if type(detail) is not str:
        raise EventNotRecordable("not_plain_text", "pass what the person typed", part="detail")
    if not detail.strip() or len(detail) > DETAIL_LIMIT:
        raise DetailRefused(
            "detail_length", f"give a reason of 1 to {DETAIL_LIMIT} characters", part="detail"
        )
    if any(unicodedata.category(char) in _UNSEEN for char in detail):
        raise DetailRefused(
            "detail_unseen_character", "type the reason on one line of plain text", part="detail"
        )
    folded = unicodedata.normalize("NFKC", detail)
    if _AT_SIGN.search(folded):
        raise DetailRefused(
            "detail_like_email", "name the ticket, not the person's address", part="detail"
        )
    if max(_runs(folded), default=0) > RUN_LIMIT or _digits(folded) > DIGIT_LIMIT:
        raise DetailRefused(
            "detail_like_personal_number",
            f"write no phone, card, ID number or birth date; of a ticket number, "
            f"the last {RUN_LIMIT} digits are enough",
            part="detail",
        )


def _is_digit(char: str) -> bool:
    return unicodedata.digit(char, None) is not None


def _digits(text: str) -> int:
    return sum(map(_is_digit, text))


def _runs(text: str) -> Iterator[int]:
    """Yield the growing length of each run of digits; only letters end a run."""
    length = 0
    for char in text:
        if _is_digit(char) or char in _CHINESE_DIGITS:
            length += 1
            yield length
        elif char.isalpha():
            length = 0


def utc_text(at: datetime) -> str:
    """Return an aware time as UTC with six decimals, such as 2026-01-31T08:00:00.000000Z."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def line(event: AuditEvent) -> str:
    """Return the canonical line: JSON in the form of RFC 8785, UTF-8 when encoded."""
    content = {
        "v": LINE_VERSION,
        "actor": event.actor,
        "role": event.role,
        "action": event.action,
        "purpose": event.purpose,
        "decision": event.decision,
        "reason": event.reason,
        "policy_version": event.policy_version,
        "at": utc_text(event.at),
        "profile_id": event.profile_id,
        "fields": event.fields,
        "detail": event.detail,
        "request_id": event.request_id,
    }
    return _CANONICAL.encode(content)


def parse(text: str) -> AuditEvent:
    """Return the event of a stored line; ``line(parse(text)) == text``.

    Raises:
        EventNotRecordable: the text is not a line of a known version.
    """
    try:
        content = json.loads(text)
        if content.pop("v") != LINE_VERSION:
            raise EventNotRecordable("unknown_line_version", "read this log with a newer Kith")
        content["at"] = datetime.fromisoformat(content["at"])
        content["fields"] = tuple(content["fields"])
        return AuditEvent(**content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Without the cause: a decoding error holds the text it failed on.
        raise EventNotRecordable(
            "not_an_audit_line", "run cdp audit verify to see where the log was altered"
        ) from None
