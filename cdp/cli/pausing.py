"""``cdp source pause`` and ``cdp source resume``: whether workers run a source."""

from typing import Annotated, Final

import typer

from cdp.cli import output, session
from cdp.errors import Stop
from cdp.ingest import findings
from cdp.running import jobs
from cdp.running.jobs import SYNC
from cdp.workspace import Workspace

NOT_SCHEDULED: Final = "give it a schedule: docs/howto/keep-sources-running.md"
Name = Annotated[str, typer.Argument(help="A source of cdp.yaml.")]


def pause(name: Name, as_json: session.Json = False) -> None:
    """Have no worker begin a source. ``cdp source sync`` goes on working.

    Example: cdp source pause crm
    """
    workspace = _with(name)
    with workspace.engine.begin() as connection:
        runs = jobs.pause(connection, name, jobs.database_clock(connection))
    if as_json:
        output.as_json({"source": name, "paused": True, "running": runs})
        return
    output.say("No worker begins it now. Next: cdp source resume NAME")
    if runs:
        output.say("One runs it just now, and goes on to its end.")


def resume(name: Name, as_json: session.Json = False) -> None:
    """Let workers run a source again, at once, and take what it was paused for as it is.

    A contract that paused it pauses it no more for the same: stale as it was, or of that size.

    Example: cdp source resume crm
    """
    workspace = session.workspace()
    workspace.declaration.source(name)
    scheduled = name in jobs.scheduled(workspace.declaration)
    with workspace.engine.begin() as connection:
        now = jobs.database_clock(connection)
        accepted = findings.accept(connection, name, now)
        resumed = scheduled and jobs.resume(connection, SYNC, name, now)
    if not scheduled and not accepted:
        raise Stop("not_scheduled", NOT_SCHEDULED, source=name)
    if as_json:
        output.as_json({"source": name, "resumed": resumed, "accepted": accepted})
        return
    if accepted:
        output.say("What broke its contract is taken as it is, and pauses it no more.")
    if resumed:
        output.say("It is due now, and its failures are forgotten. Next: cdp source status")
    elif not scheduled:
        output.say("Next: cdp source sync NAME")
    elif not accepted:
        output.say("It was neither paused nor failing: nothing changed.")


def _with(name: str) -> Workspace:
    """The workspace, if it has that source and a worker may run it."""
    workspace = session.workspace()
    workspace.declaration.source(name)
    if name not in jobs.scheduled(workspace.declaration):
        raise Stop("not_scheduled", NOT_SCHEDULED, source=name)
    return workspace
