"""An API that is slow, large, broken or hostile: it ends, by a rule that shows nothing."""

import datetime as dt
import gzip
import ipaddress
import itertools
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from connectors.base import Level
from connectors.errors import ConnectorError, Retry, Stop
from connectors.sources.http_engine import AT_ONCE, _unpacked
from tests.integration.http_source import api
from tests.integration.http_source.api import BROKEN, Api, Reply, World, feed_of, read, row

CANARY = "canary-13800001111"
ROWS = [row(1), row(2)]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def drip(head: bytes, part: bytes) -> Iterator[bytes]:
    """A first part at once, then a little every moment, for as long as it is read."""
    yield head
    for _ in range(2000):
        time.sleep(0.02)
        yield part


def refused(server: Api, world: World | None = None, **more: Any) -> ConnectorError:
    """What a reading is refused with; the same as what check finds."""
    with pytest.raises(ConnectorError) as stopped:
        read(feed_of(server, world, **more))
    shown = f"{stopped.value} {stopped.value!r} {stopped.value.__cause__}"
    assert CANARY not in shown
    assert server.host not in shown
    assert stopped.value.next_step
    return stopped.value


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (HEAD + b"content-length: 99999\r\n\r\n", b" "),  # a slow body
        (HEAD, b"x-slow: y\r\n"),  # headers without end
        (HEAD[:9], b" "),  # a status without end
    ],
)
def test_a_slow_answer_ends_in_time(head: bytes, part: bytes) -> None:
    """Engine 1: something comes all the time, so no wait for a part ends; the total time does."""
    limits = {"read": 5, "total": 0.4, "tries": 1}
    with Api(lambda _: Reply(parts=drip(head, part))) as server:
        declared = feed_of(server, limits=limits)
        real = type(declared)(declared._declaration, declared._credentials)
        began = time.monotonic()
        with pytest.raises(Retry, match=r"timed_out|connection_lost"):
            read(real)
        assert time.monotonic() - began < 4


def test_silence_ends_by_the_wait_for_a_part() -> None:
    """A server that takes the request and says nothing."""
    limits = {"read": 0.2, "total": 60, "tries": 2}

    def silent() -> Iterator[bytes]:
        time.sleep(1)
        yield b""

    with Api(lambda _: Reply(parts=silent())) as server:
        world = World()
        error = refused(server, world, limits=limits)
    assert error.rule == "timed_out"
    assert world.slept == [1.0]


def test_a_page_that_is_too_large_is_not_read_to_its_end() -> None:
    """Engine 2: in the open, and packed: a bomb is unpacked only as far as the limit."""
    bomb = gzip.compress(b'{"data": [' + b" " * 50_000_000 + b"]}", mtime=0)
    assert len(bomb) < 100_000
    assert max(map(len, _unpacked([bomb]))) <= AT_ONCE
    large = b'{"data": ["' + CANARY.encode() + b"x" * 2_000_000 + b'"]}'
    with Api(lambda _: Reply(large)) as server:
        assert refused(server, limits={"page_mb": 1}).rule == "page_too_large"
        server.answering = lambda _: Reply(bomb, headers={"Content-Encoding": "gzip"})
        assert refused(server, limits={"page_mb": 1}).rule == "page_too_large"
        endless = drip(HEAD + b"\r\n", b"[" * 100_000)
        server.answering = lambda _: Reply(parts=endless)
        assert refused(server, limits={"page_mb": 1}).rule == "page_too_large"
    assert len(server.asked) == 3  # none was tried again


def test_a_packed_answer_is_read() -> None:
    """In one member or several; one cut short or broken is asked for again."""
    whole = Reply({"data": ROWS}).body()
    packed = gzip.compress(whole[:20], mtime=0) + gzip.compress(whole[20:], mtime=0)
    headers = {"Content-Encoding": "gzip"}
    with Api(lambda _: Reply(packed, headers=headers)) as server:
        server.faults = [
            Reply(packed[:-30], headers=headers),
            Reply(b"no gzip", headers=headers),
        ]
        assert read(feed_of(server))[0] == "1 2 |"
        server.answering = lambda _: Reply(whole, headers={"Content-Encoding": "br"})
        assert refused(server).rule == "packed_unknown"
    assert server.asked[0].headers["accept-encoding"] == "gzip"


