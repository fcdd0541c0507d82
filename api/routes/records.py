"""Records as they come: sent, stored and resolved."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from api import forms
from api.auth import Authenticated
from api.errors import busy, denied, described, none_taken_in
from api.rows import JSON, LINES, rows_of
from cdp.errors import Refused
from cdp.resolution.sending import MOST

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("Not JSON in UTF-8"),
    401: described("No valid API key"),
    403: described("The sender may not send records"),
    404: described("No such source"),
    409: described("Others keep changing the same people, or take long: send it again"),
    413: described("The body is too large, or has too many records"),
    415: described("Neither JSON nor JSON lines"),
    422: described("No record at all: each row was refused, or there is none"),
    503: described("The database is not there, or a key was retired: send it again"),
}
_ROW = {"type": "object", "additionalProperties": True}
_EXAMPLE = {"openid": "oExample01", "name": "林晓梅", "phones": "13957140286"}
_BODY = {
    "required": True,
    "description": f"At most {MOST} records, each with the columns that cdp.yaml maps.",
    "content": {
        JSON: {
            "schema": {"oneOf": [_ROW, {"type": "array", "maxItems": MOST, "items": _ROW}]},
            "examples": {"one": {"value": _EXAMPLE}, "several": {"value": [_EXAMPLE]}},
        },
        **{kind: {"schema": {"type": "string"}} for kind in sorted(LINES)},
    },
}
router = APIRouter(prefix="/v1/sources", tags=["records"], responses=_PROBLEMS)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/{source}/records", openapi_extra={"requestBody": _BODY})
def send_records(
    caller: Authenticated,
    source: Annotated[str, Path(description="A source of cdp.yaml.")],
    body: Annotated[bytes, Depends(_body)],
) -> forms.ArrivalForm:
    """Take in records of a source and find their people, all of it or nothing.

    The same records sent again change nothing, so send again what was not answered.
    """
    sending, request_id = caller.services.sending, caller.request_id
    with caller.session() as session:
        denial = sending.refusal(session.connection, session.subject, source, request_id)
    if denial is not None:
        raise denied(denial)
    rows = rows_of(caller.request.headers.get("content-type", ""), body, MOST)
    try:
        sent = sending.take_in(session.subject, source, rows, request_id)
    except Refused as error:
        raise busy(error) from None
    answer = forms.ArrivalForm.of(sent)
    if not (answer.stored or answer.unchanged or answer.shredded):
        raise none_taken_in([row.told() for row in answer.refused])
    return answer
