"""``cdp worker``: syncs by schedule, and resolves what changed."""

import signal
from collections import defaultdict
from typing import Annotated, Any, Final

import typer

from cdp.cli import output, session
from cdp.erasure.departing import Departing
from cdp.errors import Stop
from cdp.running import jobs
from cdp.running.ending import How
from cdp.running.standing import resolving, standings, work
from cdp.running.worker import Terms, Worker, World, failed

app = typer.Typer(help="Keep sources running: sync by schedule, resolve.", no_args_is_help=True)
_NOBODY = "(everybody)"
_RESOLVING: Final = ("state", "records that wait", "failures", "rule")
_MORE_PLACES: Final = "all places are taken; give a worker more of them: --processes"


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
    resolve_limit: Annotated[
        int,
        typer.Option(
            help="Minutes that a resolve may take; twice as long after each that took longer.",
            min=1,
            max=10080,
        ),
    ] = Terms().resolve_minutes,
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
    terms = Terms(
        processes=processes,
        lease=lease,
        resolves=not no_resolve,
        resolve_minutes=resolve_limit,
        once=once,
    )
    worker = Worker(workspace, terms, World(Departing()))
    _work(worker)
    show(_counted(worker), as_json=as_json)
    if once and failed(worker.endings):
        raise typer.Exit(1)


def _work(worker: Worker) -> None:
    """Run it until it is told to stop, by a signal or because nothing is due."""
    before = {one: signal.signal(one, worker.stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        worker.run()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@app.command()
def status(as_json: session.Json = False) -> None:
    """Say what workers have before them: resolving, what runs, what is due and nobody takes.

    Example: cdp worker status
    """
    workspace = session.workspace()
    declared = workspace.declaration
    with workspace.engine.connect() as connection:
        now = jobs.database_clock(connection)
        found = standings(connection, declared, list(jobs.scheduled(declared)), now)
        known = work(found, resolving(connection), now)
    if as_json:
        output.as_json(known.to_dict())
        return
    one = known.resolve
    output.table("Resolving", _RESOLVING, [(one.state, one.waiting, one.failures, one.rule)])
    output.table("Sources that workers run", ("state", "sources"), sorted(known.states.items()))
    if one.next_step:
        output.say(f"Resolving: {one.next_step}")
    if known.overdue is not None and known.is_left:
        source, seconds = known.overdue
        output.say(f"{source or 'Resolving'} has been due for {round(seconds / 60):,} minutes.")
        step = "is a worker running? cdp worker run" if known.nobody else _MORE_PLACES
        output.say(f"Next: {step}")


@app.command()
def resume(as_json: session.Json = False) -> None:
    """Let workers resolve again, at once, after it took too long and was paused.

    Example: cdp worker resume
    """
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        now = jobs.database_clock(connection)
        resumed = jobs.resume(connection, jobs.RESOLVE, jobs.EVERYBODY, now)
    if as_json:
        output.as_json({"resumed": resumed})
        return
    output.say(
        "Resolving is due now, and its failures are forgotten. Next: cdp worker status"
        if resumed
        else "Resolving was neither paused nor failing: nothing changed."
    )


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
