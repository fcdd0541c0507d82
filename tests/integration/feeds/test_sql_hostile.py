"""What goes wrong at somebody else's database, and what is said of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from connectors.base import Finding, Level
from connectors.errors import Retry, Stop
from connectors.sources.sql_feed import SqlFeed
from tests.integration.feeds.elsewhere import MEMBERS, Elsewhere, feed_of, read, rules
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
SECRET = "canary-password"
LOGIN = "kith_test_reader"


@pytest.fixture
def crm(databases: Databases) -> Iterator[Elsewhere]:
    """Another database with a table of members."""
    made = Elsewhere(databases.copy(None))
    made.put(1, 1)
    return made


@pytest.fixture
def reader(crm: Elsewhere) -> Iterator[str]:
    """The address for a login that may connect, and nothing else."""
    crm.run(f"DROP ROLE IF EXISTS {LOGIN}")
    crm.run(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{SECRET}'")
    url = make_url(crm.url).set(username=LOGIN, password=SECRET)
    yield url.render_as_string(hide_password=False)
    crm.run(f"DROP OWNED BY {LOGIN}")
    crm.run(f"DROP ROLE {LOGIN}")


def refused(feed: SqlFeed) -> tuple[str, str]:
    """What check finds and what reading raises, which say the same and show nothing."""
    findings: list[Finding] = [one for one in feed.check() if one.level is Level.ERROR]
    with pytest.raises((Stop, Retry)) as stopped:
        read(feed)
    for text in (str(findings), str(stopped.value), repr(stopped.value), repr(feed)):
        assert SECRET not in text
        assert "postgresql" not in text
        assert "127.0.0.1" not in text
    assert findings[0].rule == stopped.value.rule
    assert findings[0].next_step
    return findings[0].rule, findings[0].subject


def test_what_is_wrong_is_told_apart(crm: Elsewhere, reader: str) -> None:
    """Table, column, permission, password, database, form and driver (invariant 1)."""
    url = make_url(crm.url)
    absent = url.set(database="kith_no_such").render_as_string(hide_password=False)
    assert refused(crm.feed(table="crm.nobody")) == ("table_missing", "table")
    assert refused(crm.feed(fields={"name": "nom"})) == ("column_missing", "nom")
    assert refused(crm.feed(cursor="changed")) == ("column_missing", "changed")
    assert refused(crm.feed(dsn=absent)) == ("database_missing", "credentials.dsn")
    assert refused(crm.feed(dsn=f"no address {SECRET}")) == ("dsn_form", "credentials.dsn")
    assert refused(crm.feed(dsn=f"kith_no_such://a:{SECRET}@b/c"))[0] == "driver_missing"
    assert refused(crm.feed(table=None, query="SELEC 1")) == ("query_wrong", "query")
    assert refused(crm.feed(cursor="phone")) == ("cursor_form", "cursor")
    crm.run(f"GRANT USAGE ON SCHEMA crm TO {LOGIN}")
    assert refused(crm.feed(dsn=reader)) == ("not_allowed", "table")


def test_a_wrong_password_is_told(crm: Elsewhere) -> None:
    """A server that asks for a password says no, without the address."""
    url = make_url(crm.url).set(username="kith_nobody", password=SECRET)
    rule, subject = refused(crm.feed(dsn=url.render_as_string(hide_password=False)))
    assert (rule, subject) == ("wrong_password", "credentials.dsn")


def test_a_server_that_is_not_there_may_be_there_later(crm: Elsewhere) -> None:
    """Nobody listens: the same may go well in a moment."""
    dsn = f"postgresql+psycopg2://u:{SECRET}@127.0.0.1:1/x"
    assert refused(crm.feed(dsn=dsn))[0] == "not_reachable"
    with pytest.raises(Retry):
        read(crm.feed(dsn=dsn))


def test_a_reading_cannot_write(crm: Elsewhere, tmp_path: Path) -> None:
    """A query that would write is refused by the database (invariant 2)."""
    crm.run(
        "CREATE FUNCTION crm.spoil() RETURNS bigint LANGUAGE sql AS "
        "'DELETE FROM crm.members RETURNING id'"
    )
    query = "SELECT crm.spoil() AS id, 'x' AS name, 'y' AS phone, now() AS updated_at"
    with pytest.raises(Stop, match="database_failed"):
        read(crm.feed(table=None, query=query, mode="full"))
    assert read(crm.feed())[0] == ["1"]


def test_a_statement_ends_at_the_time_limit(crm: Elsewhere, tmp_path: Path) -> None:
    """PostgreSQL and SQLite both give up, and the next step says what to do (2)."""
    slow = "SELECT id, name, phone, updated_at FROM crm.members, pg_sleep(5)"
    with pytest.raises(Stop, match="time_limit"):
        read(crm.feed(table=None, query=slow, time_limit=1))
    path = tmp_path / "endless.db"
    path.touch()
    endless = (
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
        "SELECT id, 'x' AS name, 'y' AS phone, id AS updated_at FROM n"
    )
    entry = {name: value for name, value in MEMBERS.items() if name != "table"}
    with pytest.raises(Stop, match="time_limit"):
        read(feed_of(f"sqlite:///{path}", {**entry, "query": endless, "time_limit": 1}, 2))


def test_no_file_is_made_where_sqlite_finds_none(tmp_path: Path) -> None:
    """A wrong path is a wrong path, and not a new empty database."""
    path = tmp_path / "absent.db"
    feed = feed_of(f"sqlite:///{path}", MEMBERS, 2)
    assert rules(feed.check()) == [("database_missing", "credentials.dsn")]
    assert not path.exists()


def test_a_closed_reading_leaves_no_connection(crm: Elsewhere) -> None:
    """Whoever stops in the middle of a page gives the connection back (invariant 3)."""
    for number in range(2, 9):
        crm.put(number, number)
    reading = crm.feed(page=100).read(None)
    assert next(reading)
    assert crm.connections() == 1
    reading.close()  # type: ignore[attr-defined]
    assert crm.connections() == 0


def test_names_are_quoted_and_values_are_bound(crm: Elsewhere) -> None:
    """A table, a column and a key that try to be more are only names and values."""
    crm.run('CREATE TABLE crm."m; DROP" ("a""b" text PRIMARY KEY, "Na me" text, at int)')
    for key in ("1' OR '1'='1", "2%s", "3:x"):
        crm.run("INSERT INTO crm.\"m; DROP\" VALUES (:key, '张敏', 1)", key=key)
    feed = crm.feed(
        table="crm.m; DROP", record_id='a"b', fields={"name": "Na me"}, cursor="at", page=1
    )
    assert sorted(read(feed)[0]) == ["1' OR '1'='1", "2%s", "3:x"]


def test_a_lost_connection_may_be_tried_again(crm: Elsewhere) -> None:
    """A server that ends the session in the middle is a Retry, not a crash."""
    crm.run("INSERT INTO crm.members SELECT n, 'x', 'y', now() FROM generate_series(2, 5000) n")
    reading = crm.feed(page=10_000).read(None)
    next(reading)
    with sa.create_engine(crm.url, poolclass=sa.NullPool).connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with pytest.raises(Retry):
        list(reading)
