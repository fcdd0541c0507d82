"""Webhooks that other systems send: signed, taken in and resolved before they are answered."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field

from api.errors import body_refused, denied, described, signature_refused, wait_and_retry
from cdp.errors import Refused
from cdp.ingest.removed import is_of_removed
from cdp.resolution.hooks import Hooks
from cdp.resolution.sending import KEY_WITHHELD
from connectors.events.body import BodyRefused
from connectors.hooks.rows import LIMIT, MOST, Post

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: described("The body cannot be read: correct it, sent again it is refused again"),
    401: described("Not proven to be of such a source: whatever is wrong is never said"),
    403: described("This process lacks the keys that rows are taken in with"),
    408: described("The body came too slowly"),
    413: described("The body is too large, or has too many rows"),
    429: described("Too much at once: send the same again after Retry-After"),
    503: described("Not available right now: send the same again after Retry-After"),
}
_ROW: Final = {"type": "object", "additionalProperties": True}
_SENT: Final = {"id": 7, "first_name": "晓梅", "phone": "13957140286"}
_DESCRIBED: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "source",
            "in": "path",
            "required": True,
            "description": "A source of cdp.yaml whose connector is webhook.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "description": f"At most {LIMIT} bytes, unpacked, and {MOST} rows; gzip is welcome. What "
        "is signed is the body as it is sent.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [_ROW, {"type": "array", "maxItems": MOST, "items": _ROW}]},
                "examples": {"one": {"value": _SENT}},
            }
        },
    },
}
_SIGNATURE: Final = APIKeyHeader(
    name="webhook-signature",
    scheme_name="webhookSignature",
    auto_error=False,
    description="Standard Webhooks, with webhook-id and webhook-timestamp; or the header of an "
    "HMAC-SHA-256 that the source declares.",
)
router = APIRouter(
    prefix="/v1/hooks",
    tags=["webhooks"],
    responses=_PROBLEMS,
    dependencies=[Security(_SIGNATURE)],  # only described: cdp.resolution.hooks_proof reads it
)


class Received(BaseModel):
    """The message is committed, now or before."""

    model_config = ConfigDict(extra="forbid")
    success: bool = Field(examples=[True])


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/{source}", openapi_extra=_DESCRIBED)  # noqa: FAST003 - any text is a name
def receive(request: Request, body: Annotated[bytes, Depends(_body)]) -> Received:
    """Take in a webhook of a source: nothing of it is read before its signature is good.

    The same message sent again changes nothing and is answered the same.
    """
    hooks: Hooks = request.app.state.hooks
    if not hooks.admission.is_able():
        raise denied(KEY_WITHHELD)
    post = Post(dict(request.headers), body)
    # Before a turn is taken: who proves nothing keeps nobody waiting.
    proven = hooks.proven(request.path_params["source"], post)
    if proven is None:
        raise signature_refused()
    request.state.principal = proven.source
    with hooks.admission.turn() as busy:
        if busy is not None:
            raise wait_and_retry(busy.seconds)
        try:
            wait = hooks.take_in(proven, post)
        except BodyRefused as error:
            raise body_refused(error.rule, error.next_step, too_large=error.too_large) from None
        except Refused as error:
            if is_of_removed(error):
                raise signature_refused() from None
            raise wait_and_retry(1) from None
    if wait is not None:
        raise wait_and_retry(wait.seconds)
    return Received(success=True)
