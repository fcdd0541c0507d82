"""``cdp tag``: evaluate tags."""

from dataclasses import asdict

import typer

from cdp.cli import output, session
from cdp.tags import run as tags
from cdp.tags.run import TagReport

app = typer.Typer(help="Evaluate lifecycle, value and your own tags.", no_args_is_help=True)


@app.command()
def run(as_json: session.Json = False) -> None:
    """Evaluate every tag of every profile and store what changed.

    Example: cdp tag run
    """
    workspace = session.workspace()
    declared = workspace.declaration
    rules = tags.load(declared.folder, declared.sources.values())
    with workspace.engine.begin() as connection:
        report = tags.run(connection, rules, workspace.now())
    if as_json:
        output.as_json(asdict(report))
        return
    show_tags(report)
    if not (report.added or report.changed or report.restated or report.removed):
        output.say("Nothing changed: every tag is as it was.")


def show_tags(report: TagReport) -> None:
    """Print how many profiles have each value of each tag."""
    rows = [(tag, value, n) for tag, values in report.tags.items() for value, n in values.items()]
    output.table("Tags", ("tag", "value", "profiles"), rows)


@app.callback()
def _group() -> None:
    """Keep ``run`` a command of its own."""
