"""Run ``cdp`` as a person does: a process of its own, an environment, an exit code.

`Shell.start` starts it from nothing, to be watched, signalled or killed. `Shell.run` and
`Shell.run_all` fork theirs from a process that has imported it already: see `forking`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.journeys.forking import ROOT, forge

COMMAND = (sys.executable, "-m", "cdp")
LONGEST = 120  # seconds any single command may take here


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    arguments: tuple[str, ...]
    code: int
    out: str  # results
    err: str  # words

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"cdp {' '.join(self.arguments)} -> {self.code}\n{self.out}\n{self.err}"


@dataclass
class Shell:
    """A terminal in one workspace; it remembers everything that was printed."""

    folder: Path  # the current folder, with cdp.yaml
    database_url: str | None
    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    history: list[Outcome] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Nothing of the tester's own settings gets through."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "PYTEST"))}
        named = {"CDP_DATABASE_URL": self.database_url} if self.database_url else {}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "CDP_HOME": str(self.home),
            "CDP_CONFIG": str(self.folder / "cdp.yaml"),
            "NO_COLOR": "1",
            **named,
            **self.more,
        }

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start a command and do not wait."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment() | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def finish(self, process: subprocess.Popen[str], *arguments: str) -> Outcome:
        """Wait for a started command."""
        out, err = process.communicate(timeout=LONGEST)
        outcome = Outcome(arguments, process.returncode, out, err)
        self.history.append(outcome)
        return outcome

    def run_all(self, *commands: tuple[str, ...]) -> list[Outcome]:
        """Run commands that only read side by side; none may show a traceback."""
        with ThreadPoolExecutor(len(commands)) as side_by_side:
            outcomes = list(side_by_side.map(lambda one: self._forked(one, {}), commands))
        self.history += outcomes
        assert not [one for one in outcomes if "Traceback" in one.err], str(outcomes)
        return outcomes

    def run(self, *arguments: str, code: int = 0, **more: str) -> Outcome:
        """Run a command; its exit code must be ``code``, and it never shows a traceback."""
        outcome = self._forked(arguments, more)
        self.history.append(outcome)
        assert outcome.code == code, str(outcome)
        assert "Traceback" not in outcome.err, str(outcome)
        return outcome

    def _forked(self, arguments: tuple[str, ...], more: Mapping[str, str]) -> Outcome:
        environment = {**self.environment(), **more}
        return Outcome(arguments, *forge().run(arguments, self.folder, environment, LONGEST))
