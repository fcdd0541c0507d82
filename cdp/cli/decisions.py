"""``cdp identity``: what people decide about who is who, and how it came about."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.cli.records import find_person, find_record
from cdp.errors import Refused
from cdp.resolution import decisions as decided
from cdp.resolution import history, review
from cdp.resolution.at_once import repair_people
from cdp.resolution.deciding import Decided, Decider
from cdp.resolution.links import Decision
from cdp.resolution.permission import Permission
from policies.vocabulary import Action, FieldClass

REPAIR = repair_people  # how a decision is carried out at once
app = typer.Typer()
queue_app = typer.Typer(help="Pairs of profiles for a person to judge.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Why; kept with the decision. No personal data.")]
Rehearse = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and leave all as it is.")
]
ProfileId = Annotated[str, typer.Argument(help="A profile id, also an old one.")]
Named = Annotated[str, typer.Argument(help="A profile id, or SOURCE:RECORD_ID.")]


@app.command()
def merge(
    one: ProfileId,
    other: ProfileId,
    reason: Reason,
    principal: session.As,
    dry_run: Rehearse = False,
    as_json: session.Json = False,
) -> None:
    """Decide that two profiles are one person.

    Example: cdp identity merge PROFILE_ID OTHER_ID --reason "same card" --as headquarters
    """
    _decide(principal, dry_run, as_json, lambda by, on: by.merge(on, one, other, reason))


@app.command()
def split(
    profile_id: ProfileId,
    records: Annotated[list[str], typer.Argument(help="SOURCE:RECORD_ID of each to take out.")],
    reason: Reason,
    principal: session.As,
    dry_run: Rehearse = False,
    as_json: session.Json = False,
) -> None:
    """Decide that some records of a profile are one other person.

    Example: cdp identity split PROFILE_ID till:K008 --reason "two people" --as headquarters
    """

    def work(by: Decider, on: sa.Connection) -> Decided | Denial:
        taken = [find_record(by.workspace, name)[0] for name in records]
        return by.split(on, profile_id, taken, reason)

    _decide(principal, dry_run, as_json, work)


@app.command("not-same")
def not_same(
    one: Named,
    other: Named,
    reason: Reason,
    principal: session.As,
    dry_run: Rehearse = False,
    as_json: session.Json = False,
) -> None:
    """Decide that two profiles, or two records, are never one person.

    Example: cdp identity not-same till:K001 till:K008 --reason "twins" --as headquarters
    """

    def work(by: Decider, on: sa.Connection) -> Decided | Denial:
        people = [find_person(by.workspace, name) for name in (one, other)]
        return by.not_same(on, people[0], people[1], reason)

    _decide(principal, dry_run, as_json, work)


@app.command()
def undo(
    number: Annotated[int, typer.Argument(help="The number of a decision.")],
    reason: Reason,
    principal: session.As,
    dry_run: Rehearse = False,
    as_json: session.Json = False,
) -> None:
    """Take a decision back: everybody is as if it had never been made.

    Example: cdp identity undo 1 --reason "a mistake" --as headquarters
    """
    _decide(principal, dry_run, as_json, lambda by, on: by.undo(on, number, reason))


@app.command()
def decisions(principal: session.As, as_json: session.Json = False) -> None:
    """List what people decided, and what they took back.

    Example: cdp identity decisions --as headquarters
    """
    workspace = session.workspace()
    permission = Permission(
        workspace, subject_of(workspace, principal), Action.MERGE, "identity.decisions"
    )
    with workspace.engine.begin() as connection:
        denial = _whether(connection, permission)
        listed = [] if denial else permission.within(connection, decided.read(connection))
    _raise(denial)
    if as_json:
        output.as_json([_decision_to_dict(one) for one in listed])
        return
    rows = [
        (one.id, one.kind.words, ", ".join(one.profiles), one.actor, one.reason, _day(one.at),
         f"{one.undone_by}: {one.undo_reason}" if one.undone_by else "")
        for one in listed
    ]  # fmt: skip
    header = ("number", "decided", "about", "by", "reason", "on", "undone")
    output.table("Decisions", header, rows)


@app.command("history")
def show_history(
    profile_id: ProfileId,
    principal: session.As,
    as_of: Annotated[
        str | None,
        typer.Option(help="A date or a time, such as 2026-05-04T09:30; now if left out."),
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Say who a profile was at a time: its members, where its id led, what had happened.

    Example: cdp identity history PROFILE_ID --as headquarters --as-of 2026-05-04
    """
    workspace = session.workspace()
    when = _time(as_of) if as_of else workspace.now()
    permission = Permission(
        workspace, subject_of(workspace, principal), Action.READ, "profile.history",
        FieldClass.EVIDENCE,
    )  # fmt: skip
    with workspace.engine.begin() as connection:
        found = _history(connection, permission, profile_id, when)
    if isinstance(found, Denial):
        raise Refused(found.reason, found.sentence)
    if as_json:
        output.as_json({"as_of": when, **_history_to_dict(found)})
    else:
        _show_history(found, when)


