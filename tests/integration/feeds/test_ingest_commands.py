"""Streams on standard input, as a person pipes them; states that come back; status and reset."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration import in_process
from tests.integration.feeds.deliveries import rows_of
from tests.journeys.commands import COMMAND, LONGEST, Outcome, Shell

pytestmark = pytest.mark.integration


BATCHES = {"CDP_BATCH_ROWS": "2"}


def shell_of(workspace: Workspace) -> Shell:
    """A terminal in a workspace."""
    folder = workspace.settings.declaration.parent
    return Shell(folder, workspace.settings.database_url, workspace.settings.home)


def start(workspace: Workspace, kind: str, source: str = "shop") -> subprocess.Popen[str]:
    """Begin to ingest; lines are written to it."""
    shell = shell_of(workspace)
    return subprocess.Popen(
        [*COMMAND, "ingest", kind, "--source", source, "--json"],
        cwd=shell.folder,
        env=shell.environment() | BATCHES,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


Ingest = Callable[..., tuple[Any, str]]


@pytest.fixture
def run(
    fed: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run a command in this process."""
    settings = {
        name: value
        for name, value in shell_of(fed).environment().items()
        if name.startswith("CDP_")
    }

    def run(*words: str, code: int = 0) -> Outcome:
        return in_process.run(monkeypatch, capsys, words, settings | BATCHES, code)

    return run


@pytest.fixture
def ingest(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ingest:
    """Pipe messages in: the report, and what came back on standard output."""

    def ingest(kind: str, *messages: Any) -> tuple[Any, str]:
        lines = [one if isinstance(one, str) else json.dumps(one) for one in messages]
        (tmp_path / "piped").write_text("\n".join(lines), "utf-8")
        with (tmp_path / "piped").open(encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", file)
            done = run("ingest", kind, "--source", "shop", "--json")
        return json.loads(done.err), done.out

    return ingest


def record(number: int, stream: str = "members", **more: Any) -> dict[str, Any]:
    """One row of a tap."""
    row = {"id": number, "name": "张敏", "phone": f"139{number:08}"}
    return {"type": "RECORD", "stream": stream, "record": row, **more}


def test_a_tap_is_taken_in_and_its_states_come_back(fed: Workspace, ingest: Ingest) -> None:
    """Rows are stored, a broken line is rejected, and each state comes back as it was sent."""
    schema_message = {"type": "SCHEMA", "stream": "members", "schema": {}, "key_properties": ["id"]}
    states = [{"type": "STATE", "value": {"members": n}} for n in (2, 3)]
    report, out = ingest(
        "singer",
        schema_message,
        record(1),
        record(2),
        states[0],
        "{oops",
        record(3),
        states[1],
    )
    assert (report["added"], report["rejected"], report["passed_over"]) == (3, 1, 1)
    assert [json.loads(line) for line in out.splitlines()] == [{"members": 2}, {"members": 3}]
    again, _ = ingest("singer", record(1), record(2), record(3))
    assert (again["unchanged"], again["added"]) == (3, 0)


def test_a_whole_load_replaces_the_one_before(fed: Workspace, ingest: Ingest) -> None:
    """ACTIVATE_VERSION deletes what the version before gave and this one did not."""
    ingest("singer", record(1, version=1), record(2, version=1))
    activate = {"type": "ACTIVATE_VERSION", "stream": "members", "version": 2}
    report, _ = ingest("singer", record(1, version=2), record(3, version=2), activate)
    assert (report["added"], report["deleted"], report["unchanged"]) == (1, 1, 1)


def test_changes_of_a_database_are_taken_in(fed: Workspace, ingest: Ingest) -> None:
    """Created, changed and deleted, in another order than they happened, and tombstones."""

    def change(operation: str, lsn: int, number: int, name: str = "张敏") -> dict[str, Any]:
        row = {"id": number, "name": name, "phone": "13900000001"}
        side = "before" if operation == "d" else "after"
        return {"op": operation, side: row, "source": {"lsn": lsn}}

    report, out = ingest(
        "debezium",
        change("c", 1, 1),
        change("u", 5, 1, "李娜"),
        change("u", 3, 1, "王芳"),
        change("c", 2, 2),
        change("d", 9, 2),
        "null",
        change("u", 8, 2),
    )
    assert out == ""
    assert report["read"] == 6
    assert report["passed_over"] == 1
    assert len(rows_of(fed, schema.record)) == 1


def test_an_endless_stream_is_committed_while_it_is_quiet(fed: Workspace, ingest: Ingest) -> None:
    """Rows do not wait for a batch to fill: a quiet moment is enough, and the state comes back."""
    process = start(fed, "singer")
    assert process.stdin is not None
    assert process.stdout is not None
    state = {"type": "STATE", "value": {"members": 1}}
    process.stdin.write(f"{json.dumps(record(1))}\n{json.dumps(state)}\n")
    process.stdin.flush()
    heard: list[str] = []
    listening = threading.Thread(target=lambda: heard.append(process.stdout.readline()))  # type: ignore[union-attr]
    listening.start()
    listening.join(LONGEST)
    assert json.loads(heard[0]) == {"members": 1}
    assert len(rows_of(fed, schema.record)) == 1
    process.kill()
    process.communicate()
    assert ingest("singer", record(1))[0]["unchanged"] == 1


def test_a_state_never_comes_back_before_its_rows_are_stored(fed: Workspace) -> None:
    """Killed at a moment, whatever came back is stored."""
    process = start(fed, "singer")
    lines = [
        json.dumps(record(n)) + f'\n{{"type": "STATE", "value": {n}}}\n' for n in range(1, 400)
    ]
    feeding = threading.Thread(target=_write, args=(process, lines))
    feeding.start()
    assert process.stdout is not None
    told = 0
    while told < 60:
        told = int(json.loads(process.stdout.readline()))
    process.kill()
    out, _ = process.communicate()
    feeding.join()
    told = max([told, *(int(line) for line in out.splitlines() if line.isdigit())])
    assert len(rows_of(fed, schema.record)) >= told


def _write(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdin is not None
    try:
        for line in lines:
            process.stdin.write(line)
            process.stdin.flush()
            time.sleep(0.001)
    except (BrokenPipeError, ValueError):
        pass  # it was killed


def test_status_and_reset(fed: Workspace, ingest: Ingest, run: Callable[..., Outcome]) -> None:
    """How a source stands is told without its state, and a reset is rehearsed first."""
    state = {"type": "STATE", "value": {"canary": "13957140286"}}
    ingest("singer", record(1), state)
    [shop, other] = run("source", "status", "--json").json
    assert (shop["source"], shop["position"], shop["rejected_share"]) == ("shop", 1, 0.0)
    assert shop["state_at"]
    assert other["started_at"] is None
    assert "canary" not in run("source", "status").out
    rehearsed = run("source", "reset", "shop", "--dry-run", "--json").json
    assert rehearsed == {"source": "shop", "state": True, "orders": 0, "dry_run": True}
    assert len(rows_of(fed, schema.source_state)) == 1
    assert run("source", "reset", "shop", "--json").json["dry_run"] is False
    assert rows_of(fed, schema.source_state) == []
    assert len(rows_of(fed, schema.record)) == 1
    refused = run("source", "sync", "shop", code=1)
    assert "comes_on_standard_input" in refused.err
