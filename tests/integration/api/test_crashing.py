"""A server process that crashes, in a request and around it: what it prints and answers."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.api.site import Site, assert_problem
from tests.journeys import marks
from tests.journeys.commands import ROOT

pytestmark = pytest.mark.integration

CANARY = "canary 龘鱻明 13957149163 zq.marked.71@example.com"
NEEDLES = marks.needles(["龘鱻明", "13957149163", "zq.marked.71@example.com", "canary 龘"])
PROGRAM = """
import asyncio, sys, threading
import cdp.access.keys, cdp.storage.migrate

def fault(*arguments, **named):
    phone, row = "13957149163", {"name": "龘鱻明", "email": "zq.marked.71@example.com"}
    raise RuntimeError("CANARY", arguments, row)

PLACE
from api.__main__ import main
sys.argv = ["api", "--port", "PORT"]
main()
"""


class Server:
    """A running server process and what it has printed in the end."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.printed = b""

    def lines(self) -> list[dict[str, object]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.printed.decode().splitlines()]


@contextmanager
def serving(site: Site, home: Path, url: str, place: str) -> Iterator[Server]:
    """A server with a fault in it, until the block ends; it never prints a canary."""
    del site  # it made the workspace
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = PROGRAM.replace("CANARY", CANARY).replace("PLACE", place).replace("PORT", str(port))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "PYTEST"))}
    settings = {"CDP_HOME": str(home), "CDP_CONFIG": str(home / "cdp.yaml")}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=kept | settings | {"CDP_DATABASE_URL": url, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    server = Server(process, port)
    try:
        yield server
    finally:
        process.terminate()
        server.printed = process.communicate(timeout=30)[0]
    assert marks.search({"printed": server.printed}, NEEDLES) == []
    assert b"Traceback" not in server.printed


def ask(server: Server, path: str, **more: object) -> httpx.Response:
    """Ask as soon as the server answers."""
    for _ in range(300):
        try:
            return httpx.request("POST" if more else "GET", server.url + path, timeout=30, **more)  # type: ignore[arg-type]
        except httpx.TransportError:
            assert server.process.poll() is None, server.process.communicate()[0].decode()
            time.sleep(0.1)
    pytest.fail("the server did not start")


def test_a_request_that_crashes_says_a_number_and_no_value(
    site: Site, home: Path, database_url: str
) -> None:
    """Edge 4: the caller gets number and next step; the log the same number, type and place."""
    place = "cdp.access.keys.authenticate = fault\ncdp.storage.migrate.is_current = fault"
    # The workspace is opened before the server runs, with the same look at the schema.
    place += (
        "\nimport cdp.workspace as w; w.migrate = type('m', (), {'is_current': lambda _: True})"
    )
    body = {"field": "phone", "value": "13957149163", "purpose": "service"}
    headers = {"Authorization": "Bearer canary 13957149163", "X-Name": "zq.marked.71@example.com"}
    with serving(site, home, database_url, place) as server:
        failed = ask(server, "/v1/profiles/lookup", json=body, headers=headers)
        unready = ask(server, "/readyz")
    for answer in (failed, unready):
        assert_problem(answer, 500, "unexpected")
        assert marks.search({"answer": answer.content}, NEEDLES) == []
    crashes = [line for line in server.lines() if line["event"] == "unexpected_error"]
    assert [line["error"] for line in crashes] == ["RuntimeError", "RuntimeError"]
    for line, answer in zip(crashes, (failed, unready), strict=True):
        assert line["request_id"] == answer.headers["x-request-id"]
        assert str(line["reference"]) in answer.json()["detail"]
    assert str(crashes[0]["at"]).startswith("api/auth.py:")
    assert str(crashes[1]["at"]).startswith("api/routes/health.py:")


def test_a_crash_around_the_requests_says_no_value(
    site: Site, home: Path, database_url: str
) -> None:
    """A task that nobody awaits and a thread end in one line each, of type and place."""
    place = """
import api.app as a
made = a.create_app

def create(workspace):
    app = made(workspace)

    async def lose():
        asyncio.get_running_loop().create_task(lost())
        threading.Thread(target=fault).start()
        return {}

    async def lost():
        fault()

    app.add_api_route("/lose", lose)
    return app

a.create_app = create
import api.serve
api.serve.create_app = create
"""
    with serving(site, home, database_url, place) as server:
        assert ask(server, "/lose").status_code == 200
        time.sleep(0.5)
    told = {(line["event"], line.get("logger")): line for line in server.lines()}
    assert told["crash", None]["error"] == ["RuntimeError"]
    assert told["foreign", "asyncio"]["error"] == "RuntimeError"


def test_a_server_that_cannot_start_says_why_and_no_value(
    site: Site, home: Path, database_url: str
) -> None:
    """A fault before the first request is one line; a typed error is one sentence."""
    with serving(
        site, home, database_url, "import cdp.workspace as w; w.migrate = fault"
    ) as broken:
        assert broken.process.wait(30) == 1
    assert broken.lines()[0]["event"] == "crash"
    home.joinpath("keyring.json").unlink()
    with serving(site, home, database_url, "") as without:
        assert without.process.wait(30) == 1
    assert without.printed.startswith(b"refused or failed: ")
