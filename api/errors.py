"""Every error of the API as RFC 9457 problem details. HTTP codes live here and nowhere else.

Invariants, each named by a test in ``tests/integration/api``:

1. Every error, ours or the framework's, is ``application/problem+json`` of one shape.
2. A problem never repeats what was sent: not a value, a key, a path or a header.
3. What is wrong with a credential is never said.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime
from typing import Any, Final

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cdp import crash
from cdp.access.answers import Denial, DenialKind
from cdp.errors import KithError, Refused, Retry
from cdp.vault.errors import KeyWithheld

MEDIA_TYPE: Final = "application/problem+json"

_STATUS_OF: Final[Mapping[DenialKind, int]] = {
    DenialKind.FORBIDDEN: 403,
    DenialKind.NOT_FOUND: 404,
    DenialKind.UNUSABLE: 422,
    DenialKind.SETTLED: 409,
    DenialKind.LIMITED: 429,
}
_TITLES: Final[Mapping[int, str]] = {
    400: "The request cannot be understood",
    401: "A valid API key or a sign-in is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request took too long to come",
    409: "In the way of others",
    413: "The request is too large",
    415: "Unsupported media type",
    422: "The request is not of its form",
    429: "Too much within a time",
    500: "Something is wrong on our side",
    503: "Not available right now",
}
_DETAILS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("malformed", "Send valid JSON in UTF-8 and a request of HTTP."),
    404: ("no_such_route", "Read /openapi.json for what there is."),
    405: ("method_not_allowed", "Use a method of the Allow header."),
    415: ("unsupported_media_type", "Send application/json."),
}


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """An answer that is an error. ``detail`` is written for the caller and holds no input."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.errors = errors


