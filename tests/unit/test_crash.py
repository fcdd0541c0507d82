"""What may be told of a crash."""

import io
import json
import logging
import sys
import threading
import warnings

import pytest

from cdp import crash
from cdp.errors import Stop
from policies.decision import Policy

CANARY = "canary-龘-13957149163"


class Hostile(Exception):  # noqa: N818 - named for what it does
    """An error that fails when it is asked for its text."""

    def __str__(self) -> str:
        raise RuntimeError(CANARY)

    __repr__ = __str__


def caught(error, depth=0):
    """The error, raised below a few frames that hold canaries in their locals."""
    held = [CANARY]
    try:
        if depth:
            raise caught(error, depth - 1) from Hostile(*held)
        raise error
    except type(error) as found:
        return found


def everything(found):
    return str(found) + repr(found) + crash.as_json(found)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        Hostile(CANARY),
        OSError(2, CANARY, CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
        ExceptionGroup(CANARY, [ValueError(CANARY), KeyError(CANARY)]),
        SyntaxError(CANARY, (CANARY, 1, 1, CANARY)),
        type("Odd", (Exception,), {"__module__": "somewhere"})(CANARY),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_text_of_an_error_is_told(error):
    """Invariant 1: neither the text of an error nor of one behind it, nor its notes or locals."""
    error.add_note(CANARY)
    found = crash.of(caught(error, depth=3))
    said = everything(found)
    assert "canary" not in said
    assert "13957149163" not in said
    assert type(error).__name__ in found.error[0]
    assert crash.NEXT_STEP in str(found)
    assert found.reference in str(found)


def test_a_crash_says_where():
    """The place is the innermost frame of ours, not of a library that we called."""
    with pytest.raises(AttributeError) as raised:
        Policy(None, None).scope(None, "read", "service")
    found = crash.of(raised.value)
    assert found.place.startswith("policies/")
    assert found.frames[0].startswith("tests/unit/test_crash.py:")
    assert found.frames[-1].startswith(found.place.split(":")[0])
    assert json.loads(crash.as_json(found))["at"] == found.place


def test_a_library_is_named_by_its_own_path():
    """Frames of others say which library, and nothing of the machine."""
    with pytest.raises(ValueError) as raised:
        json.loads("{")
    found = crash.of(raised.value)
    assert any(frame.startswith("json/decoder.py:") for frame in found.frames)
    assert not [frame for frame in found.frames if frame.startswith("/")]


def test_an_error_that_was_never_raised_has_no_place():
    """Without a traceback the place is unknown, and there is a number all the same."""
    found = crash.of(ValueError(CANARY))
    assert (found.place, found.frames, found.error) == ("unknown", (), ("ValueError",))


def test_the_same_fault_has_the_same_number():
    """Invariant 3: the number follows kind and place, and not what the error says."""
    numbers = {crash.of(caught(ValueError(text))).reference for text in (CANARY, "x", "")}
    assert len(numbers) == 1
    assert crash.of(caught(KeyError("x"))).reference not in numbers
    assert crash.of(caught(ValueError("x"), depth=1)).reference not in numbers
    assert crash.of(ValueError()).reference == "515d86f8"  # so in every process


def test_the_kind_of_an_error_of_the_system_is_told():
    """An error's number is a word of the system's, and says more than its type."""
    assert crash.of(OSError(13, CANARY)).error == ("PermissionError[EACCES]",)
    assert crash.of(OSError(CANARY)).error == ("OSError",)


def test_what_is_behind_an_error_ends():
    """An error that is its own cause ends the list, and so does one that hides its context."""
    endless = ValueError(CANARY)
    endless.__cause__ = endless
    assert len(crash.of(endless).error) == 8
    hiding = ValueError()
    hiding.__context__, hiding.__suppress_context__ = KeyError(CANARY), True
    assert crash.of(hiding).error == ("ValueError",)
    showing = ValueError()
    showing.__context__ = Stop("rule", "step")
    assert crash.of(showing).error == ("ValueError", "cdp.errors.Stop")


@pytest.fixture
def taken(monkeypatch):
    """Everything taken over, with what was told and written; put back afterwards."""
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    root = logging.getLogger()  # noqa: TID251 - where the records of others end
    handlers = list(root.handlers)
    told, out = [], io.StringIO()
    crash.take_over(told.append, out)
    yield told, out
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers


def test_every_hook_is_taken(taken):
    """Invariant 2: the main thread, other threads and finalisers tell a crash and no more."""
    told, _ = taken
    error = caught(ValueError(CANARY))
    sys.excepthook(ValueError, error, error.__traceback__)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, None, None)))
    threading.excepthook(threading.ExceptHookArgs((SystemExit, SystemExit(), None, None)))
    threading.excepthook(threading.ExceptHookArgs((ValueError, None, None, None)))
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    class Last:
        def __del__(self):
            raise KeyError(CANARY)

    Last()
    assert [one.error[0] for one in told] == ["ValueError", "ValueError", "KeyError"]
    assert not [one for one in told if "canary" in everything(one)]


def test_records_of_other_people_s_loggers_lose_their_text(taken, capsys):
    """Invariant 2: who complained, where and about what kind of error; never the message."""
    _, out = taken
    logger = logging.getLogger("somebody.else")  # noqa: TID251 - not ours
    error = caught(OSError(28, CANARY))
    logger.error("failed on %s", CANARY, exc_info=error)
    logger.error(error)  # as a web server does
    logger.warning("two %s and %s", CANARY)  # noqa: PLE1206 - its formatting would fail
    logger.info("quiet %s", CANARY)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Whoever captured them before may have left the function of another block behind.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(CANARY, stacklevel=1)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(one["event"], one["logger"], one["level"]) for one in lines] == [
        ("foreign", "somebody.else", "error"),
        ("foreign", "somebody.else", "error"),
        ("foreign", "somebody.else", "warning"),
        ("foreign", "py.warnings", "warning"),
    ]
    assert [one.get("error") for one in lines[:3]] == ["OSError[ENOSPC]", "OSError[ENOSPC]", None]
    assert lines[0]["at"].startswith("tests/unit/test_crash.py:")
    said = capsys.readouterr()
    assert "canary" not in out.getvalue() + said.out + said.err


def test_taking_over_twice_writes_each_line_once(taken):
    """Whoever configures the log again adds no second line."""
    _, out = taken
    crash.take_over(lambda _: None, out)
    logging.getLogger("somebody.else").error("x")  # noqa: TID251 - not ours
    assert len(out.getvalue().splitlines()) == 1
