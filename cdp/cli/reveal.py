"""``cdp reveal``: one clear field of one person, the second person, the broken glass."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

import sqlalchemy as sa
import typer

from cdp.access.answers import Denial, Revealed
from cdp.access.principals import subject_of
from cdp.access.reveal_gate import RevealGate
from cdp.access.reveal_states import Act, Request, State
from cdp.access.second_person import Judgement, SecondPerson
from cdp.cli import output, session
from cdp.errors import Refused
from policies.decision import Subject

app = typer.Typer(
    help="Reveal one field of one person; ask for, give and review a second person's word.",
    no_args_is_help=True,
)
ProfileId = Annotated[str, typer.Argument(help="A profile id, also an old one.")]
Field = Annotated[str, typer.Argument(help="One identity field, such as phone.")]
RequestId = Annotated[str, typer.Argument(help="The id of the request.")]
Reason = Annotated[str, typer.Option(help="Why, or a ticket; kept. No personal data.")]
Comment = Annotated[str | None, typer.Option(help="Why; kept. No personal data.")]
T = TypeVar("T")


@app.command()
def field(  # noqa: PLR0913, PLR0917 - what a reveal is made of
    profile_id: ProfileId,
    name: Field,
    principal: session.As,
    reason: Reason,
    purpose: session.Purpose = "service",
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Break the glass: at once, loud, reviewed.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Show one field in the clear, for a reason. Leaves an audit event.

    Example: cdp profile reveal PROFILE_ID phone --reason "ticket 41" --as manager
    """
    workspace = session.workspace()
    gate = RevealGate(workspace)
    with workspace.engine.begin() as connection:
        subject = subject_of(workspace, principal)
        show = gate.break_glass if emergency else gate.reveal
        answer = show(connection, subject, profile_id, name, purpose, reason)
    show_revealed(name, allowed(answer, field=name), as_json=as_json)


@app.command()
def request(
    profile_id: ProfileId,
    name: Field,
    principal: session.As,
    reason: Reason,
    purpose: session.Purpose = "fraud",
    as_json: session.Json = False,
) -> None:
    """Ask for a second person's approval to reveal a field of the sensitive tier.

    Example: cdp reveal request PROFILE_ID national_id --reason "ticket 41" --as headquarters
    """
    workspace = session.workspace()
    gate = RevealGate(workspace)
    with workspace.engine.begin() as connection:
        subject = subject_of(workspace, principal)
        answer = gate.request(connection, subject, profile_id, name, purpose, reason)
    _show_one(allowed(answer, field=name), as_json=as_json)


@app.command()
def approve(
    request_id: RequestId,
    principal: session.As,
    comment: Comment = None,
    minutes: Annotated[int | None, typer.Option(help="How long it may be used.")] = None,
    as_json: session.Json = False,
) -> None:
    """Let somebody else reveal what they asked for, once and soon.

    Example: cdp reveal approve REQUEST_ID --comment "seen" --as officer
    """
    judgement = Judgement(Act.APPROVE, comment, minutes)
    _judge(request_id, principal, judgement, as_json=as_json)


@app.command()
def reject(
    request_id: RequestId,
    principal: session.As,
    comment: Comment = None,
    as_json: session.Json = False,
) -> None:
    """Refuse what somebody else asked for.

    Example: cdp reveal reject REQUEST_ID --comment "why not phone" --as officer
    """
    _judge(request_id, principal, Judgement(Act.REJECT, comment), as_json=as_json)


@app.command()
def withdraw(request_id: RequestId, principal: session.As, as_json: session.Json = False) -> None:
    """Take a request of one's own back, also an approved one.

    Example: cdp reveal withdraw REQUEST_ID --as headquarters
    """
    done = _as(principal, lambda desk, on, who: desk.withdraw(on, who, request_id))
    _show_one(allowed(done, request=request_id), as_json=as_json)


