"""Delivering to a real receiver on this machine, one test for each invariant of the destination."""

import base64
import datetime as dt
import http.server
import json
import threading
import time

import httpx
import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Message, MessageDestination
from connectors.destination_declaration import DestinationDeclaration, parse_destination
from connectors.destinations.signature import signature, signing_key
from connectors.destinations.webhook import MAX_WAIT, WebhookDestination, retry_after
from connectors.errors import DeclarationError, Retry, Skip, Stop
from connectors.record import Sensitive

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()
NOW = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
CANARY = "canary-13800001111"
MESSAGE = Message("msg_1", "profile.changed", "profile/p1", NOW, {"name": "张三", "phone": CANARY})


class Receiver:
    """A real HTTP server that keeps requests and answers as told: (status, headers, body)."""

    def __init__(self):
        self.requests = []
        self.answers = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = (
                    receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
                )
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-length" not in headers:
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self):
        """Close the port and wait for the thread."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.stop()


def declared(url, **changes):
    return parse_destination(
        "crm",
        {
            "connector": "webhook",
            "location": url,
            "purpose": "marketing",
            "fields": ["name", "phone"],
            "secret": "crm",
            "timeout": 0.5,
            **changes,
        },
    )


@pytest.fixture
def open_destination():
    opened = []

    def opens(url, *secrets, clock=lambda: NOW, **more):
        sealed = [Sensitive(secret) for secret in secrets or (SECRET,)]
        opened.append(WebhookDestination(declared(url), sealed, clock=clock, **more))
        return opened[-1]

    yield opens
    for one in opened:
        one.close()


def header(request, name):
    return {key.lower(): value for key, value in request[1].items()}[name]


def test_the_body_is_a_cloud_event(receiver, open_destination):
    """A receiver gets a CloudEvents 1.0 event in structured mode."""
    target = open_destination(receiver.url, origin="/kith/north")
    assert isinstance(target, MessageDestination)
    target.deliver(MESSAGE)
    ((path, _, body),) = receiver.requests
    assert path == "/hook"
    assert header(receiver.requests[0], "content-type") == "application/cloudevents+json"
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": "msg_1",
        "source": "/kith/north",
        "type": "profile.changed",
        "subject": "profile/p1",
        "time": "2030-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "data": {"name": "张三", "phone": CANARY},
    }


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_an_independent_library_verifies_the_signature(receiver, open_destination, secret):
    """The Standard Webhooks library accepts what is sent, also while a secret is replaced."""
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    open_destination(receiver.url, SECRET, OLD_SECRET, clock=lambda: now).deliver(MESSAGE)
    _, headers, body = receiver.requests[0]
    verified = standardwebhooks.Webhook(secret).verify(
        body, {k.lower(): v for k, v in headers.items()}
    )
    assert verified["id"] == "msg_1"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(
            body.replace(b"msg_1", b"msg_2"), {k.lower(): v for k, v in headers.items()}
        )


@given(st.binary(max_size=60), st.binary(min_size=24, max_size=64), st.integers(0, 2**37))
@settings(deadline=None)
def test_signatures_equal_those_of_the_independent_library(body, key, timestamp):
    """For any body, key and time the signature is the one the specification's library makes."""
    secret = "whsec_" + base64.b64encode(key).decode()
    ours = signature([signing_key(Sensitive(secret))], "msg_1", timestamp, body)
    signer = standardwebhooks.Webhook(secret)
    when = dt.datetime.fromtimestamp(timestamp, dt.UTC)
    if body.isascii():
        assert ours == signer.sign("msg_1", when, body.decode("ascii"))
    assert ours.startswith("v1,")
    assert len(base64.b64decode(ours[3:])) == 32


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "plain",
        "whsec_",
        "whsec_!!!!",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        SECRET[6:],
    ],
)
def test_a_bad_secret_stops(secret):
    """A secret of the wrong form or strength is refused at once and not quoted."""
    with pytest.raises(Stop) as stop:
        WebhookDestination(declared("http://127.0.0.1/"), [Sensitive(secret)], clock=lambda: NOW)
    assert stop.value.rule == "secret_form"
    assert not secret or secret not in str(stop.value).replace("whsec_ and", "")


