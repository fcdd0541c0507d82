"""``cdp source status`` and ``cdp source reset``: how sources stand, and beginning again."""

import datetime as dt
from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.cli.expiring import show_held
from cdp.credentials import lookup_of
from cdp.ingest import feed_state, reject_upkeep, write_keys
from cdp.ingest.contract import WHOLE
from cdp.ingest.findings import ContractFinding
from cdp.running.standing import SourceStanding, standings
from cdp.storage.locks import only_one
from cdp.workspace import Workspace

Name = Annotated[str, typer.Argument(help="A source of cdp.yaml.")]
Names = Annotated[list[str] | None, typer.Argument(help="Sources of cdp.yaml; default: all.")]
_HEADER = (
    "source", "state", "last run", "ended", "rows", "usual", "rejected share", "state of",
    "newest row of", "lag, s",
)  # fmt: skip


def status(names: Names = None, as_json: session.Json = False) -> None:
    """Say how each source stands: state, last run, rows, lag, what failed. Never a value.

    Example: cdp source status crm
    """
    workspace = session.workspace()
    declared = workspace.declaration
    chosen = [declared.source(one).name for one in names] if names else list(declared.sources)
    with workspace.engine.connect() as connection:
        found = standings(connection, declared, chosen, workspace.now())
        held = reject_upkeep.held(connection, declared, chosen, workspace.now())
    keys = dict(write_keys.findings(declared.sources, lookup_of(workspace)))
    if as_json:
        kept = {one.source: one.to_dict() for one in held}
        rules = {name: one.rule for name, one in keys.items()}
        output.as_json(
            [
                one.to_dict()
                | {"rejected_rows": kept.get(one.source), "write_key": rules.get(one.source)}
                for one in found
            ]
        )
        return
    output.table("Sources, times in UTC", _HEADER, [_line(one) for one in found])
    _show_findings(found)
    show_held(held)
    for name in sorted(set(keys) & set(chosen)):
        output.say(f"{name}: {keys[name].rule}. {keys[name].next_step}")
    wrong = [one for one in found if one.rule]
    if wrong:
        output.table(
            "Failing, paused, or with something in the way",
            ("source", "failures", "rule", "due again", "next step"),
            [(w.source, w.failures, w.rule, _time(w.due_again), w.next_step) for w in wrong],
        )


def _show_findings(standings: list[SourceStanding]) -> None:
    """Print what is wrong with what sources give."""
    found = [one for standing in standings for one in standing.findings]
    if found:
        output.table(
            "What sources give",
            ("source", "rule", "column or field", "action", "rows", "since", "next step"),
            [
                (
                    one.source,
                    one.found.rule,
                    one.found.subject,
                    "accepted" if one.accepted else one.found.action,
                    rows_of(one.found),
                    _time(one.first_at),
                    one.found.next_step,
                )
                for one in found
            ],
        )


def rows_of(one: ContractFinding) -> int | str | None:
    """How many rows a finding is of; None where it is of a column."""
    return one.rows or ("all" if one.rule in WHOLE else None)


def _line(one: SourceStanding) -> tuple[object, ...]:
    read = one.read
    return (
        one.source,
        one.state,
        _time(read.started_at),
        _time(read.finished_at),
        read.position,
        one.usual,
        read.rejected_share,
        _time(read.state_at),
        _time(read.newest_at),
        read.lag and round(read.lag),
    )


def _time(moment: dt.datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else None


def reset(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: session.Json = False,
) -> None:
    """Forget where a source stands: the next sync reads everything. Its records stay.

    Example: cdp source reset crm --dry-run
    """
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
