"""Sessions of people: sign in, who am I, act as, sign out; enrolment; the identity provider."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import browser
from api import session_forms as forms
from api.auth import Authenticated, Services, Session
from api.errors import (
    described,
    no_provider,
    no_session,
    not_signed_in,
    not_your_assignment,
    password_refused,
)
from cdp.access import accounts, devices, one_time, sessions
from cdp.access.signing_in import NO_ROLE, NOBODY, event, role_of
from cdp.access.single_sign_on import Returned, SingleSignOn
from cdp.audit import log
from cdp.errors import Refused
from cdp.vault.roles import FULL

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("Not JSON"),
    401: described("Not let in"),
    403: described("Not allowed, or sent from another site"),
    404: described("No session, or no identity provider"),
    413: described("The body is too large"),
    422: described("Not of its form"),
    503: described("The identity provider or the database does not answer"),
}
NO_CONTENT: Final = 204
SEE_OTHER: Final = 303
router = APIRouter(prefix="/v1/session", tags=["session"], responses=_PROBLEMS)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _refuse_other_sites(request: Request) -> Services:
    services = _services(request)
    browser.refuse_other_sites(request, services.workspace.settings.public_url)
    return services


def _record(session: Session, request: Request, action: str, reason: str | None = None) -> None:
    """Write the event of something that a person does to their own session."""
    role = role_of(session.standing.assignments)
    workspace, request_id = _services(request).workspace, str(request.state.request_id)
    told = event(workspace, action, session.standing.id, role, request_id, reason)
    log.append(session.connection, told)


# ── a session ───────────────────────────────────────────────────────────────


@router.post("")
def sign_in(request: Request, response: Response, form: forms.SignIn) -> forms.BegunForm:
    """Sign in with a password and a code. The session comes as a cookie."""
    services = _refuse_other_sites(request)
    presented = request.cookies.get(browser.SESSION)
    done = services.signing_in.attempt(form.attempt(), browser.client_of(request), presented)
    if done is None:
        raise not_signed_in()
    browser.give_session(response, done.session.secret)
    browser.give_device(response, done.device)
    begun = done.session
    return forms.BegunForm(principal=begun.principal_id, ends_at=begun.ends_at, csrf=begun.csrf)


@router.get("")
def who_am_i(caller: Authenticated) -> forms.SessionForm:
    """Say who the caller is, and as what they may act."""
    with caller.session() as session:
        csrf = caller.services.sign_in_keys.csrf(caller.secret) if caller.secret else None
        return forms.SessionForm.of(session, csrf)


@router.post("/acting-as")
def act_as(caller: Authenticated, form: forms.ActingAs) -> forms.SessionForm:
    """Act under another of one's own assignments from now on."""
    with caller.session() as session:
        if session.signed_in is None:
            raise no_session()
        theirs = form.assignment in session.standing.assignments
        reason = None if theirs else "not_your_assignment"
        _record(session, caller.request, "session.act_as", reason)
        if theirs:
            sessions.act_as(session.connection, session.signed_in.id, form.assignment)
    if not theirs:
        raise not_your_assignment()
    csrf = caller.services.sign_in_keys.csrf(caller.secret)
    answer = forms.SessionForm.of(session, csrf)
    return answer.model_copy(update={"acting_as": form.assignment})


@router.delete("", status_code=NO_CONTENT)
def sign_out(caller: Authenticated, response: Response) -> None:
    """End the session."""
    with caller.session() as session:
        if session.signed_in is None:
            raise no_session()
        _record(session, caller.request, "session.end")
        sessions.end(session.connection, session.signed_in.id, caller.services.workspace.now())
    browser.take_session(response)


# ── enrolment ───────────────────────────────────────────────────────────────


@router.post("/enrolment")
def begin_to_enrol(request: Request, form: forms.Invited) -> forms.SeedForm:
    """Show a seed for the authenticator app to who holds the invitation; the newest counts."""
    services = _enrolling(request)
    workspace = services.workspace
    with workspace.engine.begin() as connection:
        seed = accounts.invited_seed(
            connection,
            services.sign_in_keys,
            form.principal,
            form.invitation.get_secret_value(),
            workspace.now(),
        )
        who = form.principal if seed else NOBODY
        request_id = str(request.state.request_id)
        reason = None if seed else "no_invitation"
        log.append(
            connection, event(workspace, "account.invited", who, NO_ROLE, request_id, reason)
        )
    if seed is None:
        raise not_signed_in()
    return forms.SeedForm(
        address=one_time.address(seed, form.principal), seed=one_time.base_32(seed)
    )


@router.post("/enrolment/confirm")
def enrol(request: Request, response: Response, form: forms.Enrol) -> forms.RecoveryForm:
    """Set the password and prove the app. Then sign in: this browser is known for it."""
    services = _enrolling(request)
    keys, said = services.sign_in_keys, request.cookies.get(browser.DEVICE)
    workspace, request_id = services.workspace, str(request.state.request_id)
    try:
        with workspace.engine.begin() as connection:
            codes = accounts.enrol(connection, keys, form.enrolment(), workspace.now())
            who, reason = (form.principal, None) if codes else (NOBODY, "no_invitation")
            log.append(
                connection, event(workspace, "account.enrol", who, NO_ROLE, request_id, reason)
            )
            if codes is not None:
                device = devices.own(said)
                devices.know(connection, keys, who, device, workspace.now())
                browser.give_device(response, device)
    except Refused as error:
        raise password_refused(error) from None
    if codes is None:
        raise not_signed_in()
    return forms.RecoveryForm(recovery_codes=codes)


def _enrolling(request: Request) -> Services:
    """The services of a process that may set passwords."""
    services = _refuse_other_sites(request)
    if services.workspace.role != FULL:
        raise Refused("no_enrolment_here", "ask a process started with --role full")
    return services


# ── the identity provider ───────────────────────────────────────────────────


@router.get("/oidc/start", status_code=SEE_OTHER, response_class=RedirectResponse)
def go_to_provider(request: Request) -> RedirectResponse:
    """Send the browser to the identity provider."""
    started = _single_sign_on(request).start()
    answer = RedirectResponse(started.address, SEE_OTHER)
    browser.give_state(answer, started.state)
    return answer


@router.get("/oidc/callback", status_code=SEE_OTHER, response_class=RedirectResponse)
def come_back(
    request: Request,
    state: Annotated[str | None, Query(max_length=256)] = None,
    code: Annotated[str | None, Query(max_length=4096)] = None,
    iss: Annotated[str | None, Query(max_length=512)] = None,
) -> RedirectResponse:
    """Begin the session of whom the provider sends back, and go to the front page."""
    kept = request.cookies.get(browser.STATE)
    returned = Returned(state, kept, code, iss)
    presented = request.cookies.get(browser.SESSION)
    begun = _single_sign_on(request).finish(returned, str(request.state.request_id), presented)
    if begun is None:
        raise not_signed_in()
    home = f"{(_services(request).workspace.settings.public_url or '').rstrip('/')}/"
    answer = RedirectResponse(home, SEE_OTHER)
    browser.give_session(answer, begun.secret)
    browser.take_state(answer)
    return answer


def _single_sign_on(request: Request) -> SingleSignOn:
    found = _services(request).single_sign_on
    if found is None:
        raise no_provider()
    return found
