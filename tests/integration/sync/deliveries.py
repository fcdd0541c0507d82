"""Files that a till delivers, and the workspaces that sync them."""

from collections.abc import Callable
from pathlib import Path

from cdp.ingest.reports import SyncReport
from cdp.ingest.sync import sync
from cdp.workspace import Workspace
from tests.journeys.tills import member, write_till

Opener = Callable[..., Workspace]

DOUBLES = (
    member("C1"),
    member("C2", phone="13700000002"),
    member("C1", phone="13800001111"),
    member("C1"),
    member("C3", phone="12"),
    ["too", "short"],
    member("C2", name="另一人"),
    member("C3", phone="12"),
)


def folder_of(workspace: Workspace) -> Path:
    return workspace.settings.declaration.parent


def deliver(workspace: Workspace, *rows: object) -> SyncReport:
    """Write the till's file and sync it."""
    write_till(folder_of(workspace), rows)
    return sync(workspace, "till")
