"""What holds for every command of ``cdp``, found from the command line itself.

Each command's help has an example. It is what is run here, with ``--json``, where things are not
as they should be: no workspace, no database, a broken ``cdp.yaml``, somebody without rights. So a
new command is held to the same rules, and its example to what the command takes.
"""

import ast
import errno
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.main import get_command

from cdp.cli.app import app
from tests.integration import in_process
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases
from tests.test_docs import ROOT as HERE
from tests.test_docs import misused

pytestmark = pytest.mark.integration

EXAMPLE: Final = re.compile(r"Example: (?:.* \| )?(cdp [^|<>\n]+)")
NOWHERE: Final = "postgresql://kith@127.0.0.1:1/kith"  # nobody listens there
NO_JSON: Final = frozenset({"serve"})  # it serves until it is told to stop, and tells nothing
PEOPLE: Final = [
    {"id": "headquarters", "role": "headquarters", "node": "kith"},
    {"id": "clerk.bj01", "role": "clerk", "node": "BJ01"},
]
ALSO: Final = {"reveal field": "profile reveal"}  # one command under two names
# These end by themselves only when they have made something, or never.
MAKERS: Final = frozenset({"init", "demo", "serve", "worker run"})
# These fail for another reason first, or need none.
NO_DATABASE: Final = frozenset({"source init", "source test-connector", "policy propose"})
# What a command that is named to somebody tells any clerk: what they may see is nothing.
FOR_ANYBODY: Final = frozenset({"reveal list", "reveal status"})


def walk(command: Any, context: typer.Context, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command below one, by the words that name it."""
    if not hasattr(command, "list_commands"):
        yield " ".join(path), command
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        yield from walk(inner, typer.Context(inner, info_name=name, parent=context), (*path, name))


ROOT: Final = get_command(app)
COMMANDS: Final = dict(walk(ROOT, typer.Context(ROOT, info_name="cdp"), ()))
every = pytest.mark.parametrize("name", COMMANDS)
most = pytest.mark.parametrize("name", [name for name in COMMANDS if name not in MAKERS])


def example(name: str) -> list[str]:
    """The words of a command's example, without ``cdp``."""
    found = EXAMPLE.search(COMMANDS[name].help or "")
    assert found, f"the help of `cdp {name}` has no line that begins with: Example: cdp {name}"
    return shlex.split(found[1])[1:]


def options(name: str) -> set[str]:
    """The options that a command takes."""
    return {word for one in COMMANDS[name].params for word in one.opts}


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run the example of a command with ``--json``, in an empty folder unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def invoke(name: str, folder: Path, database: str | None, *, who: str | None = None) -> Outcome:
        words = example(name)
        if who is not None:
            words[words.index("--as") + 1] = who
        words += ["--json"] if name not in NO_JSON else []
        environment = {"CDP_HOME": str(folder / "home"), "CDP_CONFIG": str(folder / "cdp.yaml")}
        environment |= {"CDP_DATABASE_URL": database} if database else {}
        return in_process.run(monkeypatch, capsys, tuple(words), environment, None)

    with (tmp_path / "nothing").open("w+", encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield invoke


def holds(done: Outcome) -> None:
    """Standard output is one JSON document, or nothing; a failure says in words what is next."""
    assert done.code in {0, 1}, str(done)
    assert "Traceback" not in done.err, str(done)
    assert "unforeseen" not in done.err, str(done)
    if done.out.strip():
        json.loads(done.out)
    if done.code == 1 and not done.out:
        assert "refused or failed:" in done.err, str(done)


@every
def test_help_has_an_example_that_the_command_takes(name: str) -> None:
    """Words, options and forms of the example are such as the command reads."""
    words = example(name)
    path = ALSO.get(name, name).split()
    assert words[: len(path)] == path
    COMMANDS[name].make_context(name, words[len(path) :])


@every
def test_every_command_has_json(name: str) -> None:
    """Whatever tells something tells it to tools too."""
    assert ("--json" in options(name)) == (name not in NO_JSON)


@every
def test_misuse_ends_with_two(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that there is not is misuse: exit code 2, words alone."""
    done = in_process.run(monkeypatch, capsys, (*name.split(), "--no-such-option"), {}, 2)
    assert not done.out
    assert "--no-such-option" in done.err


@pytest.mark.parametrize(
    "line",
    [
        "source events --expire --tally",
        "source events --dry-run",
        "source init x.csv --with record_id",
        "source init x.csv --dsn env:SOURCE_X",
        "source init --table members",
        "identity simulate",
        "identity simulate --epoch a --rule b",
        "identity history PROFILE_ID --as headquarters --as-of yesterday",
        "identity resolve --master local[2]",
        "profile figures --as headquarters --by phone",
        "profile figures --as headquarters --where phone=13957140286",
        "profile figures --as headquarters --where attribute:spent>=much",
        "policy explain clerk.bj01 read phone --stores BJ01 --of PROFILE_ID",
    ],
)
def test_words_that_do_not_go_together_are_misuse(
    line: str,
    shop: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the words alone tell is misuse, and ends with 2; a value among them is not repeated."""
    environment = {
        "CDP_HOME": str(shop[0] / "home"),
        "CDP_CONFIG": str(shop[0] / "cdp.yaml"),
        "CDP_DATABASE_URL": shop[1],
    }
    done = in_process.run(monkeypatch, capsys, tuple(shlex.split(line)), environment, 2)
    assert not done.out
    assert "13957140286" not in done.err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"init", "demo"}])
