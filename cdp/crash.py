"""What may be told of a crash: a number to refer to it by, the kind of error, and the place.

Invariants, each named by a test in ``tests/unit/test_crash.py`` or
``tests/journeys/test_crashes.py``:

1. No text of an error, no local variable and no line of source is told: each may hold a
   value. An error that is not ours is told by its type alone.
2. Every way in which Python prints a traceback by itself is taken: the main thread, other
   threads, finalisers, warnings, and loggers that nobody configured. A crash of the
   interpreter shows files and lines (faulthandler), which hold no values either.
3. The same fault at the same place has the same number, in every process and every run.
"""

import errno
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Final, TextIO

NEXT_STEP: Final = "report this number and place, without data, as docs/SECURITY.md says"
_ROOT: Final = Path(__file__).resolve().parents[1]
_OURS: Final = tuple(_ROOT / name for name in ("api", "cdp", "connectors", "identity", "policies"))
_AGAIN: Final = 0.01  # seconds
_DEEPEST: Final = 8  # errors behind an error
_NOWHERE: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Crash:
    """An error that nobody foresaw, without anything it says.

    Attributes:
        reference: eight hexadecimal digits, the same for the same fault at the same place.
        error: the error's type, then the types of those behind it.
        place: file and line of the innermost frame of ours, such as ``cdp/workspace.py:88``.
        frames: every frame from the outermost in, as file, line and function.
    """

    reference: str
    error: tuple[str, ...]
    place: str
    frames: tuple[str, ...]

    def __str__(self) -> str:
        """One sentence: number, kind, place and next step."""
        return (
            f"unforeseen {self.error[0]} at {self.place}, number {self.reference}; "
            f"next: {NEXT_STEP}"
        )


def of(error: BaseException) -> Crash:
    """Return what may be told of an error."""
    kinds = tuple(_kind(one) for one in _behind(error))
    frames = tuple(_frames(error.__traceback__))
    place = place_of(error)
    # Not a line number: the same fault keeps its number when a comment is added above it.
    said = "|".join((*kinds, *(frame.rsplit(" ", 1)[-1] for frame in frames), place.split(":")[0]))
    return Crash(f"{zlib.crc32(said.encode()):08x}", kinds, place, frames)


def place_of(error: BaseException) -> str:
    """Return the file and line of the innermost frame of ours; of any frame if none is."""
    place, ours = _NOWHERE, False
    traceback = error.__traceback__
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        inside = any(path.is_relative_to(folder) for folder in _OURS)
        if inside or not ours:
            place, ours = f"{_short(path)}:{traceback.tb_lineno}", inside
        traceback = traceback.tb_next
    return place


def as_json(crash: Crash) -> str:
    """Return the whole report as one line of JSON."""
    return json.dumps(
        {
            "event": "crash",
            "reference": crash.reference,
            "error": crash.error,
            "at": crash.place,
            "frames": crash.frames,
            "next": NEXT_STEP,
        }
    )


def put(line: str, stream: TextIO) -> None:
    """Write a line whole: ``print`` writes its end apart, and another thread between them."""
    stream.write(f"{line}\n")
    stream.flush()


def _kind(error: BaseException) -> str:
    """The type of an error, and the code of one of the operating system's."""
    kind = type(error)
    known = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"{known}[{code}]" if code else known


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error, then each that it came from."""
    one: BaseException | None = error
    for _ in range(_DEEPEST):
        if one is None:
            return
        yield one
        if isinstance(one, BaseExceptionGroup):
            one = one.exceptions[0]
        else:
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield f"{_short(Path(code.co_filename))}:{traceback.tb_lineno} {code.co_qualname}"
        traceback = traceback.tb_next


def _short(path: PurePath) -> str:
    """The end of a path that says which module it is, and nothing of the machine."""
    if path.is_relative_to(_ROOT) and "site-packages" not in path.parts:
        return path.relative_to(_ROOT).as_posix()
    parts = path.parts
    if "site-packages" in parts:
        start = len(parts) - parts[::-1].index("site-packages")
        return PurePath(*parts[start:]).as_posix()
    return PurePath(*parts[-2:]).as_posix().lstrip("/")


# --- where Python would speak by itself


def take_over(tell: Callable[[Crash], None], stream: TextIO | None = None) -> None:
    """Take every place where Python or a library would print an error by itself.

    Args:
        tell: gets the crash of the main thread, of another thread or of a finaliser.
        stream: where lines about other people's log records go; None: standard error.
    """
    take_over_the_hooks(tell)
    if not faulthandler.is_enabled():
        faulthandler.enable()
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a failing handler would print the record with its arguments
    root = logging.getLogger()  # noqa: TID251 - no logger of ours: where all others end
    for handler in list(root.handlers):
        if isinstance(handler, Foreign):
            root.removeHandler(handler)
    root.addHandler(Foreign(stream))


def take_over_the_hooks(tell: Callable[[Crash], None]) -> None:
    """Take the three hooks; libraries put their own back, so this may be called again."""

    def of_main(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            tell(of(error))

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
            tell(of(arguments.exc_value))

    def of_finaliser(arguments: "sys.UnraisableHookArgs") -> None:
        if isinstance(arguments.exc_value, KeyboardInterrupt):
            # ^C that came while something was being cleared away would be lost, and the command
            # go on to its end: it is sent once more, when this hook has returned.
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        elif arguments.exc_value is not None:
            tell(of(arguments.exc_value))

    sys.excepthook = of_main
    threading.excepthook = of_thread
    sys.unraisablehook = of_finaliser


class Foreign(logging.Handler):
    """Log records of other people's code, as lines of JSON without their text.

    A message may quote a statement, a row or a header. What is kept says who complained,
    where in the code, and of what type and code the error was.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(logging.WARNING)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        said = record.exc_info[1] if record.exc_info else record.msg
        line = {
            "event": "foreign",
            "level": record.levelname.lower(),
            "logger": record.name,
            "at": f"{_short(Path(record.pathname))}:{record.lineno}",
        }
        if isinstance(said, BaseException):
            line["error"] = _kind(said)
        put(json.dumps(line), self._stream or sys.stderr)
