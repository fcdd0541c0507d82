"""Read a source again, from the beginning or from a place, without losing where it stands.

Invariants, each named by a test in ``tests/integration/feeds/test_backfilling.py``:

1. Where the feed stands stays as it is; the next sync goes on from there.
2. A row never replaces a newer one of its record, where the source gives an order.
3. Broken off, the same command goes on from its own last state; since another place it begins
   anew.
4. What is known already changes nothing. A destroyed record does not come back.

A sync and a backfill of one source never run at once. A file is read whole by every sync, so its
backfill is a sync.
"""

from cdp.credentials import lookup_of
from cdp.errors import Stop
from cdp.ingest.feed_state import Backfill
from cdp.ingest.feed_sync import NO_DEPARTURES, Departures, Following, sync_feed
from cdp.ingest.reports import Progress, SyncReport, quiet
from cdp.ingest.sync import sync
from cdp.workspace import Workspace
from connectors.base import Source
from connectors.feed_declaration import PIPED
from connectors.registry import open_source
from connectors.rewinding import Rewinding


def backfill(
    workspace: Workspace,
    name: str,
    since: str | None = None,
    progress: Progress = quiet,
    departures: Departures = NO_DEPARTURES,
) -> SyncReport:
    """Read the source ``name`` again, and store what is not known yet.

    Args:
        workspace: whose source.
        name: of the source.
        since: a value of its cursor; None: from the beginning.
        progress: told rows done and rows expected.
        departures: destroys what a feed says was deleted at its source.

    Raises:
        connectors.errors.Stop, Retry: the source cannot be read; what was committed stays.
        cdp.errors.Stop: the source has no place of that kind, or as ``sync``.
        cdp.errors.Refused: a sync of this source runs.
    """
    declaration = workspace.declaration.source(name)
    if declaration.connector == PIPED:
        raise Stop("rows_are_piped", "have the sender begin anew: cdp ingest", source=name)
    source = open_source(declaration, workspace.declaration.folder, lookup_of(workspace))
    if isinstance(source, Source):
        if since is not None:
            raise Stop("no_cursor", "leave --since out: a file is read whole", source=name)
        return sync(workspace, name, progress, departures)
    place = None
    if since is not None:
        if not isinstance(source, Rewinding):
            raise Stop("no_cursor", "leave --since out: it begins at its beginning", source=name)
        place = source.state_since(since)
    again = Backfill(place, since or "")
    return sync_feed(
        workspace, declaration, source, Following(progress, departures, backfill=again)
    )
