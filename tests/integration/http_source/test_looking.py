"""What `cdp source check` and `preview` say of the first page of an API, and what they ask for."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from cdp.ingest.looking import looked_at
from cdp.ingest.preview import preview
from cdp.ingest.values import Reading
from connectors.base import Finding
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Reply, World, feed_of, paged, row

pytestmark = pytest.mark.integration
READING = Reading(dt.date(2026, 5, 4))
ROWS = [row(n) for n in range(1, 9)]
PAGED: dict[str, Any] = {"paging": api.PAGINGS["cursor"], **api.INCREMENTAL}


@pytest.fixture
def members() -> Iterator[Api]:
    """An API of eight members, four a page."""
    with Api(paged(ROWS, "cursor", 4)) as server:
        yield server


def found(server: Api, **more: Any) -> list[Finding]:
    feed = feed_of(server, **PAGED, **more)
    return looked_at(feed, feed._declaration, READING)


def short(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.rule, one.subject) for one in findings]


def test_the_first_page_is_held_to_mapping_and_contract(members: Api) -> None:
    """By one request: what rows break, lose or would pause the source for, and never a value."""
    contract = {
        "columns": {
            "name": {"allowed": ["李娜"]},
            "phone": {"required": True, "range": {"least": 1}, "type": "integer"},
            "id": {"allowed": ["1", "2", "3"], "on_breach": "pause"},
        }
    }
    told = found(members, contract=contract)
    assert short(told) == [("contract_allowed", "name"), ("contract_allowed", "id")]
    assert "4 of the first 4 rows would be rejected" in told[0].next_step
    assert "1 of the first 4 rows would pause the source" in told[1].next_step
    assert len(members.asked) == 1
    told = found(members, fields={"phone": "name", "email": "phone"})
    assert {"email", "phone"} <= {one.subject for one in told}
    assert "张敏" not in str(told)
    assert "1390000" not in str(told)


def test_columns_that_nobody_mapped_are_told_by_the_same_page(members: Api) -> None:
    """Check, rows and columns are one request together."""
    assert short(found(members, fields={"name": "name"})) == [("personal_data_undeclared", "phone")]
    assert len(members.asked) == 1


def test_a_preview_asks_for_one_page(members: Api) -> None:
    """However many rows are wanted, and whether or not they are rejected."""
    shown = preview(feed_of(members, **PAGED), READING, lambda _, text: text[:1], rows=10)
    assert [one.read["phone"] for one in shown] == ["+"] * 4
    assert len(members.asked) == 1
    shown = preview(feed_of(members, **PAGED, record_id="no"), READING, lambda *_: "*", rows=3)
    assert [one.problems[0].split(";")[0] for one in shown] == ["row: record_id_missing"] * 3


def test_a_broken_api_is_told_soon() -> None:
    """Somebody waits: two tries, and none after a minute."""
    with Api(lambda _: Reply(status=503, headers={"Retry-After": "3000"})) as server:
        world = World()
        feed = feed_of(server, world, **PAGED)
        [error] = looked_at(feed, feed._declaration, READING)
        assert error.level == "error"
        assert sum(world.slept) <= 60
        assert len(server.asked) <= 2


def test_a_column_of_phones_in_an_api_is_told_by_a_sync_too(members: Api) -> None:
    """The rows that a reading gives are looked at as they pass; nothing more is asked for."""
    feed = feed_of(members, **PAGED, fields={"name": "name"})
    list(feed.read(None))
    pages = len(members.asked)
    table = feed.glimpsed()
    assert table.columns == ("id", "name", "phone", "changed")
    assert len(table.rows) == 8
    assert len(members.asked) == pages
