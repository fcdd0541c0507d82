"""``cdp publish``: hand profiles to downstream systems."""

from dataclasses import asdict
from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.errors import Stop
from cdp.publish.plan import retry_parked
from cdp.publish.receivers import signing_secret
from cdp.publish.run import PublishReport
from cdp.publish.run import run as run_publish

app = typer.Typer(help="Publish profiles by contract and consent.", no_args_is_help=True)


@app.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Destinations of cdp.yaml; default: all.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Send what changed since the last time; only contracted fields, only consented people.

    Example: cdp publish run crm
    """
    reports = run_publish(session.workspace(), names)
    if as_json:
        output.as_json([asdict(report) for report in reports])
    else:
        show_publish(reports)
    for report in reports:
        if report.stopped:
            output.say(f"[bold red]refused or failed:[/] {output.plain(report.stopped)}")
    if any(report.stopped for report in reports):
        raise typer.Exit(1)


def show_publish(reports: list[PublishReport]) -> None:
    """Print what publishing did."""
    output.table(
        "Published",
        ("destination", "fields", "delivered", "unchanged", "no consent", "parked", "left"),
        [
            (
                r.destination,
                ", ".join(r.fields),
                r.delivered,
                r.planned.unchanged,
                r.planned.not_consented,
                r.parked,
                r.left,
            )
            for r in reports
        ],
    )


@app.command()
def secret(
    name: Annotated[str, typer.Argument(help="A signed destination of cdp.yaml.")],
    as_json: session.Json = False,
) -> None:
    """Show what the receiver needs to verify signatures. Give it to nobody else.

    Example: cdp publish secret crm
    """
    shown = signing_secret(session.workspace(), name).reveal(reason="configure the receiver")
    if as_json:
        output.as_json({"destination": name, "secret": shown})
    else:
        output.table("Signing secret", ("destination", "secret"), [(name, shown)])


@app.command()
def retry(
    name: Annotated[str, typer.Argument(help="A destination of cdp.yaml.")],
    as_json: session.Json = False,
) -> None:
    """Take up messages again that were given up, at the next ``cdp publish run``.

    Example: cdp publish retry crm
    """
    workspace = session.workspace()
    if name not in workspace.declaration.destinations:
        known = ", ".join(workspace.declaration.destinations) or "none yet"
        raise Stop("no_such_destination", f"name one of: {known}", destination=name)
    with workspace.engine.begin() as connection:
        count = retry_parked(connection, name, workspace.now())
    if as_json:
        output.as_json({"destination": name, "queued": count})
    else:
        again = f"cdp publish run {output.plain(name)}"
        output.say(f"{count:,} messages are queued again. Next: {again}")