def test_without_a_workspace(name: str, run: Run, tmp_path: Path) -> None:
    """The next step is `cdp init`, or the command needs none."""
    done = run(name, tmp_path, None)
    holds(done)
    assert done.code == 0 or "cdp init" in done.err or name.startswith(("source ", "policy "))
    assert not (tmp_path / "home").exists()


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> tuple[Path, str]:
    """The folder of a workspace with a till, and its database."""
    folder = tmp_path_factory.mktemp("shop")
    tills.write_till(folder, tills.crowd(30))
    tills.write_app(folder, [])
    tills.write_declaration(folder, tills.declaration(principals=PEOPLE))
    workspace = tills.open_shop(folder, databases.copy(template))
    workspace.engine.dispose()
    return folder, str(workspace.settings.database_url)


@most
def test_with_the_database_down(name: str, run: Run, shop: tuple[Path, str]) -> None:
    """It is said, with what to look at, unless something else is said first."""
    done = run(name, shop[0], NOWHERE)
    holds(done)
    assert done.code == 0 or "database_unreachable" in done.err or name in NO_DATABASE, str(done)


@most
def test_with_a_broken_declaration(
    name: str, run: Run, shop: tuple[Path, str], tmp_path: Path
) -> None:
    """Whoever needs cdp.yaml says which file is wrong, and in which line."""
    (tmp_path / "home").symlink_to(shop[0] / "home")
    (tmp_path / "cdp.yaml").write_text("version: 1\nsources: [", encoding="utf-8")
    done = run(name, tmp_path, shop[1])
    holds(done)
    if "declaration" in done.err:
        assert f"path {tmp_path / 'cdp.yaml'}" in done.err
        assert "line 2" in done.err


@pytest.mark.parametrize("name", [one for one in COMMANDS if "--as" in example(one)])
def test_somebody_without_rights(name: str, run: Run, shop: tuple[Path, str]) -> None:
    """A clerk is refused what is not a clerk's, before anything is done."""
    done = run(name, shop[0], shop[1], who="clerk.bj01")
    holds(done)
    assert (done.code == 0) == (name in FOR_ANYBODY), str(done)
    assert not done.out or name in FOR_ANYBODY
    if "no_rule" in done.err or "denied;" in done.err:
        assert "cdp policy explain" in done.err  # which line it is, and whom to ask


def test_a_checkpoint_that_was_kept_stays_on_a_full_disk(
    shop: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is what shows a log that was cut: an empty one in its place would be its loss."""
    kept = tmp_path / "checkpoint"
    words = ("audit", "verify", "--keep", str(kept))
    environment = {
        "CDP_HOME": str(shop[0] / "home"),
        "CDP_CONFIG": str(shop[0] / "cdp.yaml"),
        "CDP_DATABASE_URL": shop[1],
    }
    in_process.run(monkeypatch, capsys, words, environment, 0)
    before = kept.read_text("utf-8")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = in_process.run(monkeypatch, capsys, words, environment, 1)
    assert f"path {kept}" in done.err
    assert before
    assert kept.read_text("utf-8") == before
    in_process.run(monkeypatch, capsys, ("audit", "verify", "--trusted", str(kept)), environment, 0)


def test_every_command_that_the_code_names_exists() -> None:
    """A next step that says what to type says what can be typed."""
    wrong = [
        (str(path), line, text)
        for package in ("api", "cdp", "connectors", "identity", "policies")
        for path in sorted((HERE / package).rglob("*.py"))
        for line, text in texts(path)
        for words in re.findall(r"\bcdp ((?:--)?[a-z][-a-z]*(?: (?:--)?[a-z][-a-z]*)*)", text)
        if misused(words.split())
    ]
    assert wrong == []


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every text in a module, with its line; what is put in is a word in capitals."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else "X" for one in node.values)
            yield node.lineno, "".join(map(str, parts))
