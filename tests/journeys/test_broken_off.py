"""^C: a command says that it was broken off, keeps what was committed, and can be run again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdp.cli import BROKEN_OFF
from tests.journeys import tills
from tests.journeys.commands import Shell

pytestmark = [pytest.mark.integration, pytest.mark.journey]
ROWS = 6000
# ^C while something is cleared away is raised in a finaliser, where Python throws it away.
SWALLOWED = """
import signal
import time
import cdp.cli.session as session

class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def slow(*arguments, **named):
    last = Last()
    del last
    time.sleep(5)
    print("went on to its end")
    raise SystemExit(0)

session.open_workspace = slow
import sys
from cdp.cli import main
sys.argv = ["cdp", "source", "sync"]
main()
"""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Tests begun in the background hear no ^C, and what they start would not either."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def read_so_far(shell: Shell) -> int:
    """Rows that a sync has committed."""
    [told] = shell.run("source", "status", "till", "--json").json
    return int(told["position"] or 0)


def test_a_sync_that_was_broken_off_goes_on(tmp_path: Path, home: Path, database_url: str) -> None:
    """Exit code 130 and one sentence; the same command brings in the rest, and no row twice."""
    tills.write_till(tmp_path, tills.crowd(ROWS))
    tills.write_app(tmp_path, [])
    tills.write_declaration(tmp_path, tills.declaration(sources={"till": tills.TILL}))
    shell = Shell(tmp_path, database_url, home, {"CDP_BATCH_ROWS": "200"})
    shell.run("init")
    process = shell.start("source", "sync")
    while read_so_far(shell) == 0:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = shell.finish(process, "source", "sync")
    assert done.code == BROKEN_OFF
    assert not done.out
    assert "Broken off. What was committed stays" in done.err
    assert "Traceback" not in done.err
    some = read_so_far(shell)
    assert 0 < some < ROWS
    again = shell.run("source", "sync", "--json").json[0]
    assert (again["read"], again["added"], again["rejected"]) == (ROWS, ROWS, 0)
    assert 0 < again["resumed_at"] < ROWS
    assert "Nothing changed" in shell.run("source", "sync").err


def test_an_interrupt_inside_a_finaliser_is_not_lost(tmp_path: Path) -> None:
    """Python drops it there: it is sent once more, and no crash is reported."""
    program = tmp_path / "program.py"
    program.write_text(SWALLOWED, encoding="utf-8")
    shell = Shell(tmp_path, None, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=shell.environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == BROKEN_OFF, done.stderr
    assert "unforeseen" not in done.stderr
    assert "went on" not in done.stdout
