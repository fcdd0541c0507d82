"""``cdp source status`` and ``cdp source reset``: how sources stand, and beginning again."""

from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.ingest import feed_state
from cdp.storage.locks import only_one
from cdp.workspace import Workspace

Name = Annotated[str, typer.Argument(help="A source of cdp.yaml.")]
Names = Annotated[list[str] | None, typer.Argument(help="Sources of cdp.yaml; default: all.")]
_HEADER = (
    "source", "last run", "ended", "rows", "rejected share", "state of", "newest row of", "lag, s",
)  # fmt: skip


def status(names: Names = None, as_json: session.Json = False) -> None:
    """Say when each source was read last, how far, and how old its state is. Never the state."""
    workspace = session.workspace()
    declared = workspace.declaration
    chosen = [declared.source(one).name for one in names] if names else list(declared.sources)
    with workspace.engine.connect() as connection:
        found = feed_state.standings(connection, chosen, workspace.now())
    if as_json:
        output.as_json([one.to_dict() for one in found])
        return
    rows = [
        (
            one.source,
            *(time and f"{time:%Y-%m-%d %H:%M:%S}" for time in (one.started_at, one.finished_at)),
            one.position,
            one.rejected_share,
            *(time and f"{time:%Y-%m-%d %H:%M:%S}" for time in (one.state_at, one.newest_at)),
            one.lag and round(one.lag),
        )
        for one in found
    ]
    output.table("Sources, times in UTC", _HEADER, rows)


def reset(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: session.Json = False,
) -> None:
    """Forget where a source stands: the next sync reads everything. Its records stay."""
    workspace = session.workspace()
    workspace.declaration.source(name)
    with only_one(workspace.engine, f"sync {name}", "wait until the sync has ended"):
        forgotten = _forgotten(workspace, name, rehearse=dry_run)
    if as_json:
        told = {"source": name, "state": forgotten.state, "orders": forgotten.orders}
        output.as_json(told | {"dry_run": dry_run})
        return
    what = "its state" if forgotten.state else "no state, it has none,"
    verb = "Would forget" if dry_run else "Forgot"
    output.say(f"{verb} {what} and how new {forgotten.orders:,} records are. Its records stay.")


def _forgotten(workspace: Workspace, name: str, *, rehearse: bool) -> feed_state.Forgotten:
    with workspace.engine.connect() as connection:
        forgotten = feed_state.forget(connection, name)
        if rehearse:
            connection.rollback()
        else:
            connection.commit()
    return forgotten