@app.command()
def review(
    request_id: RequestId,
    verdict: Annotated[str, typer.Argument(help="justified or not-justified.")],
    principal: session.As,
    comment: Annotated[str, typer.Option(help="Why; kept. No personal data.")],
    as_json: session.Json = False,
) -> None:
    """Judge the glass that somebody else broke.

    Example: cdp reveal review REQUEST_ID justified --comment "seen" --as officer
    """
    acts = {"justified": Act.JUSTIFY, "not-justified": Act.FAULT}
    if verdict not in acts:
        raise typer.BadParameter("say justified or not-justified", param_hint="VERDICT")
    _judge(request_id, principal, Judgement(acts[verdict], comment), as_json=as_json)


@app.command("list")
def list_requests(
    principal: session.As,
    state: Annotated[list[State] | None, typer.Option(help="Only these states.")] = None,
    after: Annotated[str | None, typer.Option(help="What the last list ended with.")] = None,
    as_json: session.Json = False,
) -> None:
    """List one's own requests, and those of others that one may judge.

    Example: cdp reveal list --as officer
    """
    states = state or ()
    found = allowed(_as(principal, lambda desk, on, who: desk.listed(on, who, states, after)))
    if as_json:
        output.as_json([asdict(one) for one in found.requests])
    else:
        _table("Requests to reveal", found.requests)
    if found.after:
        output.say(f"There are more: --after {found.after}")


@app.command()
def status(principal: session.As, as_json: session.Json = False) -> None:
    """Say what waits for a review, what was revealed within the hour, what is under way.

    Example: cdp reveal status --as officer
    """
    found = allowed(_as(principal, lambda desk, on, who: desk.status(on, who)))
    if as_json:
        output.as_json(asdict(found))
        return
    broken = [*found.unreviewed, *found.to_review]
    if broken:
        _table("GLASS BROKEN, NOT REVIEWED", broken)
    limits = found.limits
    output.table(
        "Revealed within the hour",
        ("what", "so far", "at most"),
        [
            ("fields", found.fields, limits.per_hour),
            ("people", found.people, limits.people_per_hour),
            ("sensitive fields", found.sensitive, limits.sensitive_per_hour),
        ],
    )
    _table("Under way", [*found.waiting, *found.to_judge])


def show_revealed(name: str, answer: Revealed, *, as_json: bool) -> None:
    """Print a revealed field."""
    if as_json:
        told = {"field": name, "value": answer.value, "shown_until": answer.shown_until}
        output.as_json({**told, "request": answer.request, "review_by": answer.review_by})
        return
    output.table("Revealed", ("field", "value"), [(name, answer.value)])
    output.say(f"Clear the screen by {answer.shown_until:%H:%M:%S} UTC.")
    if answer.review_by:
        output.say(
            f"[bold red]The glass is broken[/] ({answer.request}): somebody else has to review "
            f"it by {answer.review_by:%Y-%m-%d %H:%M} UTC."
        )


def allowed(answer: T | Denial, **where: object) -> T:
    """Return the answer; a denial ends the command."""
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence, **where)
    return answer


def _as(principal: str, work: Callable[[SecondPerson, sa.Connection, Subject], T]) -> T:
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        return work(SecondPerson(workspace), connection, subject_of(workspace, principal))


def _judge(request_id: str, principal: str, judgement: Judgement, *, as_json: bool) -> None:
    done = _as(principal, lambda desk, on, who: desk.judge(on, who, request_id, judgement))
    _show_one(allowed(done, request=request_id), as_json=as_json)


def _show_one(done: Request, *, as_json: bool) -> None:
    if as_json:
        output.as_json(asdict(done))
    else:
        _table(f"Request {done.id}", [done])


def _table(title: str, requests: Sequence[Request]) -> None:
    rows = [
        (
            one.id,
            one.state.value,
            f"{one.requester.id} ({one.requester.role}@{one.requester.node})",
            one.profile_id or "destroyed",
            f"{one.field} for {one.purpose}",
            one.reason,
            f"{one.ends_at:%Y-%m-%d %H:%M} UTC",
        )
        for one in requests
    ]
    header = ("id", "state", "who", "whose", "what", "why", "ends")
    output.table(title, header, rows)
