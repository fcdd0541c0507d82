"""``cdp worker``: syncs by schedule, and resolves what changed."""

import signal
from collections import defaultdict
from typing import Annotated, Any

import typer

from cdp.cli import output, session
from cdp.erasure.departing import Departing
from cdp.errors import Stop
from cdp.running import jobs
from cdp.running.ending import How
from cdp.running.worker import Terms, Worker, World, failed

app = typer.Typer(help="Keep sources running: sync by schedule, resolve.", no_args_is_help=True)
_NOBODY = "(everybody)"


@app.callback()
def _worker() -> None:
    """Keep sources running: sync by schedule, resolve."""


@app.command()
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Run what is due, resolve, and end: for cron.")
    ] = False,
    processes: Annotated[
        int, typer.Option(help="Runs at once.", min=1, max=64)
    ] = Terms().processes,
    lease: Annotated[
        int,
        typer.Option(
            help="Seconds after which a dead worker's sources are taken over.", min=2, max=600
        ),
    ] = round(Terms().lease),
    no_resolve: Annotated[
        bool, typer.Option("--no-resolve", help="Leave resolving to others.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Sync each source when its schedule says so, and resolve what changed, until told to stop.

    Example: cdp worker run --processes 4

    The first SIGTERM or ^C lets what runs commit its batch; the second ends it at once.
    """
    workspace = session.workspace()
    declared = workspace.declaration
    if not jobs.scheduled(declared) and not any(one.inbound for one in declared.sources.values()):
        step = "give a source a schedule: docs/howto/keep-sources-running.md"
        raise Stop("nothing_scheduled", step)
    terms = Terms(processes=processes, lease=lease, resolves=not no_resolve, once=once)
    worker = Worker(workspace, terms, World(Departing()))
    before = {one: signal.signal(one, worker.stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        worker.run()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    show(_counted(worker), as_json=as_json)
    if once and failed(worker.endings):
        raise typer.Exit(1)


def _counted(worker: Worker) -> list[dict[str, Any]]:
    """Runs by how they ended, for each source."""
    found: dict[tuple[str, str], dict[How, int]] = defaultdict(lambda: dict.fromkeys(How, 0))
    for (kind, source, how), count in worker.endings.items():
        found[kind, source][how] += count
    return [
        {"job": kind, "source": source or None, **{how.value: n for how, n in counts.items()}}
        for (kind, source), counts in sorted(found.items())
    ]


def show(counted: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print how runs ended."""
    if as_json:
        output.as_json(counted)
        return
    rows = [(one["job"], one["source"] or _NOBODY, *(one[how] for how in How)) for one in counted]
    header = ("job", "source", "done", "to retry", "to mend", "paused", "busy", "broken off")
    output.table("Runs", header, rows)
    if any(one[how] for one in counted for how in (How.RETRY, How.STOP, How.PAUSE)):
        output.say("Some failed. Next: cdp source status")
