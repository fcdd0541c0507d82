"""``cdp source pause`` and ``cdp source resume``: whether workers run a source."""

from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.errors import Stop
from cdp.running import jobs
from cdp.running.jobs import SYNC
from cdp.workspace import Workspace

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
    """Let workers run a source again, at once, whatever it was paused for.

    Example: cdp source resume crm
    """
    workspace = _with(name)
    with workspace.engine.begin() as connection:
        now = jobs.database_clock(connection)
        resumed = jobs.resume(connection, SYNC, name, now)
    if as_json:
        output.as_json({"source": name, "resumed": resumed})
    elif resumed:
        output.say("It is due now, and its failures are forgotten. Next: cdp source status")
    else:
        output.say("It was neither paused nor failing: nothing changed.")


def _with(name: str) -> Workspace:
    """The workspace, if it has that source and a worker may run it."""
    workspace = session.workspace()
    workspace.declaration.source(name)
    if name not in jobs.scheduled(workspace.declaration):
        step = "give it a schedule: docs/howto/keep-sources-running.md"
        raise Stop("not_scheduled", step, source=name)
    return workspace
