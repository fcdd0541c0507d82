"""``cdp access roster``: who works at which store on which day."""

import datetime as dt
from typing import Annotated

import typer

from cdp.access import roster
from cdp.access.circumstances import today
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Refused
from cdp.workspace import Workspace

app = typer.Typer(
    help="Say who works where on a day, for policy lines that hold at the store only.",
    no_args_is_help=True,
)
Who = Annotated[str, typer.Argument(help="A principal of cdp.yaml.")]
Day = Annotated[dt.datetime, typer.Argument(formats=["%Y-%m-%d"], help="Such as 2026-05-04.")]


@app.command("set")
def set_line(
    who: Who,
    node: Annotated[str, typer.Argument(help="A node of the organisation.")],
    day: Day,
    principal: session.As,
    as_json: session.Json = False,
) -> None:
    """Write down that somebody works at a node on a day.

    Example: cdp access roster set clerk.s01 S01 2026-05-04 --as operator
    """
    line = roster.Line(who, day.date(), node)
    workspace = session.workspace()
    refused = None
    with workspace.engine.begin() as connection:
        try:
            roster.put(connection, workspace, subject_of(workspace, principal), line)
        except Refused as error:  # raised once its event is committed
            refused = error
    if refused is not None:
        raise refused
    if as_json:
        output.as_json({"principal": who, "day": line.day, "node": node})
    else:
        output.say(f"{output.plain(who)} is at {output.plain(node)} on {line.day}.")


@app.command("clear")
def clear_day(who: Who, day: Day, principal: session.As, as_json: session.Json = False) -> None:
    """Take the lines of somebody's day away.

    Example: cdp access roster clear clerk.s01 2026-05-04 --as operator
    """
    workspace = session.workspace()
    refused, gone = None, 0
    with workspace.engine.begin() as connection:
        subject = subject_of(workspace, principal)
        try:
            gone = roster.clear(connection, workspace, subject, who, day.date())
        except Refused as error:
            refused = error
    if refused is not None:
        raise refused
    if as_json:
        output.as_json({"principal": who, "day": day.date(), "removed": gone})
    else:
        output.say(f"Lines taken away: {gone}.")


@app.command("list")
def list_lines(
    days: Annotated[int, typer.Option(help="How many days, from today on.", min=1)] = 7,
    as_json: session.Json = False,
) -> None:
    """List who works where in the days to come.

    Example: cdp access roster list --days 14
    """
    workspace = session.workspace()
    first = _first_day(workspace)
    with workspace.engine.connect() as connection:
        found = roster.lines(connection, first, first + dt.timedelta(days=days - 1))
    if as_json:
        told = [{"principal": one.principal, "day": one.day, "node": one.node} for one in found]
        output.as_json(told)
    else:
        rows = [(one.day, one.node, one.principal) for one in found]
        output.table("Roster", ("day", "node", "who"), rows)


def _first_day(workspace: Workspace) -> dt.date:
    """The earliest date that any node has now."""
    organisation, now = workspace.declaration.organisation, workspace.now()
    dates = [today(organisation, node, now) for node in organisation.nodes]
    return min((one for one in dates if one is not None), default=now.date())
