"""Sources that agreed on something, and a clock that a test turns."""

import datetime as dt
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from cdp.ingest import findings
from cdp.ingest.feed_sync import Following, sync_feed
from cdp.ingest.reports import SyncReport
from cdp.running.standing import SourceStanding, standings
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import FOLLOWED, SHOP, deliver, row, rows_of
from tests.integration.feeds.elsewhere import MEMBERS, Elsewhere
from tests.journeys import tills

NOON = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
FRESH = {"freshness": {"column": "updated", "days": 2}}
DAILY = {"volume": {"least": 0.5, "most": 2}}


class Shop:
    """A workspace whose clock a test turns."""

    def __init__(self, workspace: Workspace) -> None:
        self.at = NOON
        self.workspace = replace(workspace, now=lambda: self.at)

    def agree(self, **shop: Any) -> None:
        """Declare the shop with another contract; nothing else changes."""
        self.declare({"shop": {**SHOP, **shop}, "other": SHOP})

    def declare(self, sources: dict[str, Any]) -> None:
        """Declare these sources and no others."""
        folder = self.workspace.settings.declaration.parent
        tills.write_declaration(folder, tills.declaration(sources=sources))
        again = tills.open_shop(folder, str(self.workspace.settings.database_url))
        self.workspace.engine.dispose()
        self.workspace = replace(again, now=lambda: self.at)

    def gives(self, *deliveries: Any, how: Following = FOLLOWED) -> SyncReport:
        """Sync a feed that gives these, from its beginning."""
        return deliver(self.workspace, deliveries, how=replace(how, resumes=False))

    def resume(self, source: str = "shop") -> int:
        """A person resumes the source."""
        with self.workspace.engine.begin() as connection:
            return findings.accept(connection, source, self.at)

    def standing(self, source: str = "shop") -> SourceStanding:
        """What `cdp source status` says of it."""
        with self.workspace.engine.connect() as connection:
            [found] = standings(connection, self.workspace.declaration, [source], self.at)
        return found

    def count(self, table: sa.Table) -> int:
        """Rows of a table."""
        return len(rows_of(self.workspace, table))


class Table:
    """A table elsewhere, as a shop follows it."""

    def __init__(self, shop: Shop, members: Elsewhere) -> None:
        self.members, self.shop = members, shop
        self.entry: dict[str, Any] = {}

    def agree(self, **crm: Any) -> None:
        """Declare how it is followed; None leaves a key out."""
        self.entry = crm
        entry = {name: value for name, value in {**MEMBERS, **crm}.items() if value is not None}
        self.shop.declare({"crm": entry})

    def fill(self, rows: int) -> None:
        """Have it hold so many members and no others."""
        self.members.run("DELETE FROM crm.members")
        self.members.run(
            "INSERT INTO crm.members SELECT n, '张敏', '139' || lpad(n::text, 8, '0'), "
            "timestamptz '2026-03-09 08:00Z' FROM generate_series(1, :rows) n",
            rows=rows,
        )

    def sync(self, how: Following = FOLLOWED) -> SyncReport:
        """Sync it, pages of two rows, a minute later."""
        self.shop.at += dt.timedelta(minutes=1)
        workspace = self.shop.workspace
        feed = self.members.feed(**self.entry)
        return sync_feed(workspace, workspace.declaration.source("crm"), feed, how)


def of_day(number: str, day: str | None, name: str = "张敏") -> Any:
    """A row of the shop with this day in its column of freshness."""
    return replace(row(number, name), day=day)


def rules(report: SyncReport) -> list[tuple[str, str]]:
    return [(one.rule, one.action) for one in report.findings]
