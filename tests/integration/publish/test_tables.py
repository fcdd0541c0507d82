"""Tables: who stands in one, when it is written, and its audit.

Each test names the invariant it shows; ``Table 3`` is the third of `cdp/publish/table.py`.
"""

import csv
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cdp.audit.errors import EventNotRecordable
from cdp.publish import table
from cdp.publish.plan import Planned, contract_for
from cdp.publish.table import TableRun
from cdp.storage import schema
from cdp.workspace import utc_now
from tests.integration.publish.shop import (
    PHONE,
    Shop,
)

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True, params=["kept in memory", "rendered again"])
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether people are held between comparing and writing must make no difference."""
    if request.param == "rendered again":
        monkeypatch.setattr(table, "KEPT", 0)


def read_table(shop: Shop) -> list[dict[str, str]]:
    path = shop.workspace.declaration.folder / "exports" / "weekly.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_the_allowed_columns_and_the_consenting_people(shop: Shop) -> None:
    """Table 4: One row for each person, one column for each field that policy allows."""
    yes = shop.retailer.person(shop.retailer.record("pos", {"city": "北京", "phone": PHONE}))
    shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}, purposes=("service",)))
    with shop.engine.begin() as connection:
        for name, value in (("value", "high"), ("lifecycle", "new")):
            connection.execute(
                schema.tag.insert().values(
                    profile_id=yes, name=name, value=value, rule_version="1", at=utc_now()
                )
            )
    report = shop.publish("weekly")
    assert read_table(shop) == [
        {"profile_id": yes, "city": "北京", "tags": "lifecycle=new;value=high"}
    ]
    assert (report.delivered, [one.field for one in report.withheld]) == (1, ["phone"])
    assert (report.planned.queued, report.planned.not_consented) == (1, 1)


def test_an_unchanged_table_is_not_written_again(shop: Shop) -> None:
    """Table 3: The second run writes nothing; a change, a removal or a lost file does."""
    one = shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    other = shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}))
    assert shop.publish("weekly").delivered == 2
    events = len(shop.retailer.events())
    again = shop.publish("weekly")
    assert (again.delivered, again.planned) == (0, Planned(0, 2, 0, 0))
    assert len(shop.retailer.events()) == events
    shop.refuse(other, "analysis")
    assert shop.publish("weekly").planned.removed == 1
    assert [row["profile_id"] for row in read_table(shop)] == [one]
    (shop.workspace.declaration.folder / "exports" / "weekly.csv").unlink()
    assert shop.publish("weekly").delivered == 1


def test_a_table_is_audited_for_each_person_and_as_a_whole(shop: Shop) -> None:
    """Table 1: One event for every person in it, and one that counts them."""
    people = sorted(
        shop.retailer.person(shop.retailer.record("pos", {"city": "北京"})) for _ in range(3)
    )
    shop.publish("weekly")
    *each, whole = shop.retailer.events()
    assert [event["profile_id"] for event in each] == people
    assert {event["action"] for event in each} == {"profile.publish"}
    assert {tuple(event["fields"]) for event in each} == {("city", "profile_id")}
    assert (whole["action"], whole["profile_id"], whole["detail"]) == (
        "table.publish",
        None,
        "3 people",
    )


def test_a_table_that_cannot_be_audited_does_not_appear(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 1 and 2: No event, no table; the old one stays as it was."""
    shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    shop.publish("weekly")
    before = read_table(shop)
    shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}))

    def broken(*_: object) -> int:
        raise EventNotRecordable("not_plain_text", "pass a code")

    monkeypatch.setattr("cdp.publish.table.log.append", broken)
    report = shop.publish("weekly")
    assert "not_plain_text" in (report.stopped or "")
    assert read_table(shop) == before
    monkeypatch.undo()
    assert shop.publish("weekly").planned.queued == 1
    assert len(read_table(shop)) == 2


class Table:
    """A table in memory; somebody else works while it is written."""

    name, header = "weekly", ("profile_id", "city", "tags")

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.rows: list[Any] = []
        self._meanwhile = meanwhile

    def write(self, rows: Iterable[Any]) -> int:
        """Keep the rows."""
        self._meanwhile()
        self.rows = list(rows)
        return len(self.rows)


def test_a_table_holds_one_moment(shop: Shop) -> None:
    """Table 4: Who is added while it is written is in the next one."""
    first = shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    table = Table(lambda: shop.person("钱二"))
    contract = contract_for(shop.workspace, "weekly")
    planned, written = TableRun(shop.workspace, contract, table, utc_now()).publish(present=False)
    assert (planned.queued, written) == (1, 1)
    assert [row["profile_id"] for row in table.rows] == [first]
