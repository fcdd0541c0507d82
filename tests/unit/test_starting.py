"""What a command loads before it does anything."""

import subprocess
import sys

import pytest

LEARNS = "splink"  # and with it what holds its tables: more than a second
ASKED = f"""
import sys
from typer.testing import CliRunner
from cdp.cli.app import app
assert CliRunner().invoke(app, sys.argv[1:]).exit_code == 0
sys.exit({LEARNS!r} in sys.modules)
"""


@pytest.mark.parametrize("words", [["source"], ["source", "status"], ["source", "remove"]])
def test_help_on_sources_loads_nothing_that_learns(words: list[str]) -> None:
    """Whoever asks how a source stands does not wait for the libraries that train a model."""
    told = subprocess.run(
        [sys.executable, "-c", ASKED, *words, "--help"], check=False, capture_output=True
    )
    assert told.returncode == 0, told.stderr.decode()
