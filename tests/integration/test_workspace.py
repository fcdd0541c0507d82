"""A workspace that is not as it should be: what is said, and what is to be done."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from cdp.cli import setup
from cdp.storage import schema
from cdp.vault.keyring import KeyRing
from tests.integration import in_process
from tests.journeys import tills
from tests.journeys.commands import Outcome, Shell
from tests.journeys.databases import Databases
from tests.journeys.tills import APP, TILL, declaration, member, write_declaration, write_till

pytestmark = pytest.mark.integration
NOBODY = "postgresql://kith:not-a-secret@127.0.0.1:9/kith"  # the discard port: nobody answers


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Path:
    """A workspace with two sources that work."""
    folder = tmp_path / "shop"
    write_declaration(folder)
    write_till(folder, [member("C1")])
    tills.write_app(folder, [{"openid": "oApp1", "name": "张敏"}])
    tills.open_shop(folder, database_url).engine.dispose()
    return folder


Cdp = Callable[..., Outcome]


@pytest.fixture
def cdp(
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cdp:
    """Run a command in this process, in the workspace of ``folder``."""

    def run(*arguments: str, code: int = 1, **environment: str) -> Outcome:
        usual = {
            "CDP_HOME": str(folder / "home"),
            "CDP_CONFIG": str(folder / "cdp.yaml"),
            "CDP_DATABASE_URL": database_url,
        }
        return in_process.run(monkeypatch, capsys, arguments, usual | environment, code)

    return run


def assert_one_sentence(outcome: Outcome, *words: str) -> None:
    """What went wrong is one line that names the thing and the next step."""
    lines = [line for line in outcome.err.splitlines() if line.strip()]
    assert len(lines) == 1, str(outcome)
    assert lines[0].startswith("refused or failed: ")
    for word in words:
        assert word in lines[0], str(outcome)


# ── home, key ring, database ────────────────────────────────────────────────


def test_without_a_workspace_every_command_says_to_make_one(cdp: Cdp, tmp_path: Path) -> None:
    """A command in a folder without a workspace changes nothing and names `cdp init`."""
    home = str(tmp_path / "none")
    outcome = cdp("source", "sync", CDP_HOME=home)
    assert_one_sentence(outcome, "no_workspace", home, "cdp init")
    assert not Path(home).exists()


def test_a_missing_key_ring_is_named(cdp: Cdp, folder: Path) -> None:
    """Without its key ring a workspace does not open, and no new ring takes its place."""
    ring = folder / "home" / "keyring.json"
    ring.unlink()
    assert_one_sentence(cdp("source", "sync"), "there is no key ring here", str(ring), "restore")
    assert_one_sentence(cdp("init"), "there is no key ring here", str(ring), "restore")
    assert not ring.exists()


def test_the_key_ring_of_another_workspace_is_refused(cdp: Cdp, folder: Path) -> None:
    """A ring that does not belong to the database is refused before anything is read."""
    ring = folder / "home" / "keyring.json"
    ring.unlink()
    KeyRing.create(ring, uuid4())
    assert_one_sentence(cdp("source", "sync"), "workspace")
    assert_one_sentence(cdp("init"), "workspace")


def test_a_key_ring_that_others_can_read_is_refused(cdp: Cdp, folder: Path) -> None:
    """A ring with mode 0644 is not used; the message gives the chmod."""
    ring = folder / "home" / "keyring.json"
    ring.chmod(0o644)
    assert_one_sentence(cdp("source", "sync"), "0644", f"chmod 600 {ring}")


def test_a_garbled_key_ring_is_refused_without_its_content(cdp: Cdp, folder: Path) -> None:
    """A ring cut in half is named, and nothing of it is shown."""
    ring = folder / "home" / "keyring.json"
    content = ring.read_text(encoding="utf-8")
    ring.write_text(content[: len(content) // 2], encoding="utf-8")
    outcome = cdp("source", "sync")
    assert_one_sentence(outcome, str(ring))
    assert content[40:60] not in outcome.err


def test_an_unreachable_database_is_named_without_its_password(cdp: Cdp) -> None:
    """When the external server does not answer, the setting is named and no address shown."""
    outcome = cdp("source", "sync", CDP_DATABASE_URL=NOBODY)
    assert_one_sentence(outcome, "database_unreachable", "CDP_DATABASE_URL")
    assert "not-a-secret" not in outcome.err


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("not an address, my-secret", "database_address_unreadable"),
        ("postgresql://kith:my-secret@host:port/x", "database_address_unreadable"),
        ("mysql://kith:my-secret@127.0.0.1/kith", "database_not_postgresql"),
    ],
)
def test_an_address_that_is_none_is_named_and_not_shown(cdp: Cdp, address: str, rule: str) -> None:
    """An address holds a password, so no message quotes it."""
    outcome = cdp("source", "sync", CDP_DATABASE_URL=address)
    assert_one_sentence(outcome, rule, "CDP_DATABASE_URL")
    assert "my-secret" not in outcome.err


def test_an_empty_database_is_named(cdp: Cdp, databases: Databases) -> None:
    """A database without Kith's schema is not written to; `cdp init` is the next step."""
    empty = databases.copy(None)
    assert_one_sentence(cdp("source", "sync", CDP_DATABASE_URL=empty), "schema", "cdp init")


