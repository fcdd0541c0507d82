"""``cdp source init --dsn``: from somebody's table to a source that syncs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cdp.ingest.following import cursor_of, deletion_of
from tests.integration import in_process
from tests.integration.feeds.elsewhere import Elsewhere
from tests.journeys import tills
from tests.journeys.commands import Outcome
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Cdp = Callable[..., Outcome]
MEMBERS = """
CREATE TABLE public.customers (
    customer_no text PRIMARY KEY, "姓名" text, mobile text, mail text, visits int,
    is_deleted boolean NOT NULL, updated_at timestamptz NOT NULL, secret_note text
);
CREATE VIEW crm.newest AS SELECT * FROM crm.members
"""
NAMES = ("欧阳晓梅", "陈思远", "张敏", "李娜")


@pytest.fixture
def crm(databases: Databases) -> Elsewhere:
    """Another database with customers, members and a view."""
    found = Elsewhere(databases.copy(None))
    found.run(MEMBERS)
    for number, name in enumerate(NAMES, start=1):
        found.put(number, number, name)
        found.run(
            "INSERT INTO public.customers VALUES (:id, :name, :phone, :mail, 3, false, "
            "timestamptz '2026-03-01 08:00Z' + make_interval(mins => :n), 'canary-note')",
            id=f"K{number:04}",
            name=name,
            phone=f"1391234{number:04}",
            mail=f"canary{number}@example.com",
            n=number,
        )
    return found


@pytest.fixture
def cdp(
    tmp_path: Path,
    crm: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cdp:
    """Runs commands in a folder; what they print names nobody, and shows no password."""
    text = yaml.safe_dump({"version": 1, "organisation": tills.ORGANISATION}, allow_unicode=True)
    (tmp_path / "cdp.yaml").write_text(text, encoding="utf-8")
    environment = {"CDP_CONFIG": str(tmp_path / "cdp.yaml"), "CDP_HOME": str(tmp_path / "home")}
    monkeypatch.setenv("SOURCE_CRM_DSN", crm.url)

    def run(*arguments: str, code: int = 0, database: str | None = None) -> Outcome:
        more = {"CDP_DATABASE_URL": database} if database else {}
        done = in_process.run(monkeypatch, capsys, ("source", *arguments), environment | more, code)
        for canary in (*NAMES, "canary", crm.url, "hunter2"):
            assert canary not in done.out + done.err
        return done

    return run


DSN = ("init", "--dsn", "env:SOURCE_CRM_DSN")


def test_without_a_table_the_tables_are_listed(cdp: Cdp) -> None:
    """Tables and views, those of other schemas under their name; none of the server's own."""
    told = json.loads(cdp(*DSN, "--json").out)
    assert told == {"tables": ["crm.members", "crm.newest", "customers"]}
    assert "--table TABLE" in cdp(*DSN).err


def test_whatever_can_be_selected_from_is_listed(cdp: Cdp, crm: Elsewhere) -> None:
    """Materialised views and foreign tables too; a type that nobody knows is no noise."""
    crm.run("CREATE MATERIALIZED VIEW crm.kept AS SELECT * FROM crm.members")
    crm.run("CREATE FOREIGN DATA WRAPPER nothing")
    crm.run("CREATE SERVER afar FOREIGN DATA WRAPPER nothing")
    crm.run("CREATE FOREIGN TABLE crm.afar (id int) SERVER afar")
    crm.run("ALTER TABLE public.customers ADD COLUMN profile xml, ADD COLUMN price money")
    told = json.loads(cdp(*DSN, "--json").out)["tables"]
    assert {"crm.kept", "crm.afar"} <= set(told)
    kept = yaml.safe_load(cdp(*DSN, "--table", "crm.kept").out)["kept"]
    assert kept["fields"]["phone"] == "phone"
    assert not [line for line in cdp(*DSN, "--table", "customers").err.split() if "foreign" in line]


def test_a_table_is_drafted(cdp: Cdp) -> None:
    """Fields, primary key, cursor and a mark of deletion are guessed; no value is shown."""
    drafted = cdp(*DSN, "--table", "customers").out
    entry = yaml.safe_load(drafted)["customers"]
    assert entry["connector"] == "sql"
    assert entry["table"] == "customers"
    assert entry["mode"] == "incremental"
    assert entry["cursor"] == {"column": "updated_at", "overlap": 60}
    assert entry["record_id"] == "customer_no"
    assert entry["credentials"] == {"dsn": "env:SOURCE_CRM_DSN"}
    assert entry["fields"]["name"] == "姓名"
    assert entry["fields"]["phone"] == "mobile"
    assert entry["fields"]["email"] == "mail"
    assert "# deleted: {column: is_deleted, values: [" in drafted
    assert "location" not in entry


