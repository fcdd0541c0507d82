"""What feeds deliver in tests, and what a workspace is left with."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cdp.erasure.departing import Departing
from cdp.ingest.feed_sync import Following, sync_feed
from cdp.ingest.reports import SyncReport
from cdp.storage import schema
from cdp.workspace import Workspace
from connectors.base import Deleted
from connectors.record import FieldValue, Record, Rejection, Sensitive
from connectors.testing_feeds import MemoryFeed
from tests.journeys.state import contents

SHOP: dict[str, Any] = {
    "connector": "piped",
    "record_id": "id",
    "fields": {"name": "name", "phone": "phone", "email": "email"},
    "consent": {"basis": "membership", "purposes": ["service"]},
}
FEEDS: dict[str, Any] = {"shop": SHOP, "other": SHOP}
FOLLOWED = Following(departures=Departing())


def row(
    number: str, name: str = "张敏", *, order: int | None = None, load: int | None = None
) -> Record:
    """A row of the shop."""
    phone = f"139{int(number[1:]):08}"
    fields = {"name": (FieldValue(Sensitive(name)),), "phone": (FieldValue(Sensitive(phone)),)}
    return Record("shop", Sensitive(number), 1, fields, order=order, load=load)


def gone(number: str, *, order: int | None = None) -> Deleted:
    """The shop says that a record is gone."""
    return Deleted("shop", 1, Sensitive(number), order)


def bad(text: str) -> Rejection:
    """A row of the shop that is no record."""
    return Rejection("shop", 1, None, "record_id_missing", "Fill id.", Sensitive(text))


def deliver(
    workspace: Workspace, deliveries: Sequence[Any], every: int = 3, how: Following = FOLLOWED
) -> SyncReport:
    """Sync a feed that gives these, from wherever it stood."""
    feed = MemoryFeed("shop", deliveries, every)
    return sync_feed(workspace, workspace.declaration.source("shop"), feed, how)


def left(workspace: Workspace) -> dict[str, Any]:
    """Everything of the records that are left, whatever revision they are in."""
    state = contents(workspace)
    for one in state["records"].values():
        del one["revision"], one["dirty"]
    return {name: state[name] for name in ("records", "cells", "indexes", "keys")}


def rows_of(workspace: Workspace, table: sa.Table) -> list[Any]:
    """The rows of a table."""
    with workspace.engine.connect() as connection:
        return list(connection.execute(sa.select(table)))


def runs(workspace: Workspace) -> list[Any]:
    """Every run over the shop, the oldest first."""
    return sorted(rows_of(workspace, schema.sync_run), key=lambda run: run.id)
