"""The documents say what is there, and what they tell people to type works."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cdp.cli.app import app
from cdp.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PACKAGES = ("api", "cdp", "connectors", "identity", "policies")
PAGES = [*sorted(DOCS.rglob("*.md")), README]
HOWTOS = sorted((DOCS / "howto").glob("*.md"))
SETTING = re.compile(r"\bCDP_[A-Z_]+\b")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHELL = frozenset({"", "sh"})  # a block without a language is something to type
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, languages: frozenset[str]) -> list[str]:
    """The fenced blocks of a page that are in one of these languages."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [match[2] for match in found if match[1] in languages]


def typed(page: Path) -> Iterator[list[str]]:
    """What a page tells people to type: lines of shell blocks and words between backticks."""
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    lines = [line for block in blocks(page, SHELL) for line in block.splitlines()]
    for line in lines + inline:
        words = line.split("#")[0].split()
        while words and (words[0] in {"$", "sudo"} or re.match(r"[A-Z_]+=", words[0])):
            del words[0]
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def commands(page: Path, program: str) -> list[list[str]]:
    """What follows ``program`` in each command of a page."""
    return [words[1:] for words in typed(page) if words[0] == program]


def misused(words: list[str]) -> str | None:
    """The first word of a ``cdp`` command that the command line does not know."""
    command: Any = typer.main.get_command(app)
    known = {"--help"}
    for word in words:
        name = word.split("=")[0]
        if name.startswith("--"):
            if name not in known:
                return name
        elif hasattr(command, "get_command"):  # a group; else the word is an argument
            command = command.get_command(typer.Context(command), word)
            if command is None:
                return word
            known |= {option for one in command.params for option in one.opts}
    return None


@each_page
def test_every_command_shown_exists(page: Path) -> None:
    """Each ``cdp`` command in a document, and each of its options, is one that there is."""
    wrong = [(words, bad) for words in commands(page, "cdp") if (bad := misused(words))]
    assert wrong == []


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    """A word, an option or a group that the command line lacks is found."""
    assert misused(["source", "check"]) is None
    assert misused(["source", "burn", "pos"]) == "burn"
    assert misused(["identity", "resolve", "--faster"]) == "--faster"


@each_page
def test_every_make_target_shown_exists(page: Path) -> None:
    """Each ``make`` target in a document is one of the Makefile's."""
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    targets = [word for words in commands(page, "make") for word in words if "=" not in word]
    assert set(targets) <= set(rules)


def test_the_readme_names_the_two_commands_of_a_newcomer() -> None:
    """A newcomer reads ``make demo`` and ``make test`` in the README."""
    named = {word for words in commands(README, "make") for word in words}
    assert {"demo", "test"} <= named


def test_every_setting_is_documented_and_none_is_made_up() -> None:
    """The settings page has one line for each setting that the code reads, and no other."""
    page = (DOCS / "howto" / "settings.md").read_text(encoding="utf-8")
    read = set(SETTING.findall((ROOT / "cdp" / "settings.py").read_text(encoding="utf-8")))
    lines = re.findall(r"^\| `(CDP_[A-Z_]+)` \|", page, re.MULTILINE)
    assert sorted(lines) == sorted(read)


def test_the_documented_defaults_are_the_ones_in_force() -> None:
    """A default on the settings page is what an empty environment gives."""
    page = (DOCS / "howto" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(CDP_[A-Z_]+)` \| (\S+) \|", page, re.MULTILINE))
    settings = Settings.from_environment({})
    assert documented == {
        "CDP_HOME": f"`{settings.home}`",
        "CDP_CONFIG": "`cdp.yaml`",
        "CDP_DATABASE_URL": "none" if settings.database_url is None else "",
        "CDP_BATCH_ROWS": f"`{settings.batch_rows}`",
        "CDP_MEMORY_MB": f"`{settings.memory_mb}`",
        "CDP_THREADS": f"`{settings.threads}`",
        "CDP_ROOT_PROVIDER": f"`{settings.root_provider}`",
    }


@each_page
def test_no_page_names_a_setting_that_is_not_there(page: Path) -> None:
    """A setting that a document mentions is one that the code reads."""
    read = set(SETTING.findall((ROOT / "cdp" / "settings.py").read_text(encoding="utf-8")))
    assert set(SETTING.findall(page.read_text(encoding="utf-8"))) <= read


@each_page
def test_every_relative_link_resolves(page: Path) -> None:
    """A link to another page leads to a file that is there."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@each_page
def test_every_file_of_ours_that_a_page_names_is_there(page: Path) -> None:
    """A path into one of our packages, written in backticks, exists."""
    inside = "|".join((*PACKAGES, "benchmarks", "docs", "tests"))
    named = re.findall(rf"`((?:{inside})/[\w./-]+?)/?(?:::\w+)?`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_that_the_code_names_is_there() -> None:
    """A document that code or a shipped file points to exists."""
    shipped = [
        path
        for package in PACKAGES
        for kind in ("py", "yaml", "json", "csv", "conf")
        for path in (ROOT / package).rglob(f"*.{kind}")
    ]
    named = {
        name
        for path in shipped
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert named
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_every_decision_is_in_the_index() -> None:
    """The index of decisions lists each page once, in order, under its own title."""
    pages = sorted((DOCS / "adr").glob("[0-9]*.md"))
    titles = [page.read_text(encoding="utf-8").splitlines()[0] for page in pages]
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \| \[([^\]]+)\]\(([^)]+)\) \|$", index, re.MULTILINE)
    assert [name for _, _, name in listed] == [page.name for page in pages]
    assert [f"# {number}. {title}" for number, title, _ in listed] == titles


@pytest.mark.parametrize("page", HOWTOS, ids=lambda page: page.name)
def test_a_howto_ends_with_the_command_that_proves_it_worked(page: Path) -> None:
    """The last section of a howto page is "Prove it" and shows a command to run."""
    sections = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    heading, _, rest = sections[-1].partition("\n")
    assert heading == "Prove it"
    assert [match[2] for match in BLOCK.finditer(rest) if match[1] in SHELL]


def settled(text: str) -> str:
    """Output without what differs from run to run: ids, times, figures learnt, table lines."""
    for pattern in (
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # workspace
        r"\bp[0-9a-hjkmnp-tv-z]{20}\b",  # profile
        r"\bepoch +(?:│ )?[0-9a-f]{12}\b",
        r"\d{4}-\d\d-\d\dT[\d:+]+",
        r"-?\d+\.\d{3}\b",  # bits
        r"\b(?:embedded|external)\b",
    ):
        text = re.sub(pattern, "~", text)
    return " ".join(re.sub(r"[─━┏┳┓┡╇┩└┴┘]+", " ", text).split())


@pytest.mark.integration
@pytest.mark.journey
@pytest.mark.long
def test_the_first_source_page_works_as_written(tmp_path: Path, database_url: str) -> None:
    """Typing every command of the first-source page gives what the page shows."""
    page = DOCS / "howto" / "first-source.md"
    script = "set -euo pipefail\n" + "\n".join(blocks(page, frozenset({"sh"})))
    environment = {name: value for name, value in os.environ.items() if "CDP_" not in name}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CDP_DATABASE_URL": database_url,
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    printed = settled(done.stdout)
    for shown in blocks(page, frozenset({"text"})):
        assert settled(shown) in printed
