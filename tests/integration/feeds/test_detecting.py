"""Personal data in columns that nobody declared, in feeds: cdp.ingest.detecting."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from cdp.ingest import detecting, findings
from cdp.ingest.detecting import HIDDEN, personal
from cdp.ingest.feed_sync import Following, sync_feed
from cdp.ingest.reports import SyncReport
from cdp.ingest.values import Reading
from cdp.workspace import Workspace
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.glimpse import Glimpse
from connectors.sources.physical_lines import Line
from connectors.streams.airbyte import AirbyteMessages
from connectors.streams.debezium import DebeziumMessages
from connectors.streams.plain import PlainMessages
from connectors.streams.singer import SingerMessages
from connectors.streams.stream_feed import StreamFeed
from tests.integration.feeds.deliveries import FOLLOWED, SHOP
from tests.integration.feeds.elsewhere import MEMBERS, Elsewhere
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
ONCE = replace(FOLLOWED, resumes=False)
DAY = dt.timedelta(days=1)


def member(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"C{number}",
        "name": "张敏",
        "phone": f"139{number:08}",
        "contact": {"backup": f"138{number:08}"},
        **more,
    }


def singer(row: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "stream": "members", "record": row}


def airbyte(row: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": "members", "data": row, "emitted_at": 1}}


def debezium(row: dict[str, Any]) -> dict[str, Any]:
    return {"op": "c", "before": None, "after": row, "source": {"table": "members", "db": "crm"}}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return row


KINDS = [
    (SingerMessages, singer),
    (AirbyteMessages, airbyte),
    (DebeziumMessages, debezium),
    (PlainMessages, plain),
]


def pipe(workspace: Workspace, kind: Any, messages: list[dict[str, Any]]) -> SyncReport:
    """Take in what a sender writes."""
    declaration = workspace.declaration.source("shop")
    texts = [json.dumps(one, ensure_ascii=False) for one in messages]
    lines = [Line(text, "\n", decoded=True, whole=True, end=0) for text in texts]
    feed = StreamFeed("shop", kind(declaration), lines)
    return sync_feed(workspace, declaration, feed, ONCE)


def told(report: SyncReport) -> list[tuple[str, str]]:
    return [(one.rule, one.subject) for one in report.findings]


def standing(workspace: Workspace, source: str = "shop") -> list[str]:
    with workspace.engine.connect() as connection:
        return [one.found.subject for one in findings.kept(connection, [source])]


@pytest.mark.parametrize(("kind", "message"), KINDS)
def test_streams_are_looked_at_while_they_pass(fed: Workspace, kind: Any, message: Any) -> None:
    """Told once, with column, kind and share, and no value; it stands until declared (1 and 2)."""
    rows = [message(member(n)) for n in range(1, 31)]
    report = pipe(fed, kind, rows)
    assert told(report) == [("personal_data_undeclared", "contact.backup")]
    assert "looks like phone (90% of 30 values)" in report.findings[0].next_step
    assert "13800000001" not in str(report.to_dict())
    assert told(pipe(fed, kind, rows[:3])) == []
    assert standing(fed) == ["contact.backup"]
    with fed.engine.connect() as connection:
        [kept] = findings.kept(connection, ["shop"])
    assert kept.found == report.findings[0]
    fields = {**SHOP["fields"], "phone": ["phone", "contact.backup"]}
    folder = fed.settings.declaration.parent
    tills.write_declaration(folder, tills.declaration(sources={"shop": {**SHOP, "fields": fields}}))
    again = tills.open_shop(folder, str(fed.settings.database_url))
    assert told(pipe(again, kind, rows[:3])) == []
    assert standing(again) == []
    again.engine.dispose()


def test_a_column_that_holds_something_else_is_forgotten(fed: Workspace) -> None:
    """A few rows without it say nothing; enough of other values do (1)."""
    pipe(fed, PlainMessages, [member(n) for n in range(1, 9)])
    pipe(fed, PlainMessages, [member(n, contact={"backup": "none"}) for n in range(1, 9)])
    assert standing(fed) == ["contact.backup"]
    pipe(fed, PlainMessages, [member(n, contact={"backup": "none"}) for n in range(1, 30)])
    assert standing(fed) == []


def test_a_heading_that_may_be_a_value_is_not_shown() -> None:
    """Keys of objects may be phones (2)."""
    glimpse = Glimpse()
    for number in range(1, 9):
        glimpse.see({"id": str(number), "by": {"13957140286": {"phone": f"139{number:08}"}}})
    declaration = parse_source("shop", SHOP)
    [found] = personal(glimpse.table(), declaration, Reading(dt.date(2026, 5, 4)))
    assert found.subject == HIDDEN
    assert "1395714" not in str(found)


@pytest.fixture
def crm(databases: Databases) -> Elsewhere:
    made = Elsewhere(databases.copy(None))
    for number in range(1, 6):
        made.put(number, number)
    return made


def test_a_table_is_looked_at_once_a_day(
    fed: Workspace, crm: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only declared columns are read: beside them some rows, seldom; no sync fails by it (3)."""
    only_name = {"fields": {"name": "name"}}
    folder = fed.settings.declaration.parent
    tills.write_declaration(folder, tills.declaration(sources={"crm": {**MEMBERS, **only_name}}))
    opened = tills.open_shop(folder, str(fed.settings.database_url))
    at = [opened.now()]
    workspace = replace(opened, now=lambda: at[0])
    asked = []

    def sync(feed: Any = None) -> SyncReport:
        feed = crm.feed(**only_name)
        table = feed.table

        def counted(most: int) -> Any:
            asked.append(most)
            if len(asked) == 3:
                raise Stop("crm", "time_limit", "Make an index.")
            return table(most)

        monkeypatch.setattr(feed, "table", counted)
        return sync_feed(workspace, workspace.declaration.source("crm"), feed, Following())

    assert told(sync()) == [("personal_data_undeclared", "phone")]
    assert told(sync()) == []
    assert len(asked) == 1
    at[0] += DAY
    assert told(sync()) == []
    assert asked == [200, 200]
    at[0] += DAY
    assert told(sync()) == []
    assert standing(workspace, "crm") == ["phone"]
    assert detecting.RULE == "personal_data_undeclared"
    opened.engine.dispose()