@queue_app.command("list")
def list_queue(
    principal: session.As,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    after: Annotated[str, typer.Option(help="Begin behind this place.")] = "",
    as_json: session.Json = False,
) -> None:
    """List the pairs to judge, those that would change most first.

    Example: cdp identity review list --as headquarters
    """
    suggestions = _queue(principal, limit, after)
    if as_json:
        output.as_json([_suggestion_to_dict(one) for one in suggestions])
        return
    rows = [
        (one.advice.value, one.one, one.other, one.records, one.bits, "; ".join(one.reasons))
        for one in suggestions
    ]
    output.table("To review", ("advice", "one", "other", "records", "bits", "because"), rows)
    if len(suggestions) == limit:
        output.say(f"What follows: --after {suggestions[-1].place}")


@queue_app.command("next")
def next_in_queue(principal: session.As, as_json: session.Json = False) -> None:
    """Show the first pair to judge, with its evidence, and how to decide.

    Example: cdp identity review next --as headquarters
    """
    suggestions = _queue(principal, 1)
    if as_json:
        output.as_json(_suggestion_to_dict(suggestions[0]) if suggestions else None)
        return
    if not suggestions:
        output.say("Nothing to review.")
        return
    first = suggestions[0]
    output.table(
        f"{first.one} and {first.other}: {first.advice}",
        ("compared", "found", "bits"),
        [(f.comparison, f.level, f.bits) for f in first.findings],
    )
    for reason in first.reasons:
        output.say(output.plain(reason))
    both = f"{first.one} {first.other} --as {principal} --reason WHY"
    output.say(f"One person: cdp identity merge {both}")
    output.say(f"Two people: cdp identity not-same {both}")


app.add_typer(queue_app, name="review")


# ── inside ──────────────────────────────────────────────────────────────────


def _decide(
    principal: str,
    dry_run: bool,  # noqa: FBT001 - handed on from the option
    as_json: bool,  # noqa: FBT001 - as above
    work: Callable[[Decider, sa.Connection], Decided | Denial],
) -> None:
    workspace = session.workspace()
    decider = Decider(workspace, subject_of(workspace, principal), repair_people)
    with workspace.engine.connect() as connection:
        answer = work(decider, connection)
        # A refusal is kept also of a rehearsal: somebody asked about these people.
        if dry_run and not isinstance(answer, Denial):
            connection.rollback()
            decider.log_look(connection, answer)
        connection.commit()
    _raise(answer)
    if isinstance(answer, Decided):
        _show_decided(answer, dry_run=dry_run, as_json=as_json)


def _raise(answer: object) -> None:
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)


def _whether(connection: sa.Connection, permission: Permission) -> Denial | None:
    """The refusal if the subject may do this to nobody, kept in the log."""
    denial = permission.refusal()
    if denial is not None:
        permission.log_refused(connection, denial)
    return denial


def _history(
    connection: sa.Connection, permission: Permission, profile_id: str, when: dt.datetime
) -> history.History | Denial:
    people = permission.people(connection, (profile_id,))
    if isinstance(people, Denial):
        return people
    permission.log_allowed(connection, (one.id for one in people))
    return history.at_time(connection, profile_id, when)


def _queue(principal: str, limit: int, after: str = "") -> list[review.Suggestion]:
    workspace = session.workspace()
    permission = Permission(
        workspace, subject_of(workspace, principal), Action.MERGE, "identity.review"
    )
    with workspace.engine.begin() as connection:
        denial = _whether(connection, permission)
        found = [] if denial else review.queue(connection, permission, limit, after)
        shown = dict.fromkeys(one for pair in found for one in (pair.one, pair.other))
        permission.log_allowed(connection, shown)
    _raise(denial)
    return found


