"""What is forked behaves as what is started from nothing, and lasts no longer."""

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.journeys.commands import Shell
from tests.journeys.forking import forge

pytestmark = pytest.mark.journey


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--help",), 0),
        (("source", "check"), 1),  # there is no workspace
        (("source", "nonsense"), 2),
    ],
    ids=["help", "refused", "misuse"],
)
def test_a_forked_command_does_what_a_started_one_does(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    """Exit code, results and words are the same, byte for byte."""
    shell = Shell(tmp_path, None, tmp_path / "home")
    started = shell.finish(shell.start(*words), *words)
    forked = shell.run(*words, code=code)
    assert forked == started
    assert forked.out + forked.err


def test_a_forked_command_has_its_own_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the tester's settings nor those of the command before get through."""
    monkeypatch.setenv("CDP_BATCH_ROWS", "no number")
    shell = Shell(tmp_path, None, tmp_path / "home")
    wrong = shell.run("source", "check", code=1, CDP_BATCH_ROWS="none either").err
    assert "CDP_BATCH_ROWS" in wrong
    right = shell.run("source", "check", code=1).err
    assert "no_workspace" in right
    assert "CDP_BATCH_ROWS" not in right


def test_a_command_that_takes_too_long_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that hangs fails its test, and does not outlive it."""
    shell = Shell(tmp_path, None, tmp_path / "home")
    killed, kill = [], os.kill
    monkeypatch.setattr(os, "kill", lambda number, how: killed.append(number) or kill(number, how))
    with pytest.raises(TimeoutError):
        forge().run(("identity", "--help"), tmp_path, shell.environment(), 0.0001)
    until = time.monotonic() + 30
    while psutil.pid_exists(killed[0]) and time.monotonic() < until:
        time.sleep(0.01)
    assert not psutil.pid_exists(killed[0])
