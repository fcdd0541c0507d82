"""``cdp audit``: prove the log, and ask it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from cdp.audit import log
from cdp.audit.checkpoint import Checkpoint
from cdp.audit.findings import Report
from cdp.cli import output, session
from cdp.profiles import reader
from cdp.whole_files import whole_file
from cdp.workspace import Workspace

app = typer.Typer(
    help="Prove that the audit log is whole, and ask who saw whom.", no_args_is_help=True
)

READABLE: Final = 0o644  # a checkpoint is no secret: others keep it, and look it up


@app.command()
def verify(
    trusted: Annotated[
        Path | None, typer.Option(help="A checkpoint you kept; finds a log cut at its end.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Write the newest checkpoint here.")] = None,
    as_json: session.Json = False,
) -> None:
    """Seal what is new, then recompute every root and check every signature.

    Example: cdp audit verify --keep checkpoint.txt
    """
    workspace = session.workspace()
    with output.steps() as steps:
        report, checkpoint = verify_log(
            workspace,
            Checkpoint.from_text(trusted.read_text(encoding="utf-8")) if trusted else None,
            lambda done, all_: steps.rows("audit events", done, all_),
        )
    if keep and checkpoint:
        with whole_file(keep, READABLE) as file:
            file.write(checkpoint.to_text())
    if as_json:
        output.as_json(report_to_dict(report))
    else:
        show_verified(report)
    if not report.ok:
        raise typer.Exit(1)


def verify_log(
    workspace: Workspace,
    trusted: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Report, Checkpoint | None]:
    """Verify first, so that nothing altered is sealed; then seal, and verify the whole."""
    name, signer = str(workspace.id), workspace.keyring.signer()
    keys = workspace.keyring.public_keys()
    with workspace.engine.begin() as connection:
        before = log.verify(connection, keys, workspace=name, trusted=trusted)
    if not before.ok:
        return before, None
    with workspace.engine.begin() as connection:
        checkpoint = log.seal(connection, signer, workspace.now(), workspace=name)
    with workspace.engine.begin() as connection:
        report = log.verify(connection, keys, workspace=name, progress=progress)
    return report, checkpoint


def report_to_dict(report: Report) -> dict[str, object]:
    """A plain object for ``--json``."""
    return {
        "ok": report.ok,
        "events": report.events,
        "sealed": report.sealed,
        "checkpoints": report.checkpoints,
        "findings": [
            {"kind": f.kind.value, "where": f.where, "next_step": f.next_step}
            for f in report.findings
        ],
    }


def show_verified(report: Report) -> None:
    """Print what a verification found."""
    output.table(
        "Audit log",
        ("events", "sealed", "signed checkpoints", "altered"),
        [(report.events, report.sealed, report.checkpoints, len(report.findings))],
    )
    if report.findings:
        output.table(
            "Findings",
            ("kind", "where", "next step"),
            [(f.kind.value, f.where, f.next_step) for f in report.findings],
        )


@app.command()
def who(
    profile_id: Annotated[str, typer.Argument(help="A profile id.")],
    as_json: session.Json = False,
) -> None:
    """List who saw a person, under this id and every earlier one: when, what, and why.

    Example: cdp audit who PROFILE_ID
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        current, former = reader.ids_of(connection, profile_id)
        seen = log.who_saw(connection, current, *former)
    rows = [
        (s.event.at.isoformat(timespec="seconds"), s.event.actor, s.event.action, s.event.decision,
         s.event.purpose, ", ".join(s.event.fields), s.event.detail or "")
        for s in seen
    ]  # fmt: skip
    header = ("at", "actor", "action", "decision", "purpose", "fields", "reason given")
    if as_json:
        output.as_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        output.table(f"Who saw {profile_id}", header, rows)
