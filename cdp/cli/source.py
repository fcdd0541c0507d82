"""``cdp source``: check, preview, sync, rejects."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer

from cdp.cli import conformance, events, feeding, output, pausing, session, upkeep, wiring
from cdp.cli.expiring import expire_rejects
from cdp.cli.feeding import rows_of
from cdp.credentials import lookup_of
from cdp.errors import Refused, Stop
from cdp.ingest import rejects as kept
from cdp.ingest import write_keys
from cdp.ingest.intake import MOST_SENT
from cdp.ingest.looking import looked_at
from cdp.ingest.preview import preview as read_preview
from cdp.ingest.removed import require_not_removed
from cdp.ingest.reports import SyncReport
from cdp.ingest.side_by_side import sync_all
from cdp.ingest.storing import reading_of
from cdp.workspace import Workspace
from connectors.base import Finding, Level
from connectors.feed_declaration import PIPED
from connectors.hooks.declaration import WEBHOOK
from connectors.registry import open_source

app = typer.Typer(help="Wire a source, look at it, bring it in.", no_args_is_help=True)
app.command()(wiring.init)
app.command()(feeding.status)
app.command()(feeding.reset)
app.command()(pausing.pause)
app.command()(pausing.resume)
app.command()(events.events)
app.command("test-connector")(conformance.try_laws)
app.command()(upkeep.backfill)
app.command()(upkeep.replay)
app.command()(upkeep.remove)
Name = Annotated[str, typer.Argument(help="A source of cdp.yaml.")]
Names = Annotated[list[str] | None, typer.Argument(help="Sources of cdp.yaml; default: all.")]


def _chosen(workspace: Workspace, names: list[str] | None) -> list[str]:
    declared = workspace.declaration
    if not declared.sources:
        raise Stop(
            "no_sources", "describe one under sources in cdp.yaml: docs/howto/first-source.md"
        )
    if names:
        return [declared.source(name).name for name in names]
    unread = {PIPED, WEBHOOK}
    read = {n: one for n, one in declared.sources.items() if one.inbound is None}
    return [name for name, one in read.items() if one.connector not in unread]


@app.command()
def check(names: Names = None, as_json: session.Json = False) -> None:
    """Open each source and compare it with its mapping. Reads little, stores nothing.

    Example: cdp source check till
    """
    workspace = session.workspace()
    declared = workspace.declaration
    secrets = lookup_of(workspace)
    reading = reading_of(workspace, workspace.now().date())
    found = [
        {"source": name, **asdict(finding)}
        for name in _chosen(workspace, names)
        for finding in (
            *_removed(workspace, name),
            *looked_at(
                open_source(declared.sources[name], declared.folder, secrets),
                declared.sources[name],
                reading,
            ),
        )
    ]
    wrong = write_keys.findings(declared.sources, secrets)
    found += [{"source": at, **asdict(one)} for at, one in wrong if not names or at in names]
    if as_json:
        output.as_json(found)
    elif found:
        keys = ("source", "level", "rule", "subject", "next_step")
        output.table("Findings", keys, [[one[key] for key in keys] for one in found])
    else:
        output.say("Every source can be read as declared. Next: cdp source preview NAME")
    if any(one["level"] == Level.ERROR for one in found):
        raise typer.Exit(1)


def _removed(workspace: Workspace, name: str) -> Iterator[Finding]:
    """An error where nothing is taken in under the name any more."""
    try:
        with workspace.engine.connect() as connection:
            require_not_removed(connection, name)
    except Refused as refused:
        yield Finding(Level.ERROR, refused.rule, name, refused.next_step)


@app.command()
def preview(
    name: Name,
    rows: Annotated[int, typer.Option(help="How many rows.", min=1, max=100)] = 10,
    as_json: session.Json = False,
) -> None:
    """Show the first rows before and after reading, masked. Stores nothing.

    Example: cdp source preview till --rows 4
    """
    workspace = session.workspace()
    declared = workspace.declaration
    source = open_source(declared.source(name), declared.folder, lookup_of(workspace))
    reading = reading_of(workspace, workspace.now().date())
    shown = read_preview(source, reading, workspace.policy.mask, rows)
    if as_json:
        output.as_json([asdict(row) for row in shown])
        return
    lines = [
        (
            row.position,
            "\n".join(f"{field}: {text}" for field, text in row.delivered.items()),
            "\n".join(f"{field}: {text}" for field, text in row.read.items()),
            "\n".join(row.problems),
        )
        for row in shown
    ]
    output.table(f"{name}, masked", ("row", "delivered", "read", "rejected or set aside"), lines)


@app.command()
def sync(names: Names = None, as_json: session.Json = False) -> None:
    """Bring sources in. Goes on where a broken-off sync ended; a second sync changes nothing.

    Example: cdp source sync till
    """
    from cdp.erasure.departing import Departing  # noqa: PLC0415 - it loads what learns a model

    workspace = session.workspace()
    with output.steps() as steps:
        chosen = _chosen(workspace, names)
        reports, failed = sync_all(workspace, chosen, steps.of("rows"), Departing())
    if as_json:
        output.as_json([report.to_dict() for report in reports])
    else:
        show_sync(reports)
        _say_what_next(reports)
    for one in failed:
        output.say(f"[bold red]refused or failed:[/] {output.plain(str(one))}")
    if failed or any(report.read and report.rejected == report.read for report in reports):
        raise typer.Exit(1)


def show_sync(reports: list[SyncReport]) -> None:
    """Print what syncs did."""
    header = ["source", "read", "added", "changed", "unchanged", "rejected", "values set aside"]
    rows = [
        [r.source, r.read, r.added, r.changed, r.unchanged, r.rejected, r.set_aside]
        for r in reports
    ]
    for more in ("deleted", "superseded", "shredded"):
        if any(getattr(report, more) for report in reports):
            header.append(more)
            rows = [
                [*row, getattr(report, more)] for row, report in zip(rows, reports, strict=True)
            ]
    output.table("Synced", header, rows)
    _show_breaches(reports)


def _show_breaches(reports: list[SyncReport]) -> None:
    """Print what is wrong with the rows: broken contracts, personal data nobody mapped."""
    broken = [(report.source, one) for report in reports for one in report.findings]
    if broken:
        output.table(
            "What sources give",
            ("source", "rule", "column or field", "action", "rows", "next step"),
            [
                (source, one.rule, one.subject, one.action, rows_of(one), one.next_step)
                for source, one in broken
            ],
        )


def _say_what_next(reports: list[SyncReport]) -> None:
    if any(report.rejected or report.set_aside for report in reports):
        output.say("What was not taken in: cdp source rejects")
    if any(report.shredded for report in reports):
        output.say("Destroyed records were delivered and not taken in: see cdp vault readmit")
    if any(report.read and report.rejected == report.read for report in reports):
        output.say("[bold red]A source gave no record at all: every row was rejected.[/]")
    if not any(report.accepted for report in reports):
        return
    if all(report.nothing_new for report in reports):
        but = " but the rejected ones" if any(report.rejected for report in reports) else ""
        output.say(f"Nothing changed: every row{but} was known already.")
    else:
        output.say("Next: cdp identity resolve")


@app.command()
def push(
    name: Name,
    file: Annotated[typer.FileText, typer.Argument(help="JSON lines; - reads standard input.")],
    together: Annotated[
        int, typer.Option(help="Lines resolved in one transaction.", min=1, max=MOST_SENT)
    ] = 20,
    as_json: session.Json = False,
) -> None:
    """Take in records line by line and say at once how many people they belong to.

    Example: cdp source push till - < members.jsonl
    """
    from cdp.resolution.online import Arrivals  # noqa: PLC0415 - it loads what learns a model

    workspace = session.workspace()
    arrivals = Arrivals(workspace, name)
    counts = dict.fromkeys(("lines", "stored", "unchanged", "set_aside", "shredded", "waiting"), 0)
    people: set[str] = set()
    refused: list[dict[str, object]] = []
    lines = (line for line in file if line.strip())
    while rows := list(islice(lines, together)):
        done = arrivals.resolve(rows)
        refused += [
            {"line": counts["lines"] + one.position, "rule": one.rule, "next_step": one.next_step}
            for one in done.refused
        ]
        counts["lines"] += len(rows)
        counts["stored"] += done.stored
        counts["unchanged"] += done.unchanged
        counts["set_aside"] += done.set_aside
        counts["shredded"] += done.shredded
        counts["waiting"] += done.waiting
        people.update(done.profiles)
    result = {**counts, "people": len(people), "refused": refused}
    if as_json:
        output.as_json(result)
    else:
        rows_shown = [(what.replace("_", " "), number) for what, number in counts.items()]
        output.table("Pushed", ("what", "number"), [*rows_shown, ("people", len(people))])
        for one in refused:
            output.say(f"line {one['line']}: {one['rule']}; next: {one['next_step']}")
        if counts["waiting"]:
            output.say("Some records wait. Next: cdp identity resolve")
    if refused:
        raise typer.Exit(1)


@app.command()
def rejects(
    name: Annotated[str | None, typer.Argument(help="A source of cdp.yaml.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only this rule, row by row.")] = None,
    limit: Annotated[int, typer.Option(help="Rows at the most.", min=1)] = 100,
    expire: Annotated[bool, typer.Option("--expire", help="Remove what is over its time.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --expire: only say what would go.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """List what was not taken in: whole rows, and single values set aside. Never the value.

    Example: cdp source rejects till --rule filler_number
    """
    workspace = session.workspace()
    if name:
        workspace.declaration.source(name)
    if expire or dry_run:
        expire_rejects(workspace, name, expire=expire, rehearse=dry_run, as_json=as_json)
        return
    with workspace.engine.connect() as connection:
        counts = kept.count_rejects(connection, name)
        rows = kept.list_rejects(connection, name, rule, limit) if rule or as_json else []
    if as_json:
        output.as_json(
            {"counts": [c.to_dict() for c in counts], "rows": [r.to_dict() for r in rows]}
        )
    elif rule:
        output.table(
            f"Rows under the rule {rule}",
            ("source", "row", "field", "next step"),
            [(r.source, r.position, r.field or "(row)", r.next_step) for r in rows],
        )
    elif counts:
        show_rejects(counts)
        output.say(
            "Put right at its source: sync again. Read in another way now: cdp source replay NAME"
        )
    else:
        output.say("Nothing was rejected or set aside.")


def show_rejects(counts: list[kept.RejectCount]) -> None:
    """Print rejects, counted by rule."""
    header = ("source", "field", "rule", "rows", "first row", "next step")
    output.table(
        "Rejected rows and values set aside",
        header,
        [(c.source, c.field or "(row)", c.rule, c.count, c.first, c.next_step) for c in counts],
    )
