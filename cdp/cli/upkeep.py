"""``cdp source``: backfill, replay what was rejected, or remove with all that it brought."""

from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import KithError, Refused
from cdp.ingest.backfilling import backfill as read_again
from cdp.ingest.feed_state import begun_backfill
from cdp.ingest.replayed import COUNTS as REPLAYED_AS
from cdp.ingest.replaying import replay_rows
from cdp.ingest.replaying_values import replay_values
from cdp.ingest.reports import COUNTS
from cdp.resolution.permission import NOBODY, Permission
from identity.errors import IdentityError
from policies.vocabulary import Action

# What destroys and resolves loads what learns a model: seconds that a command which does neither
# must not wait. So each command imports it when it is used.
if TYPE_CHECKING:
    from cdp.erasure.removal_plan import Plan
    from cdp.erasure.removing import Removed, Remover

Name = Annotated[str, typer.Argument(help="A source of cdp.yaml, or one that was there.")]
Reason = Annotated[str, typer.Option(help="Why; kept for ever. No personal data.")]
REPLAY: Final = "rejects.replay"  # the name of its audit event
_A = TypeVar("_A")


def remove(  # noqa: PLR0913, PLR0917 - what a removal is made of
    name: Name,
    reason: Reason,
    principal: session.As,
    erase: Annotated[
        bool, typer.Option("--erase", help="Do it. Without it, only say what would go.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, also with --erase.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    as_json: session.Json = False,
) -> None:
    """Say what a source brought; with --erase destroy it: records, people known only by it, all.

    Example: cdp source remove old_till --reason "contract ended" --as officer
    """
    from cdp.erasure.removing import Remover  # noqa: PLC0415 - it loads what learns a model

    workspace = session.workspace()
    remover = Remover(workspace, subject_of(workspace, principal), name)
    if dry_run or not erase:
        _show_plan(_allowed(remover.look(reason)), as_json=as_json)
        return
    if not yes:
        typer.confirm(
            "This cannot be undone, and backups will not bring it back. Go on?", abort=True
        )
    with output.steps() as steps:
        done = _allowed(remover.erase(reason, steps.of("records destroyed")))
        resolved = done.repaired or _resolved(remover)
    if as_json:
        output.as_json(done.to_dict() | {"resolved": resolved})
        return
    _show_removed(done)
    if not resolved:
        output.say("Identity could not be repaired on the spot; run: cdp identity resolve")
    if name in workspace.declaration.sources:
        output.say(f"Now take {output.plain(name)} out of cdp.yaml, and out of trust.")
    output.say("Tell destinations: cdp publish run. Overwrite what is left: cdp vault scrub")


def _allowed(answer: _A | Denial) -> _A:
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)
    return answer


def _resolved(remover: "Remover") -> bool:
    """Have those who stay decided anew, where a batch could not do so by itself."""
    from cdp.resolution.run import resolve  # noqa: PLC0415 - it loads what learns a model

    try:
        resolve(remover.workspace)
    except (KithError, IdentityError):
        return False  # too few are left to learn from, or others are at it: it is said
    return True


def _show_plan(plan: "Plan", *, as_json: bool) -> None:
    if as_json:
        output.as_json({"dry_run": True, **plan.to_dict()})
        return
    rows = [
        ("records", plan.records),
        ("of these, frozen", plan.frozen),
        ("of these, not resolved yet", plan.waiting),
        ("people with such a record", plan.people),
        ("people known only by it: gone", plan.known_only_by_it),
        ("people who stay and lose fields", plan.losing_fields),
        ("people who stay under another profile id", plan.renamed),
        ("people who may fall apart", plan.may_split),
        *((f"rows of {name}", count) for name, count in plan.rows.items() if count),
    ]
    output.table(f"What {plan.source} brought", ("what", "number"), rows)
    if plan.begun:
        output.say("[bold red]Its removal has begun:[/] finish it with --erase.")
    elif plan.removed:
        output.say("It was removed. Take it out of cdp.yaml: nothing comes in under its name.")
    else:
        output.say("Nothing was changed. To destroy it for ever, add --erase.")


def _show_removed(done: "Removed") -> None:
    rows = [
        ("records destroyed", done.records),
        ("people gone", done.ended),
        ("people changed", done.changed),
        *((f"rows of {name}", count) for name, count in done.rows.items() if count),
    ]
    output.table(f"Removed: {done.source}", ("what", "number"), rows)


def backfill(
    name: Annotated[str, typer.Argument(help="A source of cdp.yaml.")],
    since: Annotated[
        str | None, typer.Option(help="A value of its cursor: a time or a number. Default: all.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Read a source again. What it stands at stays, and no older row replaces a newer one.

    Example: cdp source backfill crm --since 2026-03-01
    """
    from cdp.erasure.departing import Departing  # noqa: PLC0415 - it loads what learns a model

    workspace = session.workspace()
    workspace.declaration.source(name)
    with workspace.engine.connect() as connection:
        if begun_backfill(connection, name):
            output.say("It goes on where it was broken off, if that began at the same place.")
    with output.steps() as steps:
        report = read_again(workspace, name, since, steps.of("rows"), Departing())
    if as_json:
        output.as_json(report.to_dict())
        return
    rows = [("rows read again", report.read)]
    rows += [(one, getattr(report, one)) for one in COUNTS[1:] if getattr(report, one)]
    output.table(f"Backfilled: {name}", ("what", "number"), rows)
    if report.nothing_new:
        output.say("Nothing changed: every row was known already.")
    else:
        output.say("Next: cdp identity resolve")


def replay(
    name: Annotated[str, typer.Argument(help="A source of cdp.yaml.")],
    principal: session.As,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of them.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Try rejected rows and values set aside again, under today's mapping and rules.

    Example: cdp source replay crm --as operator --dry-run
    """
    workspace = session.workspace()
    workspace.declaration.source(name)
    asked = Permission(workspace, subject_of(workspace, principal), Action.INGEST, REPLAY)
    with workspace.engine.begin() as connection:
        denial = asked.refusal()
        if denial is None:
            asked.log_allowed(connection, [NOBODY], None)
        else:
            asked.log_refused(connection, denial)
    if denial is not None:
        raise Refused(denial.reason, denial.sentence)
    with output.steps() as steps:
        done = replay_rows(workspace, name, steps.of("rows"), rehearse=dry_run)
        done.add(replay_values(workspace, name, steps.of("values"), rehearse=dry_run))
    if as_json:
        output.as_json(done.to_dict() | {"dry_run": dry_run})
        return
    told = done.to_dict()
    rows = [
        (word.replace("_", " "), told[word])
        for word in REPLAYED_AS
        if told[word] or word == "tried"
    ]
    rows += [(f"still bad: {rule}", count) for rule, count in told["still_bad"].items()]
    title = "Would become of what was rejected" if dry_run else "Tried again"
    output.table(f"{title}: {name}", ("what", "number"), rows)
    if dry_run:
        output.say("A rehearsal: nothing was changed.")
    elif done.stored or done.values:
        output.say("Next: cdp identity resolve")