def content(status: int, code: str, detail: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem."""
    return {
        "type": f"urn:kith:problem:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **more,
    }


def described(description: str) -> dict[str, Any]:
    """Return how the contract describes a problem of some status."""
    schema = {"$ref": "#/components/schemas/ProblemForm"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def denied(denial: Denial) -> Problem:
    """Return the problem of a refusal at the gate."""
    headers = None
    if denial.again_at is not None:
        headers = {"Retry-After": format_datetime(denial.again_at.astimezone(UTC), usegmt=True)}
    return Problem(_STATUS_OF[denial.kind], denial.reason, denial.sentence, headers)


def unauthorised() -> Problem:
    """Return the one answer to every credential that is not good (invariant 3)."""
    return Problem(
        401,
        "unauthorised",
        "Send a valid API key as a bearer token, or sign in. Never both.",
        {"WWW-Authenticate": 'Bearer realm="kith"'},
    )


def not_signed_in() -> Problem:
    """Return the one answer to every sign-in that is not good, or must wait (invariant 3)."""
    return Problem(
        401,
        "not_signed_in",
        "Check what you gave, wait for a new code, and try again; after several failures wait "
        "a quarter of an hour. Or ask for your account to be reset.",
        {"WWW-Authenticate": 'Bearer realm="kith"'},
    )


def password_refused(error: Refused) -> Problem:
    """Return the problem of a password that others would guess; it says which rule."""
    return Problem(422, error.rule, f"Next: {error.next_step}.")


def from_elsewhere() -> Problem:
    """Return the problem of a browser's request that our own pages did not send."""
    return Problem(
        403, "from_elsewhere", "Send it from this site, with the session's token as Kith-CSRF."
    )


def not_your_assignment() -> Problem:
    """Return the problem of acting as somebody else."""
    return Problem(
        403, "not_your_assignment", "Act as one of your own: GET /v1/session lists them."
    )


def no_session() -> Problem:
    """Return the problem of an API key where a session is needed."""
    return Problem(404, "no_session", "An API key has no session: name Kith-Acting-As instead.")


def no_provider() -> Problem:
    """Return the problem of a workspace without an identity provider."""
    return Problem(404, "no_provider", "This workspace has no identity provider: see its settings.")


def crashed(error: Exception) -> tuple[str, str]:
    """Return code and detail for an error that nobody foresaw: its number, and what to do."""
    number = crash.of(error).reference
    return "unexpected", f"Report the number {number} and the request id; then try again."


def busy(error: Refused) -> Problem:
    """Return the problem of a sender who got no turn: the same request may work in a moment."""
    detail = f"{error.rule}; next: {error.next_step}"
    return Problem(409, "busy", detail, {"Retry-After": "1"})


def none_taken_in(errors: list[dict[str, str]]) -> Problem:
    """Return the problem of rows of which each one was refused."""
    return Problem(422, "no_record", "Correct what errors lists, and send it again.", None, errors)


def write_key_refused() -> Problem:
    """Return the one answer to every write key that is not good (invariant 3)."""
    return Problem(
        401,
        "unauthorised",
        "Send the write key of a source as user name, or as writeKey in the body.",
        {"WWW-Authenticate": 'Basic realm="kith"'},
    )


def signature_refused() -> Problem:
    """Return the one answer to every webhook that is not proven (invariant 3)."""
    return Problem(
        401,
        "unauthorised",
        "Sign the body as the source declares, with its secret, and check the clock.",
        {"WWW-Authenticate": 'Signature realm="kith"'},
    )


def origin_refused() -> Problem:
    """Return the problem of a page that sends from an origin that no source declares."""
    return Problem(403, "origin_not_allowed", "Declare the page's origin under the source.")


def body_refused(rule: str, next_step: str, *, too_large: bool) -> Problem:
    """Return the problem of a body that cannot be read."""
    return Problem(413 if too_large else 400, rule, next_step)


def wait_and_retry(seconds: int) -> Problem:
    """Return the problem of too much at once: the same request works later."""
    detail = "Send the same again later."
    return Problem(429, "too_much_at_once", detail, {"Retry-After": str(seconds)})


def install(app: FastAPI) -> None:
    """Answer every error that reaches the application with a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(KithError, _on_kith)
    for kind in (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError):
        app.add_exception_handler(kind, _on_database)


def answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> JSONResponse:
    """Return a problem response."""
    more = {} if errors is None else {"errors": errors}
    body = content(status, code, detail, request.state.request_id, **more)
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Problem):
        raise error
    return answer(request, error.status, error.code, error.detail, error.headers, error.errors)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code, detail = _DETAILS.get(error.status_code, ("refused", "The request was refused."))
    return answer(request, error.status_code, code, detail, error.headers)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [_located(one) for one in error.errors()]
    if any(one["at"].endswith("purpose") for one in errors):
        return answer(
            request,
            400,
            "purpose_needed",
            "Say what the data is for: name a purpose.",
            None,
            errors,
        )
    if any(one["rule"] == "json_invalid" for one in errors):
        return answer(request, 400, *_DETAILS[400], errors=errors)
    return answer(request, 422, "not_of_its_form", "Correct what errors lists.", None, errors)


def _located(error: Mapping[str, Any]) -> dict[str, str]:
    """Say where and which rule. Of an unknown key only its parent: the key was sent to us."""
    rule = str(error["type"])
    place = error["loc"][:-1] if rule == "extra_forbidden" else error["loc"]
    names = [part for part in place if isinstance(part, str)]
    return {"at": ".".join(names), "rule": rule}


async def _on_kith(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, KithError):
        raise error
    if isinstance(error, KeyWithheld):
        detail = "This process lacks the key of that: ask one started with --role full."
        return answer(request, 403, "key_withheld", detail)
    status = 503 if isinstance(error, Retry) else 403 if isinstance(error, Refused) else 500
    headers = {"Retry-After": "1"} if status == 503 else None
    return answer(request, status, "stopped", f"{error.rule}; next: {error.next_step}", headers)


async def _on_database(request: Request, _: Exception) -> JSONResponse:
    return answer(
        request, 503, "database_unavailable", "Try again in a moment.", {"Retry-After": "1"}
    )
