"""Our own log: lines of JSON that can hold no value of a person.

Invariants, each named by a test in ``tests/unit/test_logs.py``:

1. A key that is not in ``KEYS`` is left out, whatever it holds; the line says how many were.
2. A value that has not the form of its key, and every ``Sensitive``, becomes ``<withheld>``.
3. An event is a fixed word: a sentence, which may have been put together from values, is
   ``<withheld>``.
4. An error handed over (``exc_info``) is told by its type and place, never by its text.
5. All this holds however structlog is configured, and for values bound beforehand.
6. A line that cannot be written (a full disk, a reader that went away) stops nobody's work.
"""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, Self, TextIO, cast

import structlog

from cdp import crash

WITHHELD: Final = "<withheld>"
Form = Callable[[object], bool]


def _text(pattern: str) -> Form:
    known = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and known.fullmatch(value) is not None


def _number(value: object) -> bool:
    return isinstance(value, int | float)


_EVENT: Final = _text(r"[a-z][a-z_]{0,47}")
_PLACE: Final = _text(r"[\w<>./-]{1,200}:\d{1,6}|unknown")
# A principal's id is chosen by the retailer; one that looks like a number of a person is none.
_PRINCIPAL: Final = _text(r"(?!.*[0-9]{6})[A-Za-z0-9_.-]{1,64}")
KEYS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "at": _PLACE,
        "changes": _number,
        "error": _text(r"[A-Za-z_][\w.]{0,120}(?:\[[A-Z0-9]{2,20}\])?"),
        "job": _text(r"sync|resolve"),
        "method": _text(r"[A-Z]{1,16}|\?"),
        "milliseconds": _number,
        "outcome": _text(r"[a-z_]{1,20}"),
        "principal": lambda value: value is None or _PRINCIPAL(value),
        "reference": _text(r"[0-9a-f]{8}"),
        "rejected": _number,
        "request_id": _text(r"[0-9a-f]{32}"),
        "route": _text(r"none|(?!.*[0-9]{6})/[a-z0-9_/{}-]{0,100}"),
        "rows": _number,
        "rule": _text(r"(?!.*[0-9]{6})[a-z][a-z0-9_]{0,63}"),
        "source": _text(r"(?!.*[0-9]{6})[a-z][a-z0-9_]{0,62}"),
        "status": _number,
    }
)
"""What a line may hold, and the form of each."""


def strip(event: Mapping[str, object]) -> dict[str, object]:
    """Return of these keys and values what a log may hold."""
    kept: dict[str, object] = {
        key: value if KEYS[key](value) else WITHHELD for key, value in event.items() if key in KEYS
    }
    left_out = len(event) - len(kept)
    return {**kept, "withheld": left_out} if left_out else kept


class Log(structlog.BoundLoggerBase):
    """A logger that strips what it is given before any processor sees it."""

    def info(self, event: str, **known: object) -> None:
        """Write what happened."""
        self._write("info", event, known)

    def warning(self, event: str, **known: object) -> None:
        """Write what somebody has to look at."""
        self._write("warning", event, known)

    def error(self, event: str, **known: object) -> None:
        """Write what went wrong; ``exc_info`` takes the error itself."""
        self._write("error", event, known)

    def bind(self, **known: object) -> Self:
        """Return the same logger with more to say in every line."""
        return super().bind(**strip(known))

    def _write(self, level: str, event: str, known: dict[str, Any]) -> None:
        failed = known.pop("exc_info", None)
        if isinstance(failed, BaseException):
            found = crash.of(failed)
            told = {"error": found.error[0], "at": found.place, "reference": found.reference}
            known = {**known, **told}
        with suppress(OSError):
            self._proxy_to_logger(level, event if _EVENT(event) else WITHHELD, **strip(known))


def get_logger(name: str) -> Log:
    """Return a logger; it looks up the configuration when it first writes."""
    made = structlog.wrap_logger(None, wrapper_class=Log, logger_factory_args=(name,))
    return cast("Log", made)


def configure(stream: TextIO | None = None) -> None:
    """Write lines of JSON to ``stream`` (None: standard error), and let nobody else speak."""
    out = stream or sys.stderr
    write_to(stream)
    crash.take_over(lambda found: crash.put(crash.as_json(found), out), out)


def write_to(stream: TextIO | None) -> None:
    """Write lines of JSON to ``stream`` (None: what is standard error when a line is written).

    Crashes are told by whoever tells them now.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_: structlog.WriteLogger(stream or sys.stderr),
    )
