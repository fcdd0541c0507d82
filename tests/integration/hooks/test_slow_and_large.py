"""Bodies that are too large, cut short or come drop by drop, at a real server."""

import socket
import time

import pytest

from api import edge, patience
from cdp.storage import schema
from connectors.hooks.rows import LIMIT
from tests.integration.hooks.world import World

pytestmark = pytest.mark.integration
HEAD = b"POST /v1/hooks/crm HTTP/1.1\r\nHost: x\r\nContent-Length: "


def answered(world: World, *parts: bytes) -> bytes:
    """What a connection is told until it is hung up on; parts go one after the other."""
    port = int(world.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(0.1)
        client.settimeout(20)
        found = b""
        while part := client.recv(4096):
            found += part
        return found


def test_a_body_beyond_the_limit_is_refused_unread(world: World) -> None:
    """By what it says of its length, before a byte of it is read."""
    found = answered(world, HEAD + str(LIMIT + 1).encode() + b"\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")
    answer = world.post("crm", b"x" * (LIMIT + 1), {})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_slow_or_truncated_body_has_no_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender is hung up on; what came is not looked at."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.5)
    found = answered(world, HEAD + b"100\r\n\r\n", b"{", b'"')
    assert found.startswith(b"HTTP/1.1 408 ")
    port = int(world.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(HEAD + b'100\r\n\r\n{"id": "m3"')
    assert world.standard({"data": []}).status_code == 200
    assert (
        len(world.all(schema.hook_message.select().with_only_columns(schema.hook_message.c.source)))
        == 1
    )
