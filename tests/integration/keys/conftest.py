"""A shop with an operator, a few members, and its commands."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp import cli
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases
from tests.journeys.tills import declaration, member, write_declaration, write_till

PEOPLE = [
    {"id": "operator", "role": "operator", "node": "kith"},
    {"id": "clerk", "role": "clerk", "node": "BJ01"},
]


@pytest.fixture
def databases(server: sa.URL) -> Iterator[Databases]:
    """More databases on the same server."""
    with Databases(server) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Path:
    """A workspace whose ring was made now."""
    folder = tmp_path / "shop"
    write_declaration(folder, declaration(principals=PEOPLE, sources={"till": tills.TILL}))
    id_number = "11010519491231002X"
    write_till(folder, [member("C1", id_number=id_number), member("C2", phone="13957140287")])
    tills.open_shop(folder, database_url).engine.dispose()
    return folder


@pytest.fixture
def cdp(
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Outcome]:
    """Run a command in this process, in the workspace of ``folder``."""

    def run(*arguments: str, code: int = 0, **environment: str) -> Outcome:
        for name in [name for name in os.environ if name.startswith("CDP_")]:
            monkeypatch.delenv(name)
        usual = {
            "CDP_HOME": str(folder / "home"),
            "CDP_CONFIG": str(folder / "cdp.yaml"),
            "CDP_DATABASE_URL": database_url,
            "CDP_THREADS": "1",  # in this process
        }
        for name, value in (usual | environment).items():
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
        assert outcome.code == code, str(outcome)
        return outcome

    return run
