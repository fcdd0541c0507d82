"""Processes that crash at any place say a number, a place and a next step, and no value.

Each test runs a process of its own through the product's own entry, with a fault put in:
its error, the locals of its frames and its lines of source hold canaries. Everything that
was printed and every file that was left behind is searched.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cdp import crash
from tests.journeys import marks
from tests.journeys.commands import Shell

pytestmark = pytest.mark.journey

CANARY = "canary 龘鱻明 13957149163 zq.marked.71@example.com"
NEEDLES = marks.needles(["龘鱻明", "13957149163", "zq.marked.71@example.com", "canary 龘"])
FAULT = """
import sys

def fault(*arguments, **named):
    phone, row = "13957149163", {"name": "龘鱻明", "email": "zq.marked.71@example.com"}
    raise ERROR  # canary 龘鱻明 13957149163

PLACE
from cdp.cli import main
sys.argv = ["cdp", "source", "sync"]
main()
"""
ERRORS = {
    "of the language": f"KeyError({CANARY!r})",
    "of the system": f"OSError(28, {CANARY!r})",
    "of the system, without a number": f"OSError({CANARY!r})",
    "of the database": (
        "__import__('sqlalchemy').exc.OperationalError("
        f"{CANARY!r}, {{'phone': {CANARY!r}}}, Exception({CANARY!r}))"
    ),
    "of a library": f"__import__('sqlalchemy').exc.StatementError({CANARY!r}, 'x', {{}}, None)",
    "a group": f"ExceptionGroup({CANARY!r}, [ValueError({CANARY!r})])",
    "not even an Exception": f"type('Odd', (BaseException,), {{}})({CANARY!r})",
}
PLACES = {
    "importing a command": (
        "import types; m = types.ModuleType('cdp.cli.source'); m.__getattr__ = fault\n"
        "sys.modules['cdp.cli.source'] = m"
    ),
    "reading settings": "import cdp.cli.session as s; s.Settings.from_environment = fault",
    "opening the workspace": "import cdp.cli.session as s; s.open_workspace = fault",
}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A terminal in an empty folder."""
    return Shell(tmp_path, None, tmp_path / "home")


def run(shell: Shell, error: str, place: str) -> tuple[int, str]:
    """Run ``cdp source sync`` with a fault in it; no canary is printed or left behind."""
    # Not below the folder that is searched: the script itself holds the canaries.
    program = shell.folder.parent / f"{shell.folder.name}.py"
    program.write_text(FAULT.replace("ERROR", error).replace("PLACE", place), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=shell.folder,
        env=shell.environment() | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    heap = {"stdout": done.stdout, "stderr": done.stderr, **marks.files(shell.folder)}
    assert marks.search(heap, NEEDLES) == []
    assert b"Traceback" not in done.stderr
    assert not done.stdout
    return done.returncode, " ".join(done.stderr.decode().split())


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_anywhere_says_number_place_and_next_step(shell: Shell, place: str) -> None:
    """Crash 1: wherever it happens, one sentence of ours and exit code 1."""
    code, words = run(shell, ERRORS["of the language"], PLACES[place])
    assert code == 1
    assert re.search(r"number [0-9a-f]{8}, error KeyError, place [\w/]+\.py:\d+", words)
    assert crash.NEXT_STEP in words


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_any_kind_says_nothing_of_its_own(shell: Shell, error: str) -> None:
    """Crash 1: errors of the language, the system and libraries lose their text alike."""
    code, words = run(shell, ERRORS[error], PLACES["opening the workspace"])
    assert code == 1
    assert "next:" in words
    if error == "of the system":
        assert "No space left on device" in words  # the system's words for its number


def test_what_python_would_print_by_itself_says_nothing(shell: Shell) -> None:
    """Crash 2: threads, finalisers, exit functions, warnings and loggers of others."""
    place = f"""
import atexit, logging, threading, warnings

class Last:
    __del__ = fault

def aside(*arguments, **named):
    thread = threading.Thread(target=fault)
    thread.start()
    thread.join()
    Last()
    warnings.warn({CANARY!r})
    logging.getLogger("asyncio").error("failed: %s", {CANARY!r}, exc_info=KeyError({CANARY!r}))
    logging.getLogger("sqlalchemy.pool").critical({CANARY!r})
    atexit.register(fault)
    fault()

import cdp.cli.session as s; s.open_workspace = aside
"""
    code, words = run(shell, ERRORS["of the language"], place)
    assert code == 1
    assert words.count("unforeseen KeyError at") >= 2
    assert words.count('"event": "foreign"') >= 2
    assert words.count("refused or failed:") == 1


def test_a_crash_of_the_interpreter_shows_places_alone(shell: Shell) -> None:
    """Crash 2: after a segmentation fault the files and lines are there, and no values."""
    place = """
import ctypes
import cdp.cli.session as s

def aside(*arguments, **named):
    phone = "13957149163"  # canary 龘鱻明
    ctypes.string_at(0)

s.open_workspace = aside
"""
    code, words = run(shell, "KeyError()", place)
    assert code < 0
    assert "Segmentation fault" in words
    assert "in aside" in words


def test_the_search_would_find_a_traceback(shell: Shell) -> None:
    """The test can fail: the same fault outside our entry prints what is looked for."""
    with pytest.raises(AssertionError, match="mark 0 as text"):
        run(shell, ERRORS["of the language"], "fault()")
