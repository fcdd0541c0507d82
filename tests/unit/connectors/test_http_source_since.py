"""The cursor of an HTTP API: what is sent is never later than what was read."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http_declaration import Sent, SinceSpec
from connectors.sources.http_since import SECOND, Cursor

HERE = Sent("since")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
TIMES = st.integers(366 * 86_400 * SECOND, 7_258_118_400 * SECOND).map(
    lambda after: EPOCH + dt.timedelta(microseconds=after)
)
ZONED = {"iso": None, "epoch_s": None, "epoch_ms": None, "plain": "Asia/Shanghai"}


def cursor(form: Any, overlap: int = 0, zone: str | None = None) -> Cursor:
    return Cursor(SinceSpec(HERE, form, None, zone), overlap)


def as_time(form: str, sent: str) -> dt.datetime:
    """What an API makes of what is sent."""
    if form.startswith("epoch"):
        unit = 1000 if form == "epoch_ms" else 1
        return dt.datetime.fromtimestamp(int(sent) / unit, dt.UTC)
    time = dt.datetime.fromisoformat(sent)
    return time if time.tzinfo else time.replace(tzinfo=ZoneInfo("Asia/Shanghai"))


@given(TIMES, st.sampled_from([*ZONED, "date"]), st.integers(0, 10**6))
def test_what_is_sent_is_never_later_than_what_was_read(
    time: dt.datetime, form: str, overlap: int
) -> None:
    """Since 1: in every format, less the overlap and at least a second; a day at the most more."""
    one = cursor(form, overlap, ZONED.get(form, "Asia/Shanghai"))
    read = one.read(time.isoformat())
    assert read is not None
    sent = one.sent(read)
    assert sent is not None
    ahead = time - as_time(form, sent)
    assert ahead >= dt.timedelta(seconds=max(overlap, 1))
    most = dt.timedelta(days=1) if form == "date" else dt.timedelta(seconds=1)
    assert ahead < dt.timedelta(seconds=max(overlap, 1)) + most
    assert one.floor(read) <= one.read(sent if form != "date" else f"{sent}T00:00")  # type: ignore[operator]


@given(TIMES, TIMES, st.sampled_from(list(ZONED)))
def test_later_times_are_greater(one: dt.datetime, other: dt.datetime, form: str) -> None:
    """The order of cursors is that of times."""
    reader = cursor(form, 0, ZONED[form])
    first, second = reader.read(one.isoformat()), reader.read(other.isoformat())
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)


@pytest.mark.parametrize(
    ("form", "zone", "text", "sent"),
    [
        ("iso", None, "2026-03-01T08:00:01.999Z", "2026-03-01T08:00:00Z"),
        ("iso", None, "2026-03-01T16:00:01+08:00", "2026-03-01T08:00:00Z"),
        ("iso", "Asia/Shanghai", "2026-03-01 16:00:01", "2026-03-01T08:00:00Z"),
        ("plain", None, "2026-03-01 08:00:01", "2026-03-01 08:00:00"),
        ("plain", "Asia/Shanghai", "2026-03-01T08:00:01Z", "2026-03-01 16:00:00"),
        ("date", None, "2026-03-01 00:00:00", "2026-02-28"),
        ("epoch_s", None, "1772352001.5", "1772352000"),
        ("epoch_s", None, "2026-03-01T08:00:01Z", "1772352000"),
        ("epoch_ms", None, "1772352001000", "1772352000000"),
        ("number", None, "18", "17"),
        ("number", None, "-18", "-19"),
    ],
)
def test_each_format_is_written_as_the_api_wants_it(
    form: str, zone: str | None, text: str, sent: str
) -> None:
    """Whatever form the rows have."""
    one = cursor(form, 0, zone)
    assert one.sent(one.read(text)) == sent


@pytest.mark.parametrize(
    ("form", "zone", "text"),
    [
        ("iso", None, "2026-03-01 08:00:00"),  # in which zone?
        ("epoch_s", None, "2026-03-01 08:00:00"),
        ("plain", None, "2026-03-01T08:00:00Z"),
        ("iso", None, "1772352001"),  # seconds or milliseconds?
        ("plain", "Asia/Shanghai", "1772352001"),
        ("number", None, "18.5"),
        ("number", None, "2026-03-01T08:00:00Z"),
        ("epoch_s", None, "99999999999999999"),
        ("iso", None, "yesterday"),
        ("iso", None, ""),
    ],
)
def test_what_cannot_be_sent_back_is_no_cursor(form: str, zone: str | None, text: str) -> None:
    """Since 2: a wrong zone or unit would leave out hours."""
    assert cursor(form, 0, zone).read(text) is None


def test_the_present_is_never_short() -> None:
    """Since 3: where no zone is known it is that of the furthest east, so nothing is cut off."""
    assert cursor("iso").present(1_000.9) == 1_000 * SECOND
    assert cursor("plain").present(0) == 14 * 3600 * SECOND
    assert cursor("plain", 0, "Asia/Shanghai").present(0) == 0


def test_before_anything_was_read_the_declared_beginning_is_sent() -> None:
    """As it stands; without one, nothing."""
    assert Cursor(SinceSpec(HERE, "iso", "2020-01-01"), 0).sent(None) == "2020-01-01"
    assert cursor("iso").sent(None) is None


def test_a_moment_is_told_where_the_zone_is_known() -> None:
    """For how old the newest row is; a number is no time."""
    read = cursor("iso").read("2026-03-01T08:00:00Z")
    assert cursor("iso").moment(read) == dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
    for form in ("plain", "number"):
        assert cursor(form).moment(read) is None
    assert cursor("iso").moment(None) is None
