"""``cdp identity``: resolve, evaluate, export, explain."""

from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from cdp.access.answers import Denial
from cdp.access.gate import Gate
from cdp.access.principals import subject_of
from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.cli import output, session
from cdp.errors import Refused, Stop
from cdp.profiles.evidence import Link
from cdp.resolution import membership
from cdp.resolution.explaining import strongest_way
from cdp.resolution.run import resolve as run_resolve
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity.evaluate import Evaluation

app = typer.Typer(help="Find the people behind the records.", no_args_is_help=True)
RecordName = Annotated[str, typer.Argument(help="SOURCE:RECORD_ID, as the source names it.")]


@app.command()
def resolve(
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Learn a new identity model first.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Decide which records are one person, and bring profiles up to date."""
    workspace = session.workspace()
    with output.steps() as steps:
        report = run_resolve(workspace, retrain=retrain, progress=steps.step)
    if as_json:
        output.as_json(report.to_dict())
        return
    output.table("Resolved", ("what", "number"), list(report.to_dict().items()))
    if report.nothing_new:
        output.say("Nothing changed: every profile is as it was.")


@app.command()
def evaluate(
    truth: Annotated[
        Path, typer.Option(help="CSV with source,record_id,person_id and optionally linkable_id.")
    ],
    as_json: session.Json = False,
) -> None:
    """Measure the profiles against a truth file."""
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        measured = membership.evaluate_against(connection, RecordKeys(workspace.keyring), truth)
    if as_json:
        output.as_json(measured.to_dict())
    else:
        show_evaluation({"kith": measured})


def show_evaluation(measured: dict[str, Evaluation]) -> None:
    """Print evaluations side by side."""
    names = list(next(iter(measured.values())).to_dict())
    columns = [one.to_dict() for one in measured.values()]
    rows = [(name.replace("_", " "), *(column[name] for column in columns)) for name in names]
    output.table("Against the truth", ("measure", *measured), rows)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The CSV file to write.")],
    as_json: session.Json = False,
) -> None:
    """Write which record belongs to which profile: source,record_id,profile_id."""
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
    as_json: session.Json = False,
) -> None:
    """Say why two records are one person, or that they are not."""
    workspace = session.workspace()
    ids = [find_record(workspace, name) for name in (one, other)]
    links = explain_records(workspace, principal, purpose, (ids[0], ids[1]))
    if as_json:
        output.as_json([link_to_dict(link) for link in links])
    else:
        show_explanation(links)


def find_record(workspace: Workspace, name: str) -> tuple[int, str]:
    """The record ``SOURCE:RECORD_ID``: its id and its profile."""
    source, _, record_id = name.partition(":")
    workspace.declaration.source(source)
    if not record_id:
        raise Stop("record_name", "write it as SOURCE:RECORD_ID")
    key = RecordKeys(workspace.keyring).record_key(source, record_id)
    record, member = schema.record, schema.membership
    with workspace.engine.connect() as connection:
        row = connection.execute(
            sa.select(record.c.id, member.c.profile_id)
            .join(member, member.c.record_id == record.c.id)
            .where(record.c.key == key)
        ).one_or_none()
    if row is None:
        raise Stop("no_such_record", "check the id, sync the source and resolve", source=source)
    return row.id, row.profile_id


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
