"""What an audit line can hold, and what it refuses."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cdp.audit.errors import DetailRefused, EventNotRecordable
from cdp.audit.event import (
    DETAIL_LIMIT,
    DIGIT_LIMIT,
    RUN_LIMIT,
    AuditEvent,
    line,
    parse,
    screen,
    utc_text,
)
from connectors.record import Sensitive

PHONE = "13912345678"
NOON = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
REVEAL = {
    "actor": "manager.bj01",
    "role": "manager",
    "action": "profile.reveal",
    "purpose": "service",
    "decision": "allow",
    "reason": "reveal_with_reason",
    "policy_version": "2026-01",
    "at": NOON,
    "profile_id": "p_8k3jd0",
    "fields": ("phone", "email"),
    "detail": "客人来电询问订单 CS-2093",
    "request_id": "550e8400-e29b-41d4-a716-446655440000",
}


def event(**parts) -> AuditEvent:
    return AuditEvent(**{**REVEAL, **parts})


def test_a_line_is_canonical():
    """1, 2: A line is sorted JSON without spaces, with its version, in UTC to the microsecond."""
    assert line(event()) == (
        '{"action":"profile.reveal","actor":"manager.bj01","at":"2026-01-31T12:00:00.000005Z",'
        '"decision":"allow","detail":"客人来电询问订单 CS-2093","fields":["phone","email"],'
        '"policy_version":"2026-01","profile_id":"p_8k3jd0","purpose":"service",'
        '"reason":"reveal_with_reason","request_id":"550e8400-e29b-41d4-a716-446655440000",'
        '"role":"manager","v":1}'
    )


def test_equal_moments_give_equal_lines():
    """1: The same moment in two time zones gives one line."""
    beijing = NOON.astimezone(timezone(timedelta(hours=8)))
    assert line(event(at=beijing)) == line(event())
    assert event(at=beijing) == event()


@settings(max_examples=100, deadline=None)
@given(
    at=st.datetimes(timezones=st.timezones(), min_value=datetime(1970, 1, 2)),  # noqa: DTZ001
    detail=st.none() | st.text(max_size=DETAIL_LIMIT),
    fields=st.lists(st.sampled_from(["phone", "email", "name"])).map(tuple),
    decision=st.sampled_from(["allow", "deny"]),
)
def test_a_line_gives_back_its_event(at, detail, fields, decision):
    """1: Writing and reading a line loses nothing."""
    try:
        made = event(at=at, detail=detail, fields=fields, decision=decision)
    except DetailRefused:
        assume(False)  # noqa: FBT003 - hypothesis's own word for "not this one"
    assert parse(line(made)) == made
    assert line(parse(line(made))) == line(made)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", "[" * 100_000, '{"v":2}', '{"v":1,"at":5}', '{"v":1,"at":"x"}', PHONE],
    ids=range(9),
)
def test_what_is_not_a_line_is_refused_without_showing_it(text):
    """2, 7: A text that is no line of a known version is refused, and the error is silent."""
    with pytest.raises(EventNotRecordable) as caught:
        parse(text)
    assert PHONE not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_line_says_what_to_do_next():
    """A newer line wants a newer Kith; anything else is looked into."""
    with pytest.raises(EventNotRecordable) as caught:
        parse('{"v":2}')
    assert "unknown_line_version" in str(caught.value)
    assert "read this log with a newer Kith" in str(caught.value)
    with pytest.raises(EventNotRecordable) as caught:
        parse("{}")
    assert "not_an_audit_line" in str(caught.value)
    assert "run cdp audit verify to see where the log was altered" in str(caught.value)


def test_a_part_that_a_line_does_not_have_is_refused():
    """2: A line with a part more or less is not of this version."""
    content = json.loads(line(event()))
    with pytest.raises(EventNotRecordable):
        parse(json.dumps({**content, "phone": "x"}))
    del content["actor"]
    with pytest.raises(EventNotRecordable):
        parse(json.dumps(content))


@pytest.mark.parametrize("at", [datetime(2026, 1, 31), "2026-01-31T12:00:00Z", None])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused(at):
    """3: An event says when, and in which time zone."""
    with pytest.raises(EventNotRecordable, match="time zone"):
        event(at=at)


@pytest.mark.parametrize("part", [name for name in REVEAL if name != "at"])
@pytest.mark.parametrize(
    "wrap",
    [Sensitive, lambda v: (Sensitive(v),), lambda v: {v: v}],
    ids=["bare", "tuple", "mapping"],
)
def test_a_sensitive_value_is_refused_and_not_shown(part, wrap):
    """4, 7: A wrapped value is refused in every part, and the error names the part alone."""
    with pytest.raises(EventNotRecordable) as caught:
        event(**{part: wrap(PHONE)})
    assert part in str(caught.value)
    assert PHONE not in str(caught.value)


@pytest.mark.parametrize(
    "part", ["actor", "role", "action", "purpose", "reason", "profile_id", "request_id"]
)
@pytest.mark.parametrize(
    "value",
    [
        PHONE,
        "ada@example.com",
        "张三",
        "Ada Example",
        "139-1234-5678",
        "11010519491231002X",
        "",
        "a\n",
    ],
)
def test_codes_and_ids_have_no_room_for_a_person(part, value):
    """5, 7: A name, an address or a number does not fit where a code or an id belongs."""
    with pytest.raises(EventNotRecordable) as caught:
        event(**{part: value})
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("fields", ("phone", PHONE)),
        ("fields", ["phone"]),
        ("policy_version", "张三"),
        ("decision", "maybe"),
        ("reason", "call_13912345678"),
    ],
)
def test_the_other_parts_have_no_room_either(part, value):
    """5: Field classes are codes, a version is a version, a decision is allow or deny."""
    with pytest.raises(EventNotRecordable):
        event(**{part: value})


@pytest.mark.parametrize(
    "value", ["p_8k3jd0", "0" * 32, "550e8400-e29b-41d4-a716-446655440000", "k7"]
)
def test_ids_that_the_platform_makes_are_accepted(value):
    """5: A digest or a UUID is an id even where all its characters are digits."""
    assert event(profile_id=value, request_id=value).profile_id == value


@pytest.mark.parametrize(
    "detail",
    [
        "回电 13912345678",
        "回电 +86 139-1234-5678",
        "１３９１２３４５６７８",
        "١٣٩١٢٣٤٥٦٧٨",
        "一三九一二三四五六七八",
        "壹叁玖 1234 五六七八",
        "1/3/9/1/2/3/4",
        "139。。。。。。。。1234",
        "①③⑨①②③④",
        "1a3a9b1c2d3e4f5g6h7i8",
        "ID 11010519491231002X",
        "born 1990-01-31",
        "mail ada@example.com",
        "mail ada＠example.com",
        "mail ada (at) example.com",
        "mail ada[AT]example.com",
        "two\nlines",
        "zero\u200bwidth",
        "\ud800",
        "   ",
        "",
        "x" * (DETAIL_LIMIT + 1),
    ],
)
def test_a_reason_carries_no_personal_number(detail):
    """6, 7: What looks like a phone, an ID number, a birth date or an e-mail is refused."""
    with pytest.raises(DetailRefused) as caught:
        event(detail=detail)
    assert not detail.strip() or detail not in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "detail",
    [
        "客人来电询问订单",
        "ticket INC-209311",
        "2 items of order 31, 40% off",
        "第一次来店 3 天",
        "x",
    ],
)
def test_an_ordinary_reason_is_accepted(detail):
    """6: A ticket and a sentence are what a reason is."""
    assert event(detail=detail).detail == detail


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.from_regex(r"1[3-9]\d{9}", fullmatch=True))
@example("", "", PHONE)
def test_no_phone_number_gets_through(before, after, phone):
    """6: A mobile number is refused whatever stands around or between its digits."""
    assert len(phone) > DIGIT_LIMIT > RUN_LIMIT
    with pytest.raises(DetailRefused):
        screen(before + phone + after)
    with pytest.raises(DetailRefused):
        screen(before.join(phone)[:DETAIL_LIMIT] if len(before) < 10 else phone)


def test_the_limits_of_a_reason_are_exact():
    """5: As long, and with as many digits, as it may be; one more is refused."""
    letters = "x" * (DETAIL_LIMIT - 1)
    screen(letters + "x")
    with pytest.raises(DetailRefused, match="detail_length") as caught:
        screen(letters + "xx")
    assert caught.value.where == {"part": "detail"}
    digits = " a ".join("1" * DIGIT_LIMIT)
    screen(digits)
    with pytest.raises(DetailRefused, match="detail_like_personal_number"):
        screen(digits + " a 1")


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Lima", "UTC"])
def test_a_line_is_in_utc_wherever_the_clock_is(monkeypatch, zone):
    """3: The machine's own time zone changes no line."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        text = utc_text(datetime(2026, 1, 31, 16, tzinfo=timezone(timedelta(hours=8))))
        assert text == "2026-01-31T08:00:00.000000Z"
    finally:
        monkeypatch.undo()
        time.tzset()
