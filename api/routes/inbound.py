"""What SDKs send: Segment's HTTP API and RudderStack's, Sensors Analytics, CloudEvents.

The addresses and answers are those that their clients know, so that an SDK works by changing its
host. They are not in /openapi.json: docs/howto/point-an-sdk-at-kith.md says where to look.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from api.errors import body_refused, denied, wait_and_retry
from api.write_keys import Sender, preflight, sender_of
from cdp.errors import Refused
from cdp.resolution.inbound import Delivered, Inbound, Wait
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
router = APIRouter(include_in_schema=False)
Messages = list[Event | Unusable]


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]


def _inbound(request: Request) -> Inbound:
    inbound: Inbound = request.app.state.services.inbound
    return inbound


def _read(request: Request, body: bytes) -> tuple[Sender, Messages]:
    found = parsed(unpacked(body))
    sender = sender_of(request, _inbound(request), found, SEGMENT)
    kind = CALLS[request.url.path.rpartition("/")[2]]
    reader = rudder if sender.connector == "rudder" else segment
    return sender, reader.read(reader.messages_of(found, kind), _now(request))


def _read_sensors(request: Request, body: bytes) -> tuple[Sender, Messages]:
    sender = sender_of(request, _inbound(request), None, SENSORS)
    return sender, sensors.read(sensors.messages_of(body), _now(request))


def _read_cloudevents(request: Request, body: bytes) -> tuple[Sender, Messages]:
    sender = sender_of(request, _inbound(request), None, CLOUDEVENTS)
    kind = request.headers.get("content-type", "")
    messages = cloudevents.messages_of(kind, request.headers, unpacked(body))
    return sender, cloudevents.read(messages, _now(request))


def _now(request: Request) -> Any:
    return request.app.state.services.workspace.now()


def _take_in(
    request: Request,
    body: bytes,
    read: Callable[[Request, bytes], tuple[Sender, Messages]],
) -> Response:
    inbound = _inbound(request)
    if not inbound.is_able():
        raise denied(KEY_WITHHELD)
    with inbound.turn() as wait:
        if wait is not None:
            raise wait_and_retry(wait.seconds)
        try:
            sender, messages = read(request, body)
            found = inbound.take_in(sender.source, messages)
        except BodyRefused as error:
            raise body_refused(error.rule, error.next_step, too_large=error.too_large) from None
        except Refused:
            # Clients give up on anything else that begins with 4.
            raise wait_and_retry(1) from None
    if isinstance(found, Wait):
        raise wait_and_retry(found.seconds)
    return JSONResponse(_answer(found), headers=sender.headers)


def _answer(found: Delivered) -> dict[str, Any]:
    """What clients look for, and what a person who tries it out wants to know."""
    answer: dict[str, Any] = {"success": True}
    if found.refused:
        answer["refused"] = [
            {"position": one.position, "rule": one.rule, "next_step": one.next_step}
            for one in found.refused
        ]
    if found.left_out:
        answer["left_out"] = dict(sorted(found.left_out.items()))
    return answer


def take_in_calls(request: Request, body: Body) -> Response:
    """Take in a call of Segment's API, or a batch of them."""
    return _take_in(request, body, _read)


@router.post("/sa")
def take_in_sensors(request: Request, body: Body) -> Response:
    """Take in what an SDK of Sensors Analytics sends."""
    return _take_in(request, body, _read_sensors)


@router.post("/v1/cloudevents")
def take_in_cloudevents(request: Request, body: Body) -> Response:
    """Take in CloudEvents, in each of the modes of HTTP."""
    return _take_in(request, body, _read_cloudevents)


def ask_first(request: Request) -> Response:
    """Answer a browser that asks whether a page may send."""
    return Response(status_code=204, headers=dict(preflight(request, _inbound(request))))


for _call in CALLS:
    router.add_api_route(f"/v1/{_call}", take_in_calls, methods=["POST"])
for _path in PATHS:
    router.add_api_route(_path, ask_first, methods=["OPTIONS"])