def _show_decided(answer: Decided, *, dry_run: bool, as_json: bool) -> None:
    made, outcome = answer.decision, answer.outcome
    if as_json:
        output.as_json(
            {
                "decision": None if dry_run else made.id,
                "kind": made.kind.value,
                "dry_run": dry_run,
                "merged": [{"into": into, "gone": gone} for into, gone in outcome.merges],
                "split": [{"new": new, "out_of": out_of} for new, out_of in outcome.splits],
                "holds": [asdict(one) for one in answer.holds],
            }
        )
        return
    rows = [("merged", gone, into) for into, gone in outcome.merges]
    rows += [("split off", new, out_of) for new, out_of in outcome.splits]
    if rows:
        output.table("Would change" if dry_run else "Changed", ("what", "profile", "other"), rows)
    else:
        output.say("No profile changes.")
    for one in answer.holds:
        output.say(f"{one.profile_id}: {one.records} record{'s' if one.records > 1 else ''}.")
    if dry_run:
        output.say("A rehearsal: nothing was kept.")
    elif made.counts:
        output.say(f"Decision {made.id} is kept. To take it back: cdp identity undo {made.id}")
    else:
        output.say(f"Decision {made.id} is undone.")


def _decision_to_dict(one: Decision) -> dict[str, Any]:
    return {
        "number": one.id,
        "kind": one.kind.value,
        "profiles": list(one.profiles),
        "by": one.actor,
        "reason": one.reason,
        "at": one.at.isoformat(),
        "undone_at": one.undone_at.isoformat() if one.undone_at else None,
        "undone_by": one.undone_by,
        "undo_reason": one.undo_reason,
        "links": [{"low_id": k.low, "high_id": k.high, "kind": k.kind.value} for k in one.links],
    }


def _suggestion_to_dict(one: review.Suggestion) -> dict[str, Any]:
    return {
        "one": one.one,
        "other": one.other,
        "advice": one.advice.value,
        "reasons": list(one.reasons),
        "records": one.records,
        "bits": one.bits,
        "low_id": one.low_id,
        "high_id": one.high_id,
        "place": one.place,
        "findings": [
            {"comparison": f.comparison, "level": f.level, "bits": f.bits} for f in one.findings
        ],
    }


def _history_to_dict(found: history.History) -> dict[str, Any]:
    return {
        "profile_id": found.asked,
        "led_to": found.led_to,
        "members": [
            {"record_id": m.record_id, "source": m.source, "store": m.store, "since": m.since,
             "until": m.until}
            for m in found.members
        ],
        "events": [
            {"at": e.at, "kind": e.kind, "profile_id": e.profile_id, "other_id": e.other_id,
             "epoch": e.epoch}
            for e in found.events
        ],
        "decisions": [_decision_to_dict(one) for one in found.decisions],
    }  # fmt: skip


def _show_history(found: history.History, when: dt.datetime) -> None:
    moment = when.isoformat(timespec="seconds")
    if found.led_to is None:
        output.say(f"At {moment} this id meant nobody.")
    elif found.led_to != found.asked:
        output.say(f"At {moment} this id led to {found.led_to}.")
    output.table(
        f"Members of {found.led_to or found.asked} at {moment}",
        ("record", "source", "store", "since", "until"),
        [
            (str(m.record_id), m.source, m.store, _day(m.since), _day(m.until))
            for m in found.members
        ],
    )
    rows = [(_day(e.at), e.kind, e.profile_id, e.other_id) for e in found.events]
    for one in found.decisions:
        rows.append((_day(one.at), f"decision {one.id}: {one.kind.words}", one.actor, one.reason))
        if one.undone_by:
            rows.append((_day(one.undone_at), f"undone: {one.id}", one.undone_by, one.undo_reason))
    output.table("What happened", ("at", "what", "profile or person", "other or reason"), rows)


def _day(at: dt.datetime | None) -> str:
    return at.isoformat(timespec="seconds") if at else ""


def _time(text: str) -> dt.datetime:
    """A date is its end: what is asked for is how things stood that day."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write it as 2026-05-04 or 2026-05-04T09:30") from None
    if len(text) == len("2026-05-04"):
        at += dt.timedelta(days=1, microseconds=-1)
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
