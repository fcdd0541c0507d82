"""A workspace served by uvicorn, as ``cdp serve`` does it, on a free port of this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from api.serve import server
from cdp.workspace import Workspace

PATIENCE = 20.0  # seconds to start, and to end


@contextmanager
def served(workspace: Workspace) -> Iterator[str]:
    """A running server; its address."""
    running = server(workspace, port=0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while not running.started:
        assert thread.is_alive(), "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


def connected(address: str) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), PATIENCE)


def answered(address: str, *parts: bytes) -> bytes:
    """What a connection is told until it is hung up on; parts go one after the other."""
    with connected(address) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(0.1)
        found = b""
        while part := client.recv(4096):
            found += part
        return found
