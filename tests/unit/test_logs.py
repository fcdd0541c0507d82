"""Our own log: what a line can hold."""

import errno
import io
import json
import os

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp import logs
from cdp.logs import KEYS, WITHHELD, strip
from connectors.record import Sensitive

CANARY = "canary-龘-13957149163"
GOOD = {
    "at": "cdp/workspace.py:88",
    "changes": 3,
    "error": "sqlalchemy.exc.OperationalError",
    "job": "sync",
    "method": "GET",
    "milliseconds": 1.5,
    "outcome": "broken_off",
    "principal": "clerk.bj01",
    "reference": "0a1b2c3d",
    "rejected": 2,
    "request_id": "0f7c8c1e5c2f4a0f9a53f6c5d1a4b7e2",
    "route": "/v1/profiles/{profile_id}",
    "rows": 12,
    "rule": "file_missing",
    "source": "pos_1",
    "status": 200,
}
BAD = [CANARY, "13957149163", "zq.71@example.com", "clerk 13957149163", "\n", "", b"x", ["GET"]]


def raised():
    """An error with a canary in its text and in the locals of its frame."""
    held = CANARY
    try:
        return int(held)
    except ValueError as error:
        return error


@pytest.fixture
def written():
    """What a configured log writes, and its configuration as it was before."""
    before = structlog.get_config()
    out = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(file=out),
    )
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.configure(**before)


def test_what_is_known_to_be_harmless_is_written(written):
    """Invariant 1: every key of the list is kept when it has the form of that key."""
    assert set(GOOD) == set(KEYS)
    logs.get_logger("kith.test").info("request", **GOOD)
    assert written() == [{"event": "request", **GOOD}]


def test_a_key_that_is_not_listed_is_left_out(written):
    """Invariant 1: neither an unknown key nor its value is written, only how many there were."""
    logs.get_logger("kith.test").info("request", status=1, phone=CANARY, **{CANARY: 1})
    assert written() == [{"event": "request", "status": 1, "withheld": 2}]


@pytest.mark.parametrize(
    "value", [*BAD, Sensitive(CANARY), [Sensitive(CANARY)], RuntimeError(CANARY)]
)
@pytest.mark.parametrize("key", KEYS)
def test_a_value_of_another_form_is_withheld(key, value):
    """Invariant 2: under no key can a text, a number of a person or a Sensitive be written."""
    assert strip({key: value}) == {key: WITHHELD}


def test_no_principal_is_a_principal():
    """A request without a valid key has no principal, and the log says so."""
    assert strip({"principal": None}) == {"principal": None}


@pytest.mark.parametrize(
    "event",
    [CANARY, "no such phone 13957149163", "Request", "a" * 49, "", "x1", None, RuntimeError()],
)
def test_an_event_is_a_fixed_word(written, event):
    """Invariant 3: a sentence put together from values is no event."""
    logs.get_logger("kith.test").info(event, status=1)
    assert written() == [{"event": WITHHELD, "status": 1}]


def test_an_error_is_told_by_type_and_place(written):
    """Invariant 4: of an error handed over, the text, the locals and the cause are not written."""
    logs.get_logger("kith.test").error("unexpected_error", exc_info=raised())
    (line,) = written()
    assert (line["event"], line["error"]) == ("unexpected_error", "ValueError")
    assert line["at"].startswith("tests/unit/test_logs.py:")
    assert len(line["reference"]) == 8
    assert "canary" not in json.dumps(line)


def test_what_is_no_error_is_not_taken_for_one(written):
    """Invariant 4: exc_info as True or as a tuple, as other loggers take it, says nothing."""
    for wrong in (True, (ValueError, ValueError(CANARY), None), CANARY):
        logs.get_logger("kith.test").error("unexpected_error", exc_info=wrong)
    assert written() == [{"event": "unexpected_error"}] * 3


def test_values_bound_beforehand_are_stripped_too(written):
    """Invariant 5: a logger that carries values along carries only harmless ones."""
    bound = logs.get_logger("kith.test").bind(status=7, phone=CANARY, principal=CANARY)
    bound.info("request", method="GET")
    assert written() == [
        {"event": "request", "status": 7, "withheld": 1, "principal": WITHHELD, "method": "GET"}
    ]


def test_a_log_that_nobody_configured_strips_as_well(capsys):
    """Invariant 5: with structlog as it is delivered, no value comes out either."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        logs.get_logger("kith.test").error("failed", phone=CANARY, exc_info=raised())
    finally:
        structlog.configure(**before)
    said = capsys.readouterr()
    assert "failed" in said.out + said.err
    assert "canary" not in said.out + said.err


@settings(max_examples=200)
@given(st.dictionaries(st.one_of(st.sampled_from(sorted(KEYS)), st.text(max_size=8)), st.text()))
def test_no_text_with_a_long_number_is_ever_kept(event):
    """Invariants 1 and 2: whatever is logged, a kept text holds no number of six digits or more.

    References and request ids, which we draw ourselves, may.
    """
    kept = strip({name: f"{text}139571" for name, text in event.items()})
    for name, value in kept.items():
        assert value == WITHHELD or name in {"withheld", "at", "error", "reference", "request_id"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_a_line_that_cannot_be_written_stops_nobody(number):
    """Invariant 6: neither a full disk nor a reader that went away ends the work."""

    class Full(io.StringIO):
        def write(self, text):  # noqa: ARG002 - as a stream has it
            raise OSError(number, os.strerror(number))

    before = structlog.get_config()
    logs.write_to(Full())
    try:
        logs.get_logger("kith.test").info("request", status=1)
    finally:
        structlog.configure(**before)
