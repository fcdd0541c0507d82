"""``python -m api``: serve the workspace that the environment names."""

import argparse
import os
import sys

from api.serve import DEFAULT_PORT, LOOPBACK, run
from cdp import logs
from cdp.access.oidc import terms_of
from cdp.errors import KithError
from cdp.settings import Settings
from cdp.vault import roles
from cdp.workspace import open_workspace


def main() -> None:
    """Open the workspace and serve it until a signal ends the process."""
    logs.configure()  # before anything can go wrong
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--role", choices=roles.ROLES, default=roles.FULL.name)
    arguments = parser.parse_args()
    try:
        role = roles.named(arguments.role)
        workspace = open_workspace(Settings.from_environment(os.environ), role=role)
        terms_of(workspace.settings)  # half a provider is said here, in words
    except KithError as error:
        sys.exit(f"refused or failed: {error}")
    run(workspace, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
