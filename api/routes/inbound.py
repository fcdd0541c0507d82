"""What SDKs send: Segment's HTTP API and RudderStack's, Sensors Analytics, CloudEvents.

The addresses and answers are those that their clients know, so that an SDK works by changing its
host. The short forms of an address, which some SDKs use, are not in /openapi.json.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security.http import HTTPBase

from api import inbound_forms
from api.errors import Problem, body_refused, denied, wait_and_retry, write_key_refused
from api.write_keys import Sender, preflight, sender_in, sender_of
from cdp.errors import Refused
from cdp.ingest.removed import is_of_removed
from cdp.resolution.admission import Wait
from cdp.resolution.inbound import Inbound
from cdp.resolution.sending import KEY_WITHHELD
from connectors.events import cloudevents, rudder, segment, sensors
from connectors.events.body import BodyRefused, parsed, unpacked
from connectors.events.event import Event, Kind, Unusable

SEGMENT: Final = frozenset({"segment", "rudder"})
SENSORS: Final = frozenset({"sensors"})
CLOUDEVENTS: Final = frozenset({"cloudevents"})
CALLS: Final[Mapping[str, Kind | None]] = {
    "batch": None,
    "b": None,
    "import": None,
    **{kind.value: kind for kind in Kind},
    **{kind.value[0]: kind for kind in Kind},
}
"""Last part of the address -> what a single message does; None: each says so itself."""
PATHS: Final = (*(f"/v1/{call}" for call in CALLS), "/v1/cloudevents", "/sa")
_KEYS: Final = tuple(
    HTTPBase(scheme=scheme, scheme_name=name, auto_error=False, description=description)
    for scheme, name, description in (
        ("basic", "writeKey", "The write key of a source as user name, without a password."),
        ("bearer", "writeKeyAsBearer", "The write key of a source."),
    )
)
router = APIRouter(
    tags=["events"],
    responses=inbound_forms.PROBLEMS,
    dependencies=[Security(key) for key in _KEYS],  # only described: `api.write_keys` reads them
)
Messages = list[Event | Unusable]
_Read = Callable[[Request, bytes, Sender | None], tuple[Sender, Messages]]


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]


def _inbound(request: Request) -> Inbound:
    inbound: Inbound = request.app.state.services.inbound
    return inbound


def _read(request: Request, body: bytes, known: Sender | None) -> tuple[Sender, Messages]:
    try:
        found = parsed(unpacked(body))
    except BodyRefused:
        if known is None:  # whoever shows no key is told nothing else
            raise write_key_refused() from None
        raise
    sender = known or sender_in(request, _inbound(request), found, SEGMENT)
    kind = CALLS[request.url.path.rpartition("/")[2]]
    reader = rudder if sender.connector == "rudder" else segment
    return sender, reader.read(reader.messages_of(found, kind), _now(request))


def _read_sensors(request: Request, body: bytes, known: Sender | None) -> tuple[Sender, Messages]:
    if known is None:
        raise write_key_refused()
    return known, sensors.read(sensors.messages_of(body), _now(request))


def _read_cloudevents(
    request: Request, body: bytes, known: Sender | None
) -> tuple[Sender, Messages]:
    if known is None:
        raise write_key_refused()
    kind = request.headers.get("content-type", "")
    messages = cloudevents.messages_of(kind, request.headers, unpacked(body))
    return known, cloudevents.read(messages, _now(request))


def _now(request: Request) -> Any:
    return request.app.state.services.workspace.now()


def _take_in(
    request: Request,
    body: bytes,
    connectors: frozenset[str],
    read: _Read,
) -> Response:
    in_address = connectors is SENSORS
    known = sender_of(request, _inbound(request), connectors, in_address=in_address)
    try:
        return _taken_in(request, body, known, read)
    except Problem as problem:
        if known is not None:  # a page reads why, and how long to wait
            problem.headers = {**(problem.headers or {}), **known.headers}
        raise


def _taken_in(request: Request, body: bytes, known: Sender | None, read: _Read) -> Response:
    inbound = _inbound(request)
    if not inbound.admission.is_able():
        raise denied(KEY_WITHHELD)
    with inbound.admission.turn() as wait:
        if wait is not None:
            raise wait_and_retry(wait.seconds)
        try:
            sender, messages = read(request, body, known)
            found = inbound.take_in(sender.source, messages)
        except BodyRefused as error:
            raise body_refused(error.rule, error.next_step, too_large=error.too_large) from None
        except Refused as error:
            if is_of_removed(error):
                raise write_key_refused() from None
            # Clients give up on anything else that begins with 4.
            raise wait_and_retry(1) from None
    if isinstance(found, Wait):
        raise wait_and_retry(found.seconds)
    answer = inbound_forms.Acknowledged.of(found).model_dump(exclude_none=True)
    return JSONResponse(answer, headers=sender.headers)


def take_in_calls(request: Request, body: Body) -> Response:
    """Take in a call of Segment's API, or a batch of them."""
    return _take_in(request, body, SEGMENT, _read)


_TOKEN: Final = {
    "name": "token",
    "in": "query",
    "required": False,
    "description": "The write key, for SDKs that know no other way.",
    "schema": {"type": "string"},
}


@router.post(
    "/sa",
    response_model=inbound_forms.Acknowledged,
    openapi_extra={"requestBody": inbound_forms.sensors(), "parameters": [_TOKEN]},
)
def take_in_sensors(request: Request, body: Body) -> Response:
    """Take in what an SDK of Sensors Analytics sends."""
    return _take_in(request, body, SENSORS, _read_sensors)


@router.post(
    "/v1/cloudevents",
    response_model=inbound_forms.Acknowledged,
    openapi_extra={"requestBody": inbound_forms.events()},
)
def take_in_cloudevents(request: Request, body: Body) -> Response:
    """Take in CloudEvents, in each of the modes of HTTP."""
    return _take_in(request, body, CLOUDEVENTS, _read_cloudevents)


def ask_first(request: Request) -> Response:
    """Answer a browser that asks whether a page may send."""
    return Response(status_code=204, headers=dict(preflight(request, _inbound(request))))


for _call, _kind in CALLS.items():
    _sent = inbound_forms.batch() if _kind is None else inbound_forms.one_call(_kind)
    router.add_api_route(
        f"/v1/{_call}",
        take_in_calls,
        methods=["POST"],
        response_model=inbound_forms.Acknowledged,
        openapi_extra={"requestBody": _sent},
        include_in_schema=_call in {"batch", _kind},
    )
for _path in PATHS:
    router.add_api_route(_path, ask_first, methods=["OPTIONS"], include_in_schema=False)
