"""``cdp index``: blind indexes planned, built, made anew under a newer key, and retired."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Refused, Stop
from cdp.ingest import index_state, reindex
from cdp.ingest.reindex import ReindexReport
from cdp.keys import index_epochs
from cdp.vault import index_plan
from cdp.vault.index_plan import Plan, Spread
from cdp.workspace import Workspace
from connectors.index_parts import FULL_BITS, PARTS, IndexDefinition, fault

app = typer.Typer(help="Plan, build and rotate blind indexes.", no_args_is_help=True)
Parts = Annotated[list[str], typer.Argument(help=f"Parts of the index: {', '.join(PARTS)}.")]
Bits = Annotated[
    int | None, typer.Option(min=1, max=FULL_BITS, help="Bits to keep; without it, the best.")
]
People = Annotated[int | None, typer.Option(min=1, help="Plan for so many people, unmeasured.")]
Expect = Annotated[
    list[str] | None,
    typer.Option(help="With --people: PART=VALUES or PART=VALUES:SHARE of the most frequent."),
]


@app.command()
def plan(
    parts: Parts,
    bits: Bits = None,
    people: People = None,
    expect: Expect = None,
    as_json: session.Json = False,
) -> None:
    """Say what an index over these parts would cost and tell. Exit 1 if it is refused.

    Example: cdp index plan name birth_date --people 1000 --expect name=900 --expect birth_date=800
    """
    definition = IndexDefinition("planned", tuple(sorted(parts)), bits or FULL_BITS)
    # Truncation is chosen below; what is wrong whatever the bits is said before any counting.
    problem = fault(definition)
    if problem is not None:
        raise Refused(*problem, parts=" + ".join(definition.parts))
    spread = _expected(definition, people, expect) if people else _measured(definition)
    made = (
        index_plan.plan(definition, spread)
        if bits
        else index_plan.best("planned", definition.parts, spread)
    )
    if as_json:
        output.as_json(plan_to_dict(made))
    else:
        output.table(f"Index over {' + '.join(definition.parts)}", ("what", "value"), _rows(made))
    if made.refusal:
        raise Refused(*made.refusal, parts=" + ".join(definition.parts))


@app.command()
def status(as_json: session.Json = False) -> None:
    """Show every stored index: its epochs, its rows, and what they tell.

    Example: cdp index status
    """
    workspace = session.workspace()
    found = index_state.states(workspace)
    if as_json:
        output.as_json([asdict(one) for one in found])
        return
    rows = [
        (
            one.label if one.declared else f"{one.label} (not declared)",
            one.epoch,
            one.rows,
            one.only_here,
            1 + max(0, one.spread.holders - 1) * one.spread.collision,
            one.spread.largest,
            round(one.spread.holders - one.spread.alone),
        )
        for one in found
    ]
    header = "index", "epoch", "rows", "wait", "candidates", "largest", "people not alone"
    output.table("Blind indexes", header, rows)


@app.command()
def build(
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Measure and plan before building.")
    ] = True,
    as_json: session.Json = False,
) -> None:
    """Build the compounds of cdp.yaml for records stored before they were declared.

    Example: cdp index build
    """
    workspace = session.workspace()
    if not workspace.declaration.indexes:
        step = "declare one under indexes in cdp.yaml; see: cdp index plan"
        raise Stop("no_index_declared", step)
    if check:
        for name, definition in workspace.declaration.indexes.items():
            made = index_plan.plan(definition, _measured(definition, workspace))
            if made.refusal and made.spread.holders:
                raise Refused(*made.refusal, index=name)
    with output.steps() as steps:
        report = reindex.build(workspace, steps.of("building indexes"))
    _tell(report, as_json=as_json)


@app.command()
def rotate(principal: session.As, as_json: session.Json = False) -> None:
    """Put a new index key in force and make every row anew under it; goes on after a kill.

    Example: cdp index rotate --as operator
    """
    workspace = session.workspace()
    epoch, is_new = index_epochs.begin(workspace, subject_of(workspace, principal))
    output.say(f"epoch {epoch} {'begins' if is_new else 'goes on'}")
    with output.steps() as steps:
        report = reindex.reindex(workspace, steps.of("making indexes anew"))
    _tell(report, as_json=as_json)


@app.command()
def retire(
    epoch: Annotated[int, typer.Argument(min=1, help="An epoch that is no longer in force.")],
    principal: session.As,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count only.")] = False,
    as_json: session.Json = False,
) -> None:
    """Delete the rows of an old epoch once nothing is found by them alone.

    Example: cdp index retire 1 --as operator --dry-run
    """
    workspace = session.workspace()
    subject = subject_of(workspace, principal)
    with output.steps() as steps:
        progress = steps.of("deleting")
        rows = index_epochs.retire(workspace, subject, epoch, progress, dry_run=dry_run)
    if as_json:
        output.as_json({"epoch": epoch, "rows": rows, "deleted": not dry_run})
    else:
        words = "would go" if dry_run else f"gone; now run: cdp key retire blind-index {epoch}"
        output.say(f"epoch {epoch}: {rows:,} rows {words}")


def plan_to_dict(made: Plan) -> dict[str, Any]:
    """A plain object for ``--json``."""
    told = asdict(made.leakage)
    if told["stands_out"] == float("inf"):
        told["stands_out"] = None
    return {
        "parts": list(made.definition.parts),
        "bits": made.definition.bits,
        "people": made.spread.holders,
        "distinct": made.spread.distinct,
        "largest_group": made.spread.largest,
        "candidates_mean": made.mean,
        "candidates_worst": made.worst,
        "coincidences": made.coincidences,
        "leakage": told,
        "advice": made.advice,
        "refusal": made.refusal[0] if made.refusal else None,
        "next_step": made.refusal[1] if made.refusal else None,
    }


# ── inside ──────────────────────────────────────────────────────────────────


def _measured(definition: IndexDefinition, workspace: Workspace | None = None) -> Spread:
    opened = workspace or session.workspace()
    with output.steps() as steps:
        return index_state.measured_spread(opened, definition.parts, steps.of("counting"))


def _expected(definition: IndexDefinition, people: int | None, expect: list[str] | None) -> Spread:
    said: dict[str, tuple[int, float | None]] = {}
    for entry in expect or ():
        part, _, figures = entry.partition("=")
        values, _, share = figures.partition(":")
        try:
            said[part] = int(values), float(share) if share else None
        except ValueError:
            raise typer.BadParameter("write PART=VALUES or PART=VALUES:SHARE") from None
    lacking = sorted(set(definition.parts) - set(said))
    if lacking:
        raise typer.BadParameter(f"--people needs --expect for: {', '.join(lacking)}")
    return Spread.combined([Spread.expected(people or 1, *said[p]) for p in definition.parts])


def _rows(made: Plan) -> list[tuple[str, str]]:
    spread, told = made.spread, made.leakage
    bits = f"{made.definition.bits}" + ("" if made.definition.truncated else " (full length)")
    rows = [
        ("bits to keep", bits),
        ("people with all parts", f"{spread.holders:,}"),
        ("different combinations", f"{spread.distinct:,}"),
        ("most people with one combination", f"{spread.largest:,}"),
        ("candidates of a look-up, mean", f"{made.mean:,.1f}"),
        ("candidates of a look-up, worst", f"{made.worst:,}"),
        ("of them by coincidence", f"{made.coincidences:,.1f}"),
        ("seen by a thief: people not alone", f"{told.alike:,.0f}"),
        ("seen by a thief: largest group", f"{told.largest:,.0f} people"),
        ("combinations behind one stored value", f"{told.values_behind:,.1f}"),
        ("told by one stored value at most", f"{told.entropy:.1f} bits"),
        ("verdict", f"refused: {made.refusal[0]}" if made.refusal else "may be built"),
    ]
    return [*rows, ("advice", made.advice)] if made.advice else rows


def _tell(report: ReindexReport, *, as_json: bool) -> None:
    if as_json:
        output.as_json(asdict(report))
    else:
        output.say(f"epoch {report.epoch}: {report.rows:,} rows of {report.records:,} records made")
        if report.stale:
            output.say(f"{report.stale:,} rows belong to definitions that cdp.yaml no longer has")
    if report.left:
        waiting = ", ".join(f"{label} {count:,}" for label, count in report.left.items())
        raise Refused(
            "records_wait_for_the_sensitive_key",
            "run it again in a process that holds the sensitive key",
            waiting=waiting,
        )
    output.all_open(report.broken, report.broken_count)
