"""Run ``cdp`` as a person does: a process of its own, an environment, an exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
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
        started = [(self.start(*arguments), arguments) for arguments in commands]
        outcomes = [self.finish(process, *arguments) for process, arguments in started]
        assert not [one for one in outcomes if "Traceback" in one.err], str(outcomes)
        return outcomes

    def run(self, *arguments: str, code: int = 0, **more: str) -> Outcome:
        """Run a command; its exit code must be ``code``, and it never shows a traceback."""
        outcome = self.finish(self.start(*arguments, **more), *arguments)
        assert outcome.code == code, str(outcome)
        assert "Traceback" not in outcome.err, str(outcome)
        return outcome
