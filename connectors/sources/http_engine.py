"""One request to somebody else's HTTP API: the module here that imports httpx and httpcore.

Invariants, each named (Engine 1 and so on) by a test in
``tests/integration/http_source/test_hostile.py``:

1. A request ends at its total time, however slowly the other side sends headers or body, names
   are looked up, or addresses do not answer.
2. No more of an answer is held than the limit, packed or unpacked.
3. No redirect is followed, no cookie is kept, and no proxy and no password file of the
   environment is used. A certificate has to be trusted by this machine.
4. No error shows the address, a header or a body.
5. Closed, it leaves no connection behind.
"""

import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any, Final

import httpcore
import httpx

from connectors.http_declaration import Limits
from connectors.record import Raw

AT_ONCE: Final = 64 * 1024  # bytes that are unpacked together
_GZIP: Final = 16 + zlib.MAX_WBITS
_USER_AGENT: Final = "kith-source/1"


@dataclass(frozen=True, slots=True, repr=False)
class Ask(Raw):
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Answer(Raw):
    """What came back: a whole body, unpacked."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


class Fault(Exception):  # noqa: N818 - caught where requests are tried
    """No whole answer came. Says by which rule, and whether the same may go well later."""

    def __init__(self, rule: str, *, again: bool) -> None:
        super().__init__(rule)
        self.rule = rule
        self.again = again


# The more telling first: some are kinds of others.
_FAULTS: Final[tuple[tuple[tuple[type[Exception], ...], str, bool], ...]] = (
    ((httpcore.ConnectTimeout,), "not_reachable", True),
    ((httpcore.TimeoutException,), "timed_out", True),
    ((httpcore.ConnectError, httpcore.ProxyError), "not_reachable", True),
    ((httpcore.NetworkError, httpcore.RemoteProtocolError), "connection_lost", True),
    ((zlib.error,), "packed_broken", True),
)
_EXPECTED: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProxyError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.HTTPError,
    httpx.InvalidURL,
    zlib.error,
    ssl.SSLError,
    OSError,
    ValueError,  # a header or an address that cannot be written
)


class Exchange:
    """Connections to the hosts of one source, one request at a time."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """Prepare; nothing is opened. ``clock`` gives seconds that only grow."""
        self._limits, self._clock = limits, clock
        self._ends = 0.0
        self._pool = httpcore.ConnectionPool(
            max_connections=2,
            keepalive_expiry=60.0,
            network_backend=_Backend(self._left),
        )

    def send(self, ask: Ask, most: int) -> Answer:
        """Ask once, and read the whole answer, at most ``most`` bytes of it.

        Raises:
            Fault: no whole answer came.
        """
        self._ends = self._clock() + self._limits.total
        fault: Fault | None = None
        try:
            return self._sent(ask, most)
        except _EXPECTED as error:
            fault = _fault_of(error)
        raise fault  # anew: the error's own traceback holds the request

    def _sent(self, ask: Ask, most: int) -> Answer:
        limits = self._limits
        waits = {"connect": limits.connect, "read": limits.read}
        waits |= {"write": limits.read, "pool": limits.connect}
        request = httpx.Request(
            ask.method,
            ask.url,
            headers={"user-agent": _USER_AGENT, "accept-encoding": "gzip", **ask.headers},
            content=ask.body,
        )
        url = request.url
        given = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=ask.body,
                extensions={"timeout": waits},
            )
        )
        try:
            headers = {name.lower(): text for name, text in httpx.Headers(given.headers).items()}
            body = self._body(given, headers, most)
        finally:
            given.close()
        return Answer(given.status, headers, body)

    def _body(self, given: httpcore.Response, headers: Mapping[str, str], most: int) -> bytes:
        packing = headers.get("content-encoding", "").strip().lower()
        parts: Iterable[bytes] = _bounded(given.iter_stream(), most)
        if packing in {"gzip", "x-gzip"}:
            parts = _bounded(_unpacked(parts), most)
        elif packing not in {"", "identity"}:
            raise Fault("packed_unknown", again=False)
        return b"".join(parts)

    def _left(self) -> float:
        """Seconds that this request may still take.

        Raises:
            httpcore.ReadTimeout: none.
        """
        left = self._ends - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def __repr__(self) -> str:
        return "<exchange>"


def _bounded(parts: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > most:
            raise Fault("page_too_large", again=False)
        yield part


def _unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The content of gzip, a little at a time; of several members one behind the other."""
    unpack = zlib.decompressobj(_GZIP)
    began = False
    for part in parts:
        rest = part
        while rest:
            if unpack.eof:
                unpack, began = zlib.decompressobj(_GZIP), False
            began = True
            content = unpack.decompress(rest, AT_ONCE)
            yield content
            rest = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    while began and not unpack.eof and (content := unpack.decompress(b"", AT_ONCE)):
        yield content
    if began and not unpack.eof:
        raise Fault("connection_lost", again=True)


def _fault_of(error: Exception) -> Fault:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return Fault("certificate_refused", again=False)
    for kinds, rule, again in _FAULTS:
        if isinstance(error, kinds):
            return Fault(rule, again=again)
    if isinstance(error, OSError):
        return Fault("connection_lost", again=True)
    return Fault("request_unusable", again=False)


class _Backend(httpcore.NetworkBackend):
    """Connections that know when the request on them has to end."""

    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **named: Any
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers, in the time that is left."""
        failed: Exception = httpcore.ConnectError("no address")
        for address in _addresses(host, port, _least(timeout, self._left())):
            wait = _least(timeout, self._left())
            try:
                stream = self._inner.connect_tcp(address, port, wait, *more, **named)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            return _Stream(stream, self._left)
        raise failed


class _Stream(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, inner: httpcore.NetworkStream, left: Callable[[], float]) -> None:
        self._inner, self._left = inner, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read, in the time that is left."""
        return self._inner.read(max_bytes, _least(timeout, self._left()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, in the time that is left."""
        self._inner.write(buffer, _least(timeout, self._left()))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Begin TLS, in the time that is left."""
        wait = _least(timeout, self._left())
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, wait), self._left)

    def get_extra_info(self, info: str) -> Any:
        """What the connection knows of itself."""
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        """Close it."""
        self._inner.close()


def _addresses(host: str, port: int, wait: float) -> list[str]:
    """The addresses of a host, in the order in which they are to be tried.

    Nothing ends a look-up of a name that hangs. So it is left behind, in a thread of its own that
    keeps no process from ending.

    Raises:
        httpcore.ConnectError, httpcore.ConnectTimeout: there are none, or none in time.
        ValueError: what stands there can be the name of no host.
    """
    found: Queue[list[str] | Exception] = Queue(maxsize=1)

    def look_up() -> None:
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([str(one[4][0]) for one in known])
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            found.put(error)

    threading.Thread(target=look_up, name="kith-look-up", daemon=True).start()
    try:
        answer = found.get(timeout=wait)
    except Empty:
        raise httpcore.ConnectTimeout from None
    if isinstance(answer, OSError):
        raise httpcore.ConnectError(answer.strerror) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _least(wait: float | None, left: float) -> float:
    return left if wait is None else min(wait, left)
