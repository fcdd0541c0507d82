"""Commands by the hundred: each a process of its own, forked from one that imported them all.

Most of a short command is the importing of libraries. A process that has imported every command
(and put together what depends on the program alone: the shipped policy, the newest migration)
waits for words, folder, environment and the two ends to print to; for each it forks a process
that runs ``python -m cdp`` from there on: it has its own environment and folder, prints to its
own ends, and ends by itself. ``test_forking.py`` holds it against processes started from nothing.

This file is both: the module that tests ask, and the program that waits.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
WORDS = 2**20  # bytes that words and environment of a command may take
STARTING = 120.0  # seconds
# What libraries import when a command reads its options or connects.
LATE = ("typer._adapters", "sqlalchemy.dialects.postgresql.psycopg2", "psycopg2.extras")


class Forge:
    """The process that waits, and what is asked of it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True)
        door = Path(self._folder.name) / "door"
        # It ends when its standard input does: with this process, however that ends.
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(door)],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        assert select.select([self._process.stdout], [], [], STARTING)[0]
        assert self._process.stdout.readline() == b"ready\n"
        self._door = str(door)
        self._owner = os.getpid()

    def close(self) -> None:
        """End it; commands that still run go on."""
        if os.getpid() != self._owner:  # a copy of the process that asked
            return
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], longest: float
    ) -> tuple[int, str, str]:
        """Run ``cdp`` with these words; return its exit code and what it printed.

        Raises:
            TimeoutError: it took longer than ``longest`` seconds, and was killed.
        """
        asked = {"words": list(words), "folder": str(folder), "environment": dict(environment)}
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WORDS)
            line.connect(self._door)
            line.settimeout(STARTING)
            socket.send_fds(line, [json.dumps(asked).encode()], [out.fileno(), err.fileno()])
            number = int(line.recv(64))
            line.settimeout(longest)
            try:
                code = int(line.recv(64))
            except TimeoutError:
                os.kill(number, signal.SIGKILL)
                raise
            return code, _text(out), _text(err)


def _text(file: "tempfile._TemporaryFileWrapper[bytes]") -> str:
    file.seek(0)
    return file.read().decode("utf-8").replace("\r\n", "\n")


@cache
def forge() -> Forge:
    """The one of this process; its environment is the one that commands get, but for theirs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "PYTEST"))}
    made = Forge({**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"})
    atexit.register(made.close)
    return made


# ── the program that waits ──────────────────────────────────────────────────


def _wait(door: str) -> None:
    """Fork a process for each that asks; return in that process alone, ready to run."""
    from cdp.cli.app import PLACES  # noqa: PLC0415 - whoever asks needs none of it
    from cdp.policy import content  # noqa: PLC0415
    from cdp.storage import migrate  # noqa: PLC0415

    for module in (*(module for module, _ in PLACES.values()), *LATE):
        import_module(module)
    # What depends on the program alone, and every command would work out again.
    content.compiled(content.shipped())
    migrate._head()
    # What is imported is for good. Looked through for garbage, or taken apart at the end, it
    # would be copied page by page into every process: most of what a command takes.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who keeps watch is not waited for
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(door)
        listening.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listening, 0], [], [])
            if 0 in ready:
                os._exit(0)
            line, _ = listening.accept()
            with line:
                if os.fork():
                    continue
                listening.close()
                if _keep_watch(line):
                    return


def _keep_watch(line: socket.socket) -> bool:
    """Fork once more: True in the process that runs the command; the other tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, ends, _, _ = socket.recv_fds(line, WORDS, 2)
    number = os.fork()
    if number:
        for end in ends:
            os.close(end)
        with suppress(OSError):  # nobody may listen any more
            line.send(str(number).encode())
            _, status = os.waitpid(number, 0)
            line.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    asked = json.loads(text)
    for place, end in zip((1, 2), ends, strict=True):
        os.dup2(end, place)
        os.close(end)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    tempfile.tempdir = None  # an import may have looked TMPDIR up
    sys.path[0] = asked["folder"]  # as of python -m
    sys.argv = ["cdp", *asked["words"]]
    return True


def _end(code: int) -> NoReturn:
    """End as a program does, but leave what was imported as it is."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    gc.collect()  # what the command made has its finalisers run
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _wait(sys.argv[1])
    try:
        runpy.run_module("cdp", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if not isinstance(left.code, int | None):
            raise
        ended = left.code or 0
    else:
        ended = 0
    _end(ended)
