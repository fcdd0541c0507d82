"""The shape of the code, checked. Imports are checked by the contracts in pyproject.toml."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "cdp", "connectors", "identity", "policies")
# A migration says what one release did to the schema, in one piece, and is never rewritten.
EXEMPT = ROOT / "cdp" / "storage" / "migrations" / "versions"


def files(*folders):
    """Every Python file of these folders, as paths from the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(str(p.relative_to(ROOT)) for p in found if not p.is_relative_to(EXEMPT))


CODE = files(*PACKAGES)
TESTS = files("tests")
EVERY = [*CODE, *TESTS, *files("benchmarks")]
JUNK_DRAWERS = {"base_utils", "common", "core", "helper", "helpers", "manager", "misc", "util",
                "utils"}  # fmt: skip
ENTRIES = ("api/__main__.py", "cdp/cli/session.py")  # where a process begins
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
MAX_LINES = 400
MAX_FUNCTION_LINES = 50


@cache
def source(path):
    """The text of a file."""
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EVERY)
def test_a_file_is_one_sitting(path):
    """No file is longer than 400 lines, tests included."""
    assert source(path).count("\n") <= MAX_LINES, "divide it by subject"


@pytest.mark.parametrize("path", CODE)
def test_a_function_is_one_screen(path):
    """No function is 50 lines long or longer."""
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", EVERY)
def test_a_file_is_named_for_what_it_holds(path):
    """No file and no folder is a drawer for whatever is left over."""
    assert JUNK_DRAWERS.isdisjoint(Path(path).with_suffix("").parts)


@pytest.mark.parametrize("path", EVERY)
def test_imports_are_absolute(path):
    """A name is imported from where it is, never from a place relative to the reader."""
    nodes = ast.walk(ast.parse(source(path)))
    assert not [n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level]


@pytest.mark.parametrize("path", CODE)
def test_a_module_says_what_it_is(path):
    """Every module opens with a sentence; a package without code of its own may be silent."""
    tree = ast.parse(source(path))
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize("path", [path for path in CODE if path not in ENTRIES])
def test_nothing_within_reads_the_environment(path):
    """The two entries hand the environment to the settings once; nothing else looks at it."""
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert f"{node.value.id}.{node.attr}" not in ENVIRONMENT, node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            assert ENVIRONMENT.isdisjoint(f"os.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", ENTRIES)
def test_an_entry_hands_the_environment_to_the_settings(path):
    """Where a process begins, the environment goes to the settings whole, and nowhere else."""
    assert source(path).count("os.environ") == 1
    assert "Settings.from_environment(os.environ)" in source(path)


@pytest.mark.parametrize("path", TESTS)
def test_every_test_is_a_sentence(path):
    """What a test proves stands in its docstring, so that the tests can be read as a manual."""
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert (ast.get_docstring(node) or "").endswith((".", "?")), node.name


@pytest.mark.parametrize("path", TESTS)
def test_no_name_of_a_test_tells_the_time(path):
    """What is packed has one form in every worker; gzip writes the time unless told not to."""
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "gzip.compress":
            assert "mtime" in {given.arg for given in node.keywords}


def test_every_module_is_on_the_map():
    """ARCHITECTURE.md names every module, and names none that is gone."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    modules = {path for path in CODE if Path(path).name != "__init__.py"}
    named = set(re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w/]+\.py)`", text))
    assert sorted(modules - named) == []
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []
