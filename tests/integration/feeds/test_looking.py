"""What `cdp source check` says of the rows of a table."""

import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from cdp.ingest.looking import looked_at
from cdp.ingest.values import Reading
from connectors.base import Level
from connectors.sources.sql_feed import SqlFeed
from tests.integration.feeds.elsewhere import Elsewhere, rules
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
READING = Reading(dt.date(2026, 5, 4))
LOGIN = "kith_test_looker"


@pytest.fixture
def crm(databases: Databases) -> Elsewhere:
    """Another database with five members."""
    made = Elsewhere(databases.copy(None))
    for number in range(1, 6):
        made.put(number, number)
    return made


@pytest.fixture
def narrow(crm: Elsewhere) -> Iterator[str]:
    """The address for a login that may read the declared columns alone."""
    crm.run(f"DROP ROLE IF EXISTS {LOGIN}")
    crm.run(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'x'")
    crm.run(f"GRANT USAGE ON SCHEMA crm TO {LOGIN}")
    crm.run(f"GRANT SELECT (id, name, updated_at) ON crm.members TO {LOGIN}")
    yield make_url(crm.url).set(username=LOGIN, password="x").render_as_string(hide_password=False)
    crm.run(f"DROP OWNED BY {LOGIN}")
    crm.run(f"DROP ROLE {LOGIN}")


def found(feed: SqlFeed) -> list[tuple[str, str]]:
    return rules(looked_at(feed, feed._declaration, READING))


def test_columns_of_personal_data_are_told(crm: Elsewhere) -> None:
    """A column of phones that nobody mapped, in a table and in a query."""
    name = {"name": "name"}
    assert found(crm.feed()) == []
    assert found(crm.feed(fields=name)) == [("personal_data_undeclared", "phone")]
    query = "SELECT id, name, phone AS x, updated_at FROM crm.members"
    told = found(crm.feed(fields=name, table=None, query=query))
    assert told == [("personal_data_undeclared", "x")]


def test_what_a_login_may_not_read_is_no_finding(crm: Elsewhere, narrow: str) -> None:
    """Whoever grants the declared columns alone has done what the warning asks for."""
    assert found(crm.feed(fields={"name": "name"}, dsn=narrow)) == []


def test_the_contract_and_the_mapping_are_tried_on_rows(crm: Elsewhere) -> None:
    """Before a sync: what most rows break, lose, or would pause the source for."""
    contract = {"columns": {"name": {"allowed": ["李娜"]}}}
    assert found(crm.feed(contract=contract)) == [("contract_allowed", "name")]
    crm.run("UPDATE crm.members SET name = '13957140286'")
    told = looked_at(feed := crm.feed(), feed._declaration, READING)
    assert [(one.level, one.subject) for one in told] == [(Level.WARNING, "name")]
    assert "5 of the first 5 values would be set aside" in told[0].next_step
    assert "13957140286" not in str(told)


def test_a_column_of_freshness_without_a_day_is_told(crm: Elsewhere) -> None:
    """Its first sync would break the contract: the column or its formats are wrong."""
    fresh = {"freshness": {"column": "name", "days": 3}}
    assert found(crm.feed(contract=fresh)) == [("contract_freshness", "name")]
    fresh = {"freshness": {"column": "updated_at", "days": 3}}
    assert found(crm.feed(contract=fresh)) == []


def test_a_table_that_takes_too_long_to_look_at_is_a_warning(
    crm: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync may take longer than somebody who waits."""
    slow = "SELECT m.*, pg_sleep(0.4) FROM crm.members m"
    monkeypatch.setattr("connectors.sources.sql_feed.LOOKING", 1)
    feed = crm.feed(table=None, query=slow, mode="full", cursor=None)
    told = looked_at(feed, feed._declaration, READING)
    assert [(one.level, one.rule) for one in told] == [(Level.WARNING, "time_limit")]


def test_rows_that_say_deleted_are_no_fault(crm: Elsewhere) -> None:
    """A deletion is neither a record nor a rejection."""
    crm.run("UPDATE crm.members SET left_at = now()")
    assert found(crm.feed(deleted={"column": "left_at"})) == []
