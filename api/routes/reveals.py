"""Reveals: one clear field, the request for it, its second person, the broken glass."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from api import reveal_forms as forms
from api.auth import Authenticated, Caller
from api.errors import denied, described
from cdp.access.answers import Denial
from cdp.access.reveal_states import Act, Request, State
from cdp.access.second_person import Judgement, SecondPerson

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("Not JSON, or no purpose"),
    401: described("No valid credential"),
    403: described("Not allowed, or a second person has to approve first"),
    404: described("No such person, or no such request, among those the caller may see"),
    409: described("It was settled before, has ended, or needs nothing"),
    413: described("The body is too large"),
    422: described("Not of its form, or a reason that cannot be kept"),
    429: described("As much was revealed as an hour allows; Retry-After says when again"),
}
router = APIRouter(prefix="/v1", tags=["reveals"], responses=_PROBLEMS)

ProfileId = Annotated[str, Path(description="A current or a former profile id.")]
RequestId = Annotated[str, Path(description="The id of the request.", max_length=64)]
_ACTS = {
    forms.Answer.APPROVE: Act.APPROVE,
    forms.Answer.REJECT: Act.REJECT,
    forms.Verdict.JUSTIFIED: Act.JUSTIFY,
    forms.Verdict.NOT_JUSTIFIED: Act.FAULT,
}


@router.post("/profiles/{profile_id}/reveal")
def reveal(caller: Authenticated, profile_id: ProfileId, form: forms.Reveal) -> forms.RevealedForm:
    """Reveal one field in the clear. The reason is kept in the audit log.

    A field of the sensitive tier needs a request of the caller's that somebody else approved,
    or an emergency, which somebody else reviews.
    """
    with caller.session() as session:
        show = session.gate.break_glass if form.emergency else session.gate.reveal
        shown = show(
            session.connection,
            session.subject,
            profile_id,
            form.field.value,
            form.purpose.value,
            form.reason,
        )
    if isinstance(shown, Denial):
        raise denied(shown)
    return forms.RevealedForm.of(shown)


@router.post("/reveals", status_code=201)
def ask(caller: Authenticated, form: forms.Ask) -> forms.RequestForm:
    """Ask for a second person's approval to reveal one field of the sensitive tier."""
    with caller.session() as session:
        done = session.gate.request(
            session.connection,
            session.subject,
            form.profile_id,
            form.field.value,
            form.purpose.value,
            form.reason,
        )
    return _answer(done)


@router.get("/reveals")
def list_requests(
    caller: Authenticated,
    state: Annotated[list[State] | None, Query(description="Only these states.")] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="What the last list ended with.")
    ] = None,
) -> forms.RequestsForm:
    """List one's own requests and those of others that one may judge, 200 at a time.

    Broken glasses that wait for a review come first, the oldest before all; then the newest.
    """
    with caller.session() as session:
        found = _desk(caller).listed(session.connection, session.subject, state or (), after)
    if isinstance(found, Denial):
        raise denied(found)
    requests = [forms.RequestForm.of(one) for one in found.requests]
    return forms.RequestsForm(requests=requests, after=found.after)


@router.post("/reveals/{request_id}/approval")
def approve(
    caller: Authenticated, request_id: RequestId, form: forms.Approval
) -> forms.RequestForm:
    """Approve or reject what somebody else asked for."""
    judgement = Judgement(_ACTS[form.answer], form.comment, form.minutes)
    return _judge(caller, request_id, judgement)


@router.post("/reveals/{request_id}/review")
def review(caller: Authenticated, request_id: RequestId, form: forms.Review) -> forms.RequestForm:
    """Judge the glass that somebody else broke."""
    return _judge(caller, request_id, Judgement(_ACTS[form.verdict], form.comment))


@router.delete("/reveals/{request_id}")
def withdraw(caller: Authenticated, request_id: RequestId) -> forms.RequestForm:
    """Take a request of one's own back, also an approved one."""
    with caller.session() as session:
        done = _desk(caller).withdraw(session.connection, session.subject, request_id)
    return _answer(done)


def _desk(caller: Caller) -> SecondPerson:
    return SecondPerson(caller.services.workspace, caller.request_id)


def _judge(caller: Caller, request_id: str, judgement: Judgement) -> forms.RequestForm:
    with caller.session() as session:
        done = _desk(caller).judge(session.connection, session.subject, request_id, judgement)
    return _answer(done)


def _answer(done: Request | Denial) -> forms.RequestForm:
    if isinstance(done, Denial):
        raise denied(done)
    return forms.RequestForm.of(done)
