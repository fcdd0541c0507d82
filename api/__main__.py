"""``python -m api``: serve the workspace that the environment names."""

import argparse
import os

from api.serve import DEFAULT_PORT, LOOPBACK, run
from cdp.settings import Settings
from cdp.workspace import open_workspace


def main() -> None:
    """Open the workspace and serve it until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    arguments = parser.parse_args()
    run(open_workspace(Settings.from_environment(os.environ)), arguments.host, arguments.port)


if __name__ == "__main__":
    main()
