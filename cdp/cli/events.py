"""``cdp source events``: what is kept of what SDKs send, counted, and removed in time."""

from dataclasses import asdict
from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.resolution import inbound_upkeep
from cdp.resolution.inbound_upkeep import Expired, Tally
from cdp.workspace import Workspace

Names = Annotated[
    list[str] | None, typer.Argument(help="Sources; default: all that events are stored of.")
]


def events(
    names: Names = None,
    tally: Annotated[bool, typer.Option("--tally", help="Count by day too.")] = False,
    expire: Annotated[bool, typer.Option("--expire", help="Remove what is over its time.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --expire: only say what would go.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Count the events of sources, by name; never a person. Or remove those of too long ago.

    Example: cdp source events web --tally
    """
    if expire and tally:
        raise typer.BadParameter("give --tally or --expire, not both")
    if dry_run and not expire:
        raise typer.BadParameter("--dry-run goes with --expire")
    workspace = session.workspace()
    chosen = _chosen(workspace, names)
    if expire:
        _expire(workspace, chosen, rehearse=dry_run, as_json=as_json)
        return
    with workspace.engine.connect() as connection:
        found = [inbound_upkeep.tally(connection, workspace, one, by_day=tally) for one in chosen]
    if as_json:
        output.as_json([_plain(one) for one in found])
    else:
        _show(found)


def _chosen(workspace: Workspace, names: list[str] | None) -> list[str]:
    with workspace.engine.connect() as connection:
        stored = inbound_upkeep.sources(connection)
    if not names:
        return stored
    return [one if one in stored else workspace.declaration.source(one).name for one in names]


def _expire(workspace: Workspace, chosen: list[str], *, rehearse: bool, as_json: bool) -> None:
    found: list[Expired] = []
    with output.steps() as steps:
        for one in inbound_upkeep.expire(workspace, chosen, rehearse=rehearse):
            found.append(one)
            steps.rows("sources", len(found), len(chosen))
    if as_json:
        output.as_json([_gone(one) | {"dry_run": rehearse} for one in found])
        return
    rows = [(one.source, one.kept_for, f"{one.before:%Y-%m-%d}", one.count) for one in found]
    what = "would go" if rehearse else "removed"
    output.table("Events over their time", ("source", "days kept", "received before", what), rows)


def _gone(one: Expired) -> dict[str, object]:
    counts = [{"kind": kind, "name": name, "count": count} for kind, name, count in one.events]
    return {
        "source": one.source,
        "kept_for_days": one.kept_for,
        "received_before": one.before.isoformat(),
        "removed": one.count,
        "events": counts,
    }


def _plain(one: Tally) -> dict[str, object]:
    return {
        "source": one.source,
        "kept_for_days": one.kept_for,
        "over_their_time": one.over,
        "events": [
            {**asdict(line), "day": line.day and line.day.isoformat()} for line in one.events
        ],
        "left_out": [
            {"day": day.isoformat(), "rule": rule, "count": count}
            for day, rule, count in one.left_out
        ],
        "key_used_in_hour_of": [f"{at:%Y-%m-%dT%H:%MZ}" for at in one.used],
    }


def _show(found: list[Tally]) -> None:
    rows = [
        (one.source, line.kind, line.name or "(who somebody is)", line.day or "all", line.count,
         line.of_somebody)
        for one in found
        for line in one.events
    ]  # fmt: skip
    header = ("source", "kind", "name", "day", "events", "of somebody known")
    output.table("Events, days in UTC", header, rows)
    left = [(one.source, *row) for one in found for row in one.left_out]
    if left:
        output.table("Left out", ("source", "day", "rule", "number"), left)
    for one in found:
        used = f"{one.used[0]:%Y-%m-%d %H}h UTC" if one.used else "never"
        output.say(f"{one.source}: kept for {one.kept_for} days; its key was used last: {used}.")
        if one.over:
            output.say(f"{one.over:,} are over their time. Next: cdp source events --expire")