def test_a_database_without_its_workspace_row_is_named(cdp: Cdp, database_url: str) -> None:
    """A schema without a workspace is not used."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.workspace))
    engine.dispose()
    assert_one_sentence(cdp("source", "sync"), "database_empty", "cdp init")


@pytest.mark.parametrize("value", ["0", "many", "-1", "1.5"])
def test_a_setting_that_is_no_number_is_named(cdp: Cdp, value: str) -> None:
    """A wrong setting stops a command and names the setting."""
    outcome = cdp("source", "sync", CDP_BATCH_ROWS=value)
    assert_one_sentence(outcome, "CDP_BATCH_ROWS", "whole number of at least 1")


def test_a_file_that_cannot_be_written_is_named(cdp: Cdp, folder: Path) -> None:
    """An export into a place that is no folder fails in one sentence."""
    assert_one_sentence(
        cdp("identity", "export", "--out", str(folder / "till.csv" / "out.csv")), "till.csv"
    )


def test_a_checkpoint_that_is_missing_is_named(cdp: Cdp, folder: Path) -> None:
    """`audit verify --trusted` with a file that is not there fails in one sentence."""
    missing = str(folder / "kept.txt")
    assert_one_sentence(cdp("audit", "verify", "--trusted", missing), missing)


# ── cdp.yaml ────────────────────────────────────────────────────────────────


def changed(source: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return declaration(sources={"till": {**source, **parts}, "app": APP})


WRONG = {
    "missing": (None, ("declaration_missing", "cdp.yaml", "cdp init")),
    "not yaml": ("version: [1\n", ("declaration_unreadable", "valid YAML")),
    "not utf-8": (b"version: 1 # \xff", ("declaration_unreadable", "UTF-8")),
    "a list": ("- version\n", ("declaration_version", "version: 1")),
    "unknown key": (declaration(sorces={}), ("unknown_key", "sorces", "sources")),
    "unknown key in a source": (changed(TILL, storr="x"), ("till", "storr")),
    "unknown field": (changed(TILL, fields={"fone": "phone"}), ("till", "fone")),
    "unknown connector": (changed(TILL, connector="fax"), ("till", "connector")),
    "unknown encoding": (changed(TILL, encoding="utf-9"), ("till", "encoding")),
    "sources a list": (declaration(sources=["till"]), ("sources", "a mapping of names")),
    "unknown role": (
        declaration(principals=[{"id": "x", "role": "king", "node": "kith"}]),
        ("unknown_role", "principal x", "clerk"),
    ),
    "unknown node": (
        declaration(principals=[{"id": "x", "role": "clerk", "node": "mars"}]),
        ("unknown_node", "principal x"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_declaration_that_is_wrong_is_named(cdp: Cdp, folder: Path, name: str) -> None:
    """What is wrong in cdp.yaml is named, with the entry and the next step."""
    content, words = WRONG[name]
    path = folder / "cdp.yaml"
    path.unlink()
    if isinstance(content, dict):
        write_declaration(folder, content)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_one_sentence(cdp("source", "sync"), *words)


def test_a_source_that_nobody_declared_is_refused(cdp: Cdp) -> None:
    """An unknown source is answered with the known ones."""
    assert_one_sentence(cdp("source", "sync", "tlil"), "no_such_source", "till, app")


def test_a_command_that_does_not_exist_is_misuse(cdp: Cdp) -> None:
    """Exit 2 is for what the command line cannot mean."""
    cdp("sauce", code=2)
    cdp("source", "preview", code=2)
    cdp("source", "sync", "--fast", code=2)


# ── files ───────────────────────────────────────────────────────────────────

CANARY = "13957149999"


@pytest.mark.parametrize("command", ["check", "sync"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("file_missing", "till.csv")),
        (b"", ("empty_file",)),
        ("\ufeffcard,name\nC1,张敏\n".encode("utf-16-le"), ("till",)),
        (f"C1,张敏,{CANARY}\nC2,李静,{CANARY}\n".encode(), ("column_missing", "heading")),
        (b"card,name\nC1,x\n", ("column_missing", "phone")),
        (b"PK\x03\x04" + bytes(100), ("till",)),
    ],
    ids=["missing", "empty", "utf-16", "no heading", "columns", "a zip"],
)
def test_a_file_that_cannot_be_read_is_named(
    cdp: Cdp, folder: Path, content: bytes | None, words: tuple[str, ...], command: str
) -> None:
    """Source, rule and next step are named, no cell of the file is; other sources go on."""
    (folder / "till.csv").unlink()
    if content is not None:
        (folder / "till.csv").write_bytes(content)
    outcome = cdp("source", command)
    shown = outcome.err + outcome.out
    for word in ("till", *words):
        assert word in shown, str(outcome)
    assert CANARY not in shown
    if command == "sync":
        assert_one_sentence_among(outcome)
        assert "app" in outcome.out


def assert_one_sentence_among(outcome: Outcome) -> None:
    told = [line for line in outcome.err.splitlines() if line.startswith("refused or failed")]
    assert len(told) == 1, str(outcome)


def test_the_wrong_encoding_rejects_rows_and_shows_none(cdp: Cdp, folder: Path) -> None:
    """A file in another encoding than declared: rows are rejected by rule, never shown."""
    text = "\n".join([",".join(tills.HEADER), "C1,张敏,,,,,,,", "C2,plain,,,,,,,"]) + "\n"
    (folder / "till.csv").write_bytes(text.encode("gb18030"))
    outcome = cdp("source", "sync", "till", "--json", code=0)
    [report] = outcome.json
    assert (report["added"], report["rejected"]) == (1, 1)
    listed = cdp("source", "rejects", "--json", code=0).json
    assert [(r["source"], r["position"], r["rule"]) for r in listed["rows"]] == [
        ("till", 1, "not_decodable")
    ]


# ── init ────────────────────────────────────────────────────────────────────


def test_two_inits_at_once_make_one_workspace(tmp_path: Path, databases: Databases) -> None:
    """Of two simultaneous `cdp init` both succeed, with one key ring and one workspace."""
    shell = Shell(tmp_path, databases.copy(None), tmp_path / "home")
    started = [shell.start("init", "--json") for _ in range(2)]
    done = [shell.finish(process, "init") for process in started]
    assert [outcome.code for outcome in done] == [0, 0], "\n".join(map(str, done))
    assert done[0].json == done[1].json
    assert (shell.home / "keyring.json").stat().st_mode & 0o777 == 0o600
    left = ["exports", "keyring.json", "policy-seen.json"]
    assert sorted(path.name for path in shell.home.iterdir()) == left


def test_an_init_that_loses_the_race_for_the_ring_opens_the_winner_s(
    tmp_path: Path, databases: Databases, template: str
) -> None:
    """A ring that appears while `init` runs is taken, never replaced."""
    write_declaration(tmp_path)
    first = tills.open_shop(tmp_path, databases.copy(template))
    second = tills.open_shop(tmp_path, databases.copy(template))
    assert first.id == second.id
    for workspace in (first, second):
        workspace.engine.dispose()


def test_the_starter_declaration_never_replaces_one_that_is_there(tmp_path: Path) -> None:
    """`cdp init` writes a cdp.yaml only where there is none."""
    path = tmp_path / "cdp.yaml"
    setup.write_starter(path)
    assert path.read_text(encoding="utf-8") == setup.STARTER
    path.write_text("mine", encoding="utf-8")
    setup.write_starter(path)
    assert path.read_text(encoding="utf-8") == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["cdp.yaml"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the embedded server's own user may enter; pytest closes its own."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_deleted_embedded_database_is_named_and_made_anew_by_init(open_folder: Path) -> None:
    """On the embedded server: init, delete the folder, be told, begin anew under the same ring."""
    shell = Shell(open_folder, None, open_folder / "home")
    first = shell.run("init", "--json").json
    # The server ended with the command; what is left is its folder.
    shutil.rmtree(shell.home / "postgres")
    outcome = shell.run("source", "sync", code=1)
    assert_one_sentence(outcome, "database_missing", str(shell.home / "postgres"), "cdp init")
    assert not (shell.home / "postgres").exists()
    # This machine saw a policy that the new database does not have: somebody has to say so.
    assert "policy_older_than_seen" in shell.run("init", code=1).err
    assert shell.run("init", "--begin-anew", "--json").json == first