def test_an_answer_cut_short_is_asked_for_again() -> None:
    """Less came than was said: the page is never taken for a whole one."""
    short = Reply({"data": ROWS}, headers={"content-length": "9999"})
    cut = Reply(parts=[HEAD, b"content-length: 9999\r\n\r\n", short.body()])
    with Api(lambda _: Reply({"data": ROWS})) as server:
        server.faults = [cut, BROKEN]
        assert read(feed_of(server))[0] == "1 2 |"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"<html>canary-13800001111</html>", "page_not_json"),
        (b'{"data": [{"name": "canary-13800001111"}', "page_not_json"),
        (b'{"data": "canary-13800001111"}', "rows_missing"),
        (b'["canary-13800001111"]', "rows_missing"),
        (b'{"errcode": 40001, "errmsg": "canary-13800001111"}', "rows_missing"),
        ("canary-13800001111 张".encode("gb18030"), "not_utf8"),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "page_too_deep"),
        (b'{"data": [], "data": []}', "rows_missing"),
    ],
)
def test_what_is_no_page_stops(body: bytes, rule: str) -> None:
    """Engine 4: a page for people, half an answer, an error under 200, nesting without end."""
    with Api(lambda _: Reply(body)) as server:
        error = refused(server)
        [found] = feed_of(server).check()
    assert isinstance(error, Stop)
    assert error.rule == rule
    assert (found.level, found.rule) == (Level.ERROR, rule)


