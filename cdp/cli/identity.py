"""``cdp identity``: resolve, evaluate, export, explain; decisions stand beside."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cdp.access.answers import Denial
from cdp.access.gate import Gate
from cdp.access.principals import subject_of
from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.cli import crowded, decisions, measuring, models, output, session
from cdp.cli.records import find_record
from cdp.errors import Refused
from cdp.profiles.evidence import Link
from cdp.resolution import membership
from cdp.resolution.explaining import strongest_way
from cdp.resolution.run import resolve as run_resolve
from cdp.vault.fresh import FreshKeys
from cdp.workspace import Workspace
from identity.duckdb_engine import Limits
from identity.remote import Cluster, OnSpark

app = typer.Typer(help="Find the people behind the records.", no_args_is_help=True)
app.add_typer(decisions.app)
app.add_typer(measuring.model, name="model")
app.command("evaluate")(measuring.evaluate_profiles)
app.command("simulate")(models.simulate_epoch)
app.command("crowded")(crowded.show_crowded)


class EngineName(StrEnum):
    """What can compare the pairs of a full run."""

    DUCKDB = "duckdb"
    SPARK = "spark"


RecordName = Annotated[str, typer.Argument(help="SOURCE:RECORD_ID, as the source names it.")]


@app.command()
def resolve(
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Learn a new identity model first.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Decide everybody anew, not only what changed.")
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="Where pairs are compared when everybody is decided.")
    ] = EngineName.DUCKDB,
    master: Annotated[
        str | None, typer.Option(help="Of Spark: local[2], spark://HOST:7077.")
    ] = None,
    exchange: Annotated[
        Path | None,
        typer.Option(
            help="A folder that every Spark executor sees under this path.",
            exists=True,
            file_okay=False,
            writable=True,
        ),
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Decide which records are one person, and bring profiles up to date.

    Example: cdp identity resolve
    """
    workspace = session.workspace()
    elsewhere = spark_engine(workspace, engine, master, exchange)
    with output.steps() as steps:
        report = run_resolve(
            workspace, retrain=retrain, full=full, engine=elsewhere, progress=steps.step
        )
    if as_json:
        output.as_json(report.to_dict())
        return
    output.table("Resolved", ("what", "number"), list(report.to_dict().items()))
    if report.trained:
        output.say("A new epoch is in force, signed by nobody; see: cdp identity model list")
    if report.nothing_new:
        output.say("Nothing changed: every profile is as it was.")


def spark_engine(
    workspace: Workspace, engine: EngineName, master: str | None, exchange: Path | None
) -> OnSpark | None:
    """The cluster to compare pairs on; None for this process.

    Raises:
        typer.BadParameter: options of Spark without Spark.
    """
    settings = workspace.settings
    if engine is EngineName.SPARK:
        where = Cluster(
            master or f"local[{settings.threads}]",
            exchange.absolute() if exchange else None,
            withheld=("CDP_DATABASE_URL", "PGPASSWORD"),
        )
        return OnSpark(where, FreshKeys().keys, Limits(settings.memory_mb, settings.threads))
    if master or exchange:
        raise typer.BadParameter("--master and --exchange go with --engine spark")
    return None


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The CSV file to write.")],
    as_json: session.Json = False,
) -> None:
    """Write which record belongs to which profile: source,record_id,profile_id.

    Example: cdp identity export --out .cdp/exports/who.csv
    """
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        event = AuditEvent(
            actor="cli",
            role="operator",
            action="identity.export",
            purpose="service",
            decision="allow",
            reason="granted",
            policy_version=workspace.policy.version,
            at=workspace.now(),
        )
        log.append(connection, event)
    # Committed before the file appears: a kill in between leaves an event too many, never
    # a file too many.
    with workspace.engine.connect() as connection:
        count = membership.export(connection, workspace.vault, out)
    if as_json:
        output.as_json({"records": count, "out": str(out)})
    else:
        output.say(f"{count:,} records written to {output.plain(str(out))}")


@app.command()
def explain(
    one: RecordName,
    other: RecordName,
    principal: session.As = "headquarters",
    purpose: session.Purpose = "service",
    svg: Annotated[Path | None, typer.Option(help="Write a chart of the evidence here.")] = None,
    as_json: session.Json = False,
) -> None:
    """Say why two records are one person, or that they are not.

    Example: cdp identity explain till:K001 till:K008
    """
    workspace = session.workspace()
    ids = [find_record(workspace, name) for name in (one, other)]
    links = explain_records(workspace, principal, purpose, (ids[0], ids[1]))
    if svg:
        measuring.write(svg, measuring.evidence_chart(links))
    if as_json:
        output.as_json([link_to_dict(link) for link in links])
    else:
        show_explanation(links)


def explain_records(
    workspace: Workspace, principal: str, purpose: str, records: tuple[tuple[int, str], ...]
) -> list[Link]:
    """The strongest way between two records of one profile; empty for two people."""
    (start, profile_id), (end, other_profile) = records
    with workspace.engine.begin() as connection:
        subject = subject_of(workspace, principal)
        answer = Gate(workspace).evidence(connection, subject, profile_id, purpose)
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)
    if profile_id != other_profile:
        return []
    if not {start, end} <= {one.record_id for one in answer.records}:
        step = "ask for a purpose that both records may be used for"
        raise Refused("record_outside_purpose", step, purpose=purpose)
    return strongest_way(answer.links, start, end)


def link_to_dict(link: Link) -> dict[str, object]:
    """A plain object for ``--json``."""
    return {
        "low_id": link.low_id,
        "high_id": link.high_id,
        "bits": link.bits,
        "epoch": link.epoch,
        "findings": [
            {"comparison": f.comparison, "level": f.level, "bits": f.bits} for f in link.findings
        ],
    }


def show_explanation(links: list[Link]) -> None:
    """Print the evidence of a chain of links."""
    if not links:
        output.say("They are two people: nothing joins them.")
    for link in links:
        given = sum(finding.bits for finding in link.findings)
        rows = [("any two records", "before any evidence", link.bits - given)]
        rows += [(f.comparison, f.level, f.bits) for f in link.findings]
        rows.append(("together", f"epoch {link.epoch}", link.bits))
        output.table(
            f"Record {link.low_id} and record {link.high_id}", ("compared", "found", "bits"), rows
        )
