"""Bodies that are too large, cut short or come drop by drop, at a real server."""

import pytest

from api import edge, patience
from cdp.storage import schema
from connectors.hooks.rows import LIMIT
from tests.integration.hooks.world import World
from tests.integration.served import answered, connected

pytestmark = pytest.mark.integration
HEAD = b"POST /v1/hooks/crm HTTP/1.1\r\nHost: x\r\nContent-Length: "


def test_a_body_beyond_the_limit_is_refused_unread(world: World) -> None:
    """By what it says of its length, before a byte of it is read."""
    found = answered(world.url, HEAD + str(LIMIT + 1).encode() + b"\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")
    answer = world.post("crm", b"x" * (LIMIT + 1), {})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_slow_or_truncated_body_has_no_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender is hung up on; what came is not looked at."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.5)
    found = answered(world.url, HEAD + b"100\r\n\r\n", b"{", b'"')
    assert found.startswith(b"HTTP/1.1 408 ")
    with connected(world.url) as client:
        client.sendall(HEAD + b'100\r\n\r\n{"id": "m3"')
    assert world.standard({"data": []}).status_code == 200
    assert (
        len(world.all(schema.hook_message.select().with_only_columns(schema.hook_message.c.source)))
        == 1
    )
