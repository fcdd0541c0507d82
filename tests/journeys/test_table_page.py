"""The page about following a table of a database, typed as it stands."""

import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import make_url

from cdp.declaration import STARTER
from tests.journeys.commands import Outcome, Shell
from tests.journeys.databases import Databases
from tests.test_docs import DOCS, blocks

pytestmark = [pytest.mark.integration, pytest.mark.journey]
PAGE = DOCS / "howto" / "incremental-sql.md"
MEMBERS = """
CREATE SCHEMA crm;
CREATE TABLE crm.members (
    id bigint PRIMARY KEY, name text, mobile text, updated_at timestamptz NOT NULL DEFAULT now(),
    left_at timestamptz
);
INSERT INTO crm.members (id, name, mobile, updated_at)
SELECT n, '李娜' || n, '139571402' || lpad(n::text, 2, '0'), '2026-03-01Z'::timestamptz
  FROM generate_series(1, 12) n
"""


class Crm:
    """Somebody else's database, of which the page's login may read one table."""

    def __init__(self, url: str) -> None:
        self._owner = sa.create_engine(url, poolclass=sa.NullPool)
        self.login, self._url = f"kith_{secrets.token_hex(4)}", make_url(url)
        self.run(MEMBERS)

    def run(self, text: str) -> None:
        """Run statements as the owner."""
        with self._owner.begin() as connection:
            connection.exec_driver_sql(text)

    def let_in(self, text: str) -> str:
        """Run what the page has an administrator type; the address that its login reads under."""
        self.run(re.sub(r"\bkith\b", self.login, text).replace("…", "hunter2"))
        address = self._url.set(username=self.login, password="hunter2")
        return address.render_as_string(hide_password=False)

    def forget(self) -> None:
        """Roles belong to the server: take this one away again."""
        self.run(f"DROP OWNED BY {self.login}; DROP ROLE {self.login}")


@pytest.fixture
def crm(server: sa.URL) -> Iterator[Crm]:
    """The database of a CRM."""
    with Databases(server) as made:
        one = Crm(made.copy(None))
        yield one
        one.forget()


def typed(shell: Shell, text: str) -> list[Outcome]:
    """Type the lines of a block."""
    done = []
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "cdp"
        done.append(shell.run(*arguments))
    return done


def test_the_page_works_as_written(tmp_path: Path, home: Path, database_url: str, crm: Crm) -> None:
    """A login, a draft, the declaration, a sync; one changed row is one change."""
    [grants] = blocks(PAGE, frozenset({"sql"}))
    drafting, looking, proving = blocks(PAGE, frozenset({"sh"}))
    [declared] = blocks(PAGE, frozenset({"yaml"}))
    (tmp_path / "cdp.yaml").write_text(STARTER, encoding="utf-8")
    address = crm.let_in(grants)
    shell = Shell(tmp_path, database_url, home, {"SOURCE_CRM": address})
    shell.run("init")

    listed, drafted = typed(shell, drafting)
    assert "crm.members" in listed.out
    draft = yaml.safe_load(drafted.out)["crm"]
    written = yaml.safe_load(declared)["sources"]["crm"]
    for key in ("connector", "table", "mode", "credentials", "record_id", "fields"):
        assert draft[key] == written[key], key
    assert draft["cursor"]["column"] == written["cursor"]["column"]
    whole = STARTER.replace("sources: {}\n", declared)
    (tmp_path / "cdp.yaml").write_text(whole, encoding="utf-8")

    check, preview, sync, status = typed(shell, looking)
    assert "Every source can be read as declared" in check.err
    assert "李**" in preview.out
    assert re.search(r"crm\s+│\s+12 │\s+12 │", sync.out)
    assert "crm" in status.out
    assert "Nothing changed" in shell.run("source", "sync", "crm").err
    told = shell.run("source", "reset", "crm", "--dry-run").err
    assert "12 records" in told

    crm.run("UPDATE crm.members SET mobile = '13957140299', updated_at = now() WHERE id = 3")
    synced, _ = typed(shell, proving)
    assert (synced.json[0]["changed"], synced.json[0]["added"]) == (1, 0)
    crm.run("UPDATE crm.members SET left_at = now(), updated_at = now() WHERE id = 5")
    assert shell.run("source", "sync", "crm", "--json").json[0]["deleted"] == 1
    assert "hunter2" not in "".join(one.out + one.err for one in shell.history)


def test_a_login_that_may_not_read_is_told_so(
    tmp_path: Path, home: Path, database_url: str, crm: Crm
) -> None:
    """The page says that check tells a missing permission, a table and a password apart."""
    [grants] = blocks(PAGE, frozenset({"sql"}))
    [declared] = blocks(PAGE, frozenset({"yaml"}))
    whole = STARTER.replace("sources: {}\n", declared)
    (tmp_path / "cdp.yaml").write_text(whole, encoding="utf-8")
    shell = Shell(tmp_path, database_url, home, {"SOURCE_CRM": crm.let_in(grants)})
    shell.run("init")
    found = []
    for statement in (
        f"REVOKE SELECT ON crm.members FROM {crm.login}",
        "ALTER TABLE crm.members RENAME TO people",
    ):
        crm.run(statement)
        found.append(shell.run("source", "check", "crm", "--json", code=1).json[0]["rule"])
    crm.run("ALTER TABLE crm.people RENAME TO members; ALTER TABLE crm.members DROP COLUMN mobile")
    crm.run(f"GRANT SELECT ON crm.members TO {crm.login}")
    found.append(shell.run("source", "check", "crm", "--json", code=1).json[0]["rule"])
    assert found == ["not_allowed", "table_missing", "column_missing"]
