"""Serve the application with uvicorn."""

from typing import Final

import uvicorn

from api.app import create_app
from api.patience import PatientProtocol
from cdp import logs
from cdp.workspace import Workspace

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000


def server(workspace: Workspace, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> uvicorn.Server:
    """Return a server that is not running yet; port 0 takes a free one."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(workspace),
            host=host,
            port=port,
            http=PatientProtocol,
            access_log=False,  # it would write paths and query strings; api.edge writes ours
            server_header=False,
            proxy_headers=False,
            log_config=None,  # its own would print the text of errors; cdp.logs takes its records
            log_level="warning",
            timeout_graceful_shutdown=10,
        )
    )


def run(workspace: Workspace, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> None:
    """Serve until a signal ends it. Logs are lines of JSON on stderr.

    Only the loopback address by default: put a proxy with TLS in front before others may
    reach it.
    """
    logs.configure()
    server(workspace, host, port).run()