def test_an_answer_that_says_no_is_not_an_empty_page() -> None:
    """APIs that answer 200 with a code of their own: declared, it is looked at."""
    more = {"success": {"path": "code", "values": [0]}}
    with Api(lambda _: Reply({"code": 0, "data": ROWS})) as server:
        assert read(feed_of(server, **more))[0] == "1 2 |"
        server.answering = lambda _: Reply({"code": 7, "data": [], "message": CANARY})
        assert refused(server, **more).rule == "answer_says_no"
        server.answering = lambda _: Reply(status=204)
        assert read(feed_of(server, **more))[0] == "|"
        server.answering = lambda _: Reply({"code": 0, "data": None})
        assert read(feed_of(server, **more))[0] == "|"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Session 1: neither to another host, which would get the credential, nor to the same."""
    with Api(lambda _: Reply({"data": ROWS})) as other, Api(lambda _: Reply(status=204)) as server:
        for url in (f"{other.url}/{CANARY}", "/elsewhere"):
            server.answering = lambda _, url=url: Reply(status=status, headers={"Location": url})
            assert refused(server, auth={"type": "bearer"}).rule == "redirect_refused"
        assert other.asked == []
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "link",
    [
        "http://elsewhere.invalid/canary-13800001111",
        "//elsewhere.invalid/x",
        "http://127.0.0.1:9/x",
        "https://{host}/x",
        "http://user@{host}/x",
        "http://{host}@elsewhere.invalid/x",
        "http://{host}.elsewhere.invalid/",
        "file:///etc/passwd",
        "gopher://{host}/x",
        "/x\r\ny: z",
        "/x y",
        "http://[",
    ],
)
def test_a_next_link_leads_nowhere_else(link: str) -> None:
    """Another host, port, scheme or user is refused, in the body and in the header."""
    with Api(lambda _: Reply({"data": ROWS})) as server:
        url = link.format(host=server.host)
        server.answering = lambda _: Reply({"data": ROWS, "next": url})
        assert refused(server, paging=api.PAGINGS["next"]).rule == "next_elsewhere"
        if "\r" not in url:
            headers = {"Link": f"<{url}>; rel=next"}
            server.answering = lambda _: Reply({"data": ROWS}, headers=headers)
            assert refused(server, paging=api.PAGINGS["link"]).rule == "next_elsewhere"


def test_what_was_asked_for_by_waiting_is_kept_to() -> None:
    """Trying 1: seconds and a date, 429 and 503; longer than the patience is left to others."""
    date = "Mon, 02 Mar 2026 00:00:30 GMT"
    with Api(lambda _: Reply({"data": ROWS})) as server:
        server.faults = [
            Reply(status=429, headers={"Retry-After": "7"}),
            Reply(status=503, headers={"Retry-After": date}),
            Reply(status=503),
        ]
        world = World()
        assert read(feed_of(server, world))[0] == "1 2 |"
        assert world.slept == [7.0, 23.0, 4.0]
        server.answering = lambda _: Reply(status=429, headers={"Retry-After": "99999999"})
        world = World()
        error = refused(server, world)
    assert isinstance(error, Retry)
    assert (error.rule, error.after, world.slept) == ("asked_to_wait", 86400.0, [])


def test_tries_and_time_are_bounded() -> None:
    """Session 2, Trying 2: one that never recovers, and one that is not there, may be run again."""
    with Api(lambda _: Reply(status=502)) as server:
        world = World()
        error = refused(server, world, limits={"tries": 4})
        assert (error.rule, world.slept) == ("http_502", [1.0, 2.0, 4.0])
        world = World()
        refused(server, world, limits={"tries": 20, "patience": 10})
        assert world.slept == [1.0, 2.0, 4.0]
        gone = feed_of(server, world)
    with pytest.raises(Retry, match="not_reachable"):
        read(gone)
    [found] = gone.check()
    assert found.rule == "not_reachable"


def test_requests_come_no_faster_than_declared() -> None:
    """Trying 3: two requests a second, tries included."""
    rows = [row(number) for number in range(1, 8)]
    with Api(api.paged(rows, "cursor")) as server:
        server.faults = [None, Reply(status=500)]
        world = World()
        read(feed_of(server, world, paging=api.PAGINGS["cursor"], rate=2))
    assert world.slept == [0.5, 1.0, 0.5, 0.5]


def test_a_reading_that_is_closed_leaves_nothing_open() -> None:
    """Engine 5 and Session 3: after any row, and when it stops by itself."""
    rows = [row(number) for number in range(1, 8)]
    with Api(api.paged(rows, "cursor")) as server:
        for count in (0, 1, 3, 7, 99):
            reading = feed_of(server, paging=api.PAGINGS["cursor"]).read(None)
            list(itertools.islice(reading, count))
            assert server.left_open() == (count in {1, 3, 7})
            reading.close()  # type: ignore[attr-defined]
            assert server.left_open() == 0
        server.answering = lambda _: Reply(status=400)
        refused(server)
        feed_of(server).check()
        assert server.left_open() == 0


def test_interrupting_a_wait_ends_the_reading() -> None:
    """Whatever sleeping raises comes through, and nothing is left open."""

    class Interrupted(World):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt(seconds)

    with Api(lambda _: Reply(status=503)) as server:
        with pytest.raises(KeyboardInterrupt):
            read(feed_of(server, Interrupted()))
        assert server.left_open() == 0


def self_signed(folder: Path) -> ssl.SSLContext:
    """What shows a certificate that nobody but itself signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    day, begins = dt.timedelta(days=1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(begins + 36500 * day)
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


def test_a_certificate_that_is_not_trusted_stops(tmp_path: Path) -> None:
    """Engine 3: nothing is sent to who shows it, and it is not tried again."""
    with Api(lambda _: Reply({"data": ROWS}), self_signed(tmp_path)) as server:
        world = World()
        error = refused(server, world, auth={"type": "bearer"})
    assert (error.rule, error.field, world.slept) == ("certificate_refused", "location", [])
    assert isinstance(error, Stop)
    assert server.asked == []


def test_no_cookie_and_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine 3: a proxy, a password file and a cookie of the API change nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with Api(api.paged([row(n) for n in range(1, 6)], "cursor")) as server:
        server.faults = [Reply(status=500, headers={"Set-Cookie": "a=b"})]
        read(feed_of(server, paging=api.PAGINGS["cursor"], request={"headers": {"x-shop": "7"}}))
    assert all("cookie" not in one.headers for one in server.asked)
    assert {one.headers["x-shop"] for one in server.asked} == {"7"}
