"""``cdp vault``: freeze records, destroy them, and see to it that they stay destroyed."""

from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.erasure import scrubbing
from cdp.erasure.destroying import Destroyed
from cdp.erasure.replaying import replay as run_replay
from cdp.erasure.shredding import Changed, Eraser, Shredded
from cdp.erasure.status import status as look
from cdp.errors import Refused
from cdp.ingest import remask as remasking
from cdp.workspace import open_workspace

app = typer.Typer(
    help="Freeze and destroy records, for ever and in restored backups too; masked forms.",
    no_args_is_help=True,
)

Named = Annotated[
    str, typer.Argument(help="SOURCE:RECORD_ID, or a profile id for all its records.")
]
Record = Annotated[str, typer.Argument(help="SOURCE:RECORD_ID.")]
Reason = Annotated[str, typer.Option(help="Why; kept for ever. No personal data.")]
_A = TypeVar("_A")


@app.command()
def freeze(
    name: Named, reason: Reason, principal: session.As, as_json: session.Json = False
) -> None:
    """Keep records and read them no more: nothing of them is shown, found or sent.

    Example: cdp vault freeze till:K001 --reason "a lawsuit" --as officer
    """
    _show_changed(_allowed(_eraser(principal).freeze(name, reason)), as_json=as_json)


@app.command()
def unfreeze(
    name: Named, reason: Reason, principal: session.As, as_json: session.Json = False
) -> None:
    """Read frozen records again.

    Example: cdp vault unfreeze till:K001 --reason "it ended" --as officer
    """
    _show_changed(_allowed(_eraser(principal).unfreeze(name, reason)), as_json=as_json)


@app.command()
def shred(
    name: Named,
    reason: Reason,
    principal: session.As,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and leave all as it is.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    as_json: session.Json = False,
) -> None:
    """Destroy records: keys, cells, indexes and all that was derived from them.

    Example: cdp vault shred PROFILE_ID --reason "asked for it" --as officer --dry-run
    """
    if not (dry_run or yes):
        typer.confirm(
            "This cannot be undone, and backups will not bring it back. Go on?", abort=True
        )
    done = _allowed(_eraser(principal).shred(name, reason, rehearse=dry_run))
    if as_json:
        output.as_json({"dry_run": dry_run, "lines": list(done.lines), **asdict(done.destroyed)})
        return
    _show_shredded(done, dry_run=dry_run)


@app.command()
def readmit(
    record: Record, reason: Reason, principal: session.As, as_json: session.Json = False
) -> None:
    """Let a source deliver a destroyed record again, as a new one.

    Example: cdp vault readmit till:K001 --reason "joined again" --as officer
    """
    line = _allowed(_eraser(principal).readmit(record, reason))
    if as_json:
        output.as_json({"line": line})
    else:
        output.say(f"Line {line} of the ledger. The next sync of the source takes it in again.")


@app.command()
def replay(reason: Reason, principal: session.As, as_json: session.Json = False) -> None:
    """Destroy again what a restored backup brought back.

    Example: cdp vault replay --reason "restored" --as officer
    """
    workspace = open_workspace(session.settings(), any_age=True)
    done = _allowed(run_replay(workspace, subject_of(workspace, principal), reason))
    if as_json:
        output.as_json(asdict(done))
        return
    _show_destroyed(done.destroyed, "Destroyed again")
    output.say(f"{done.to_database} lines came into the database, {done.to_file} into the file.")
    output.say("Then overwrite what is left of them: cdp vault scrub")


@app.command()
def scrub(reason: Reason, principal: session.As, as_json: session.Json = False) -> None:
    """Overwrite what the database keeps of destroyed records; locks one table at a time.

    Example: cdp vault scrub --reason "ticket 41" --as officer
    """
    eraser = _eraser(principal)
    _allowed(eraser.scrub(reason))
    workspace = eraser.workspace
    with output.steps() as steps:
        done = scrubbing.run(workspace, steps.step)
    if as_json:
        output.as_json(asdict(done))
    elif not done.rewritten and not done.kept:
        output.say("Nothing is pending.")
    else:
        rows = [(one.relation, one.seconds) for one in done.rewritten]
        output.table("Rewritten", ("table", "locked for seconds"), rows)
    if done.kept:
        raise Refused(
            f"the server keeps {done.kept}",
            "put that right as docs/howto/erase-a-person.md says, then: cdp vault scrub",
        )


@app.command()
def remask(as_json: session.Json = False) -> None:
    """Make the masked forms that records lack: after an upgrade, or a change of masks.

    Example: cdp vault remask
    """
    workspace = session.workspace()
    with output.steps() as steps:
        report = remasking.remask(workspace, steps.of("making masked forms"))
    if as_json:
        output.as_json(asdict(report))
    else:
        output.say(f"masks {report.masking}: forms of {report.records:,} records made")
    output.all_open(report.broken, report.broken_count)


@app.command()
def status(as_json: session.Json = False) -> None:
    """Say what stands in the ledger, what is frozen, and what is not scrubbed yet.

    Example: cdp vault status
    """
    found = look(session.workspace())
    if as_json:
        output.as_json(found.to_dict())
        return
    rows = [(name, _plain(value)) for name, value in found.to_dict().items()]
    output.table("Erased", ("what", "is"), rows)


# ── inside ──────────────────────────────────────────────────────────────────


def _eraser(principal: str) -> Eraser:
    workspace = session.workspace()
    return Eraser(workspace, subject_of(workspace, principal))


def _allowed(answer: _A | Denial) -> _A:
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)
    return answer


def _show_changed(changed: Changed, *, as_json: bool) -> None:
    if as_json:
        output.as_json(asdict(changed))
        return
    output.say(f"{changed.records} records changed, in {len(changed.profiles)} profiles.")
    if changed.records:
        output.say(
            "Their tags are gone until: cdp tag run. Destinations hear with: cdp publish run"
        )


def _show_shredded(done: Shredded, *, dry_run: bool) -> None:
    _show_destroyed(done.destroyed, "Would be destroyed" if dry_run else "Destroyed")
    if dry_run:
        output.say("A rehearsal: nothing was destroyed.")
        return
    output.say(f"Lines of the ledger: {', '.join(map(str, done.lines))}")
    output.say("Tell destinations: cdp publish run. Overwrite what is left: cdp vault scrub")


def _show_destroyed(done: Destroyed, title: str) -> None:
    rows = [(name, count) for name, count in done.rows.items() if count]
    output.table(title, ("table", "rows"), rows)
    output.table(
        "Profiles",
        ("profile", "what"),
        [*((one, "ends") for one in done.ended), *((one, "changes") for one in done.changed)],
    )
    if not done.repaired:
        output.say("Identity could not be repaired on the spot; run: cdp identity resolve")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = [f"{name}: {count}" for name, count in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(value) if value else "none"
    return "" if value is None else str(value)
