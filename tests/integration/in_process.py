"""Run ``cdp`` in this process: what it prints, how it ends, and what it leaves to look at."""

import os
import sys
from collections.abc import Mapping

import pytest

from cdp import cli
from tests.journeys.commands import Outcome


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    code: int | None,
) -> Outcome:
    """Run a command under these settings and no others; it must end with ``code``, if given."""
    for name in [name for name in os.environ if name.startswith("CDP_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["cdp", *arguments])
    capsys.readouterr()
    ended = 0
    try:
        cli.main()
    except SystemExit as left:
        ended = int(left.code or 0)
    captured = capsys.readouterr()
    outcome = Outcome(arguments, ended, captured.out, captured.err)
    assert code in {None, outcome.code}, str(outcome)
    return outcome