def test_no_secret_stops():
    """Nothing is sent without a signature."""
    with pytest.raises(Stop, match="secret_form"):
        WebhookDestination(declared("http://127.0.0.1/"), [], clock=lambda: NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(receiver, open_destination, status):
    """Any 2xx answer means delivered."""
    receiver.answers = [(status, {}, b"")]
    assert open_destination(receiver.url).deliver(MESSAGE) is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_busy_or_broken_receivers_are_tried_again(receiver, open_destination, status):
    """Time-outs, limits and server errors ask for another try, after the time they name."""
    receiver.answers = [(status, {"retry-after": "7"}, b""), (status, {}, b"")]
    target = open_destination(receiver.url)
    with pytest.raises(Retry) as retry:
        target.deliver(MESSAGE)
    assert (retry.value.rule, retry.value.after) == (f"http_{status}", 7.0)
    with pytest.raises(Retry) as retry:
        target.deliver(MESSAGE)
    assert retry.value.after is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", MAX_WAIT),
        ("Wed, 02 Jan 2030 03:05:05 GMT", 60.0),
        ("Wed, 02 Jan 2030 03:05:05 -0000", 60.0),
        ("Tue, 01 Jan 2030 00:00:00 GMT", 0.0),
        ("Wed, 02 Jan 2999 03:05:05 GMT", MAX_WAIT),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("９", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    """Retry-After is honoured in both forms, never negative, at most a day."""
    assert retry_after(text, NOW) == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
def test_refusals_stop(receiver, open_destination, status):
    """A refusal needs a person; 410 says that no more events are wanted."""
    receiver.answers = [(status, {}, b"")]
    with pytest.raises(Stop) as stop:
        open_destination(receiver.url).deliver(MESSAGE)
    assert stop.value.rule == f"http_{status}"
    assert ("no more events" in stop.value.next_step) == (status == 410)


def test_a_silent_or_absent_receiver_is_tried_again(receiver, open_destination):
    """A closed connection, a closed port and a receiver that never answers are Retry."""
    receiver.answers = [(None, {}, b"")]
    target = open_destination(receiver.url)
    with pytest.raises(Retry, match="unreachable"):
        target.deliver(MESSAGE)

    def slow(request):
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(Retry, match="timeout"):
        open_destination(receiver.url, transport=httpx.MockTransport(slow)).deliver(MESSAGE)
    closed = Receiver()
    closed.stop()
    with pytest.raises(Retry, match="unreachable"):
        open_destination(closed.url).deliver(MESSAGE)


def test_invariant_1_nothing_goes_out_in_the_clear():
    """Even a declaration that was made by hand cannot send plain http to another machine."""
    by_hand = DestinationDeclaration(
        "crm", "webhook", "http://crm.invalid/", "service", ("name",), "crm"
    )
    with pytest.raises(DeclarationError, match="plain_http"):
        WebhookDestination(by_hand, [Sensitive(SECRET)], clock=lambda: NOW)


def test_an_address_that_cannot_be_asked_stops():
    """What no client could send to is refused before the first message, without being quoted."""
    with pytest.raises(Stop, match="not_a_web_address") as stop:
        WebhookDestination(
            declared("https://crm.invalid/\x01hidden"), [Sensitive(SECRET)], clock=lambda: NOW
        )
    assert "hidden" not in str(stop.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_invariant_2_redirects_are_refused(receiver, open_destination, status):
    """A redirect stops delivery; the other address is never asked."""
    receiver.answers = [(status, {"location": receiver.url + "/other"}, b"")]
    with pytest.raises(Stop, match="redirect_refused"):
        open_destination(receiver.url).deliver(MESSAGE)
    assert [request[0] for request in receiver.requests] == ["/hook"]


def test_invariant_3_the_id_stays_and_the_time_moves(receiver, open_destination):
    """Two attempts have one webhook-id, and timestamp and signature of their own."""
    moments = iter([NOW, NOW + dt.timedelta(seconds=9)])
    target = open_destination(receiver.url, clock=lambda: next(moments))
    target.deliver(MESSAGE)
    target.deliver(MESSAGE)
    first, second = receiver.requests
    assert header(first, "webhook-id") == header(second, "webhook-id") == "msg_1"
    seconds = [int(header(one, "webhook-timestamp")) for one in (first, second)]
    assert seconds == [int(NOW.timestamp()), int(NOW.timestamp()) + 9]
    assert header(first, "webhook-signature") != header(second, "webhook-signature")
    assert first[2] == second[2]


@pytest.mark.parametrize("status", [302, 404, 503, None])
def test_invariant_4_no_error_shows_address_secret_or_data(receiver, open_destination, status):
    """An error names the destination and the rule, and nothing that was sent."""
    receiver.answers = [(status, {"location": "/x"}, CANARY.encode())]
    target = open_destination(receiver.url + "?token=hidden")
    with pytest.raises((Stop, Retry)) as error:
        target.deliver(MESSAGE)
    for shown in (str(error.value), repr(error.value), repr(target), repr(MESSAGE)):
        assert not any(word in shown for word in (CANARY, "hidden", SECRET, "127.0.0.1"))
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_invariant_5_a_long_answer_is_not_read(receiver, open_destination):
    """An answer longer than the limit is cut off; the status alone decides."""
    size = 300 * 1024
    receiver.answers = [(200, {}, b"x" * size), (200, {"content-length": "100"}, b"short")]
    target = open_destination(receiver.url)
    target.deliver(MESSAGE)
    target.deliver(MESSAGE)
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"id": "a.b"}, "message_form"),
        ({"id": ""}, "message_form"),
        ({"id": "a\r\nx: y"}, "message_form"),
        ({"time": dt.datetime(2030, 1, 1)}, "message_form"),  # noqa: DTZ001 - that is the mistake
        ({"data": {"x": float("nan")}}, "not_json"),
        ({"data": {"x": Sensitive(CANARY)}}, "not_json"),
        ({"data": {"x": {CANARY}}}, "not_json"),
        ({"data": {"x": "\ud800"}}, "not_json"),
        ({"data": {"x": "y" * 1024 * 1024}}, "message_too_large"),
    ],
    ids=["dot", "empty", "header", "zone", "nan", "sealed", "set", "surrogate", "large"],
)
def test_a_message_that_can_never_be_sent_is_skipped(receiver, open_destination, change, rule):
    """A bad message is skipped without a request and without showing its data."""
    fields = {"id": "m", "type": "t", "subject": "s", "time": NOW, "data": {}, **change}
    with pytest.raises(Skip) as skip:
        open_destination(receiver.url).deliver(Message(**fields))
    assert skip.value.rule == rule
    assert CANARY not in str(skip.value)
    assert receiver.requests == []


def test_the_environment_is_not_read(receiver, open_destination, monkeypatch):
    """A proxy in the environment does not see the data."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    open_destination(receiver.url).deliver(MESSAGE)
    assert len(receiver.requests) == 1