def test_what_was_drafted_syncs(
    cdp: Cdp, tmp_path: Path, databases: Databases, template: str
) -> None:
    """Written into cdp.yaml, it is checked and synced as it is."""
    cdp(*DSN, "--table", "customers", "--name", "club", "--write")
    written = yaml.safe_load((tmp_path / "cdp.yaml").read_text("utf-8"))
    assert set(written["sources"]) == {"club"}
    database = databases.copy(template)
    opened = tills.open_shop(tmp_path, database)
    opened.engine.dispose()
    assert cdp("check", "club", database=database).code == 0
    told = json.loads(cdp("sync", "club", "--json", database=database).out)
    assert (told[0]["added"], told[0]["rejected"]) == (4, 0)


def test_a_table_without_a_cursor_is_read_whole(cdp: Cdp, crm: Elsewhere) -> None:
    """Where nothing grows with each change, all rows come each time, and the draft says so."""
    crm.run("ALTER TABLE public.customers DROP COLUMN updated_at")
    entry = yaml.safe_load(cdp(*DSN, "--table", "customers").out)["customers"]
    assert (entry["mode"], "cursor" in entry) == ("full", False)
    crm.run("ALTER TABLE public.customers DROP CONSTRAINT customers_pkey")
    entry = yaml.safe_load(cdp(*DSN, "--table", "customers").out)["customers"]
    assert entry["record_id"] == "customer_no"  # guessed, as of a file
    told = cdp(*DSN, "--table", "crm.members", "--with", "record_id=phone").out
    assert yaml.safe_load(told)["members"]["record_id"] == "phone"


@pytest.mark.parametrize(
    ("dsn", "rule"),
    [
        ("postgresql://anna:hunter2@localhost/crm", "secret_on_the_command_line"),
        ("postgresql://localhost/crm?password=hunter2", "secret_on_the_command_line"),
        ("postgresql://localhost/crm?sslpassword=hunter2", "secret_on_the_command_line"),
        ("://hunter2", "secret_on_the_command_line"),
        ("hunter2", "not_a_reference"),
        ("env:HOME", "not_a_reference"),
        ("env:SOURCE_MISSING", "credential_not_set"),
        ("file:nowhere", "credential_file_missing"),
        ("sqlite:///nowhere.db", "database_missing"),
    ],
)
def test_an_address_with_a_password_never_stands_on_the_command_line(
    cdp: Cdp, dsn: str, rule: str
) -> None:
    """Whoever lists processes would read it: it is refused, and not quoted."""
    assert rule in cdp("init", "--dsn", dsn, code=1).err


def test_an_address_without_a_password_may(cdp: Cdp, tmp_path: Path, crm: Elsewhere) -> None:
    """Then the draft asks where the address is to lie, and nothing is written before that."""
    table = ("init", "--dsn", crm.url, "--table", "customers")
    shown = cdp(*table)
    assert "<where the address lies" in shown.out
    assert "not_filled_in" in cdp(*table, "--write", code=1).err
    cdp(*table, "--with", "dsn=env:SOURCE_CRM_DSN", "--write")
    assert "env:SOURCE_CRM_DSN" in (tmp_path / "cdp.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("--table", "no_such"), "table_missing"),
        (("--table", "customers", "--with", "record_id=no_such"), "no_such_column"),
        (("--table", '"客户"'), "name_needed"),
    ],
)
def test_what_is_not_there_is_said(cdp: Cdp, arguments: tuple[str, ...], rule: str) -> None:
    """A table or a column that is not there is named with those that are."""
    assert rule in cdp(*DSN, *arguments, code=1).err
    assert "--dsn" in cdp("init", *arguments, code=2).err


def test_a_cursor_is_a_filled_column_of_times() -> None:
    """What is called so and is a number, a text or partly empty is no cursor."""
    kinds = {"id": "number", "Update_Time": "time", "mtime": "time", "lastModified": "text"}
    assert cursor_of(kinds, {"Update_Time", "mtime"}) == "Update_Time"
    assert cursor_of(kinds, {"mtime"}) == "mtime"
    assert cursor_of(kinds, {"id", "lastModified"}) is None
    assert cursor_of({"updated_at": "number"}, {"updated_at"}) is None


def test_a_mark_of_deletion_is_found_by_its_heading() -> None:
    """A time says deleted by being there; a mark by its value."""
    assert deletion_of({"deleted_at": "time"}) == ("deleted_at", ())
    found = deletion_of({"id": "number", "DelFlag": "text"})
    assert found is not None
    assert found[0] == "DelFlag"
    assert "1" in found[1]
    assert deletion_of({"deleted_by": "text", "is_deleted": "time"}) is None
