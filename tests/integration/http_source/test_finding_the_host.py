"""A name that is looked up for ever, and addresses that do not answer: both end in time."""

import socket
import threading
import time
from typing import Any

import httpcore
import pytest

from connectors.errors import Retry
from connectors.sources import http_engine
from tests.integration.http_source.api import Api, Reply, World, feed_of, read, row

DEAD = "127.0.0.9"


def answers(*addresses: str) -> Any:
    """A look-up that finds these; an address is its own."""

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = [host] if host in addresses and len(host.split(".")) == 4 else addresses
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    return look_up


def in_real_time(server: Api, **limits: float) -> Any:
    """A feed whose clock is that of the machine."""
    declared = feed_of(server, limits={"tries": 1, **limits})
    return type(declared)(declared._declaration, declared._credentials)


def test_a_look_up_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine 1: and keeps no process from ending."""
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: let_go.wait(30) and [])
    with Api(lambda _: Reply({"data": [row(1)]})) as server:
        began = time.monotonic()
        with pytest.raises(Retry, match="not_reachable"):
            read(in_real_time(server, connect=60, total=0.3))
        assert time.monotonic() - began < 3
    left = [one for one in threading.enumerate() if one.name == "kith-look-up"]
    assert all(one.daemon for one in left)
    let_go.set()


def test_many_addresses_that_do_not_answer_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine 1: each has the time for a connection, and all of them no more than the total."""
    tried: list[str] = []

    def silent(address: tuple[str, int], timeout: float, **_: Any) -> Any:
        tried.append(address[0])
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", answers(*(f"127.0.0.{n}" for n in range(2, 60))))
    monkeypatch.setattr(socket, "create_connection", silent)
    with Api(lambda _: Reply({"data": [row(1)]})) as server:
        began = time.monotonic()
        with pytest.raises(Retry, match=r"timed_out|not_reachable"):
            read(in_real_time(server, connect=0.1, total=0.5))
        assert time.monotonic() - began < 3
    assert 2 <= len(tried) <= 8


def test_a_dead_address_hides_no_living_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next address is tried, as a browser does."""
    genuine = httpcore.SyncBackend.connect_tcp
    tried: list[str] = []

    def half(backend: Any, host: str, *more: Any, **named: Any) -> Any:
        tried.append(host)
        if host == DEAD:
            raise httpcore.ConnectError("refused")
        return genuine(backend, host, *more, **named)

    with Api(lambda _: Reply({"data": [row(1)]})) as server:
        monkeypatch.setattr(http_engine, "_addresses", lambda *_: [DEAD, "127.0.0.1"])
        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", half)
        assert read(feed_of(server))[0] == "1 |"
    assert tried == [DEAD, "127.0.0.1"]


def test_a_name_that_nobody_knows_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is no name at all is a mistake of the declaration."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    world = World()
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        Api(lambda _: Reply({"data": [row(1)]})) as server,
        pytest.raises(Retry, match="not_reachable"),
    ):
        read(feed_of(server, world, limits={"tries": 2}))
    assert len(world.slept) == 1
    monkeypatch.undo()
    with pytest.raises(ValueError, match="label"):
        http_engine._addresses(f"{'x' * 70}.example.com", 443, 5)
