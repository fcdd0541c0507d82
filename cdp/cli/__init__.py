"""The ``cdp`` command. Exit 0: done. 1: refused or failed. 2: misuse."""

import sys

from cdp.cli import output
from cdp.cli.app import app
from cdp.errors import KithError
from connectors.errors import ConnectorError
from identity.errors import IdentityError
from policies.errors import PoliciesError


def main() -> None:
    """Run the command line and turn what goes wrong into one sentence."""
    try:
        app(prog_name="cdp")
    except (KithError, ConnectorError, IdentityError, PoliciesError) as error:
        output.say(f"[bold red]refused or failed:[/] {output.plain(str(error))}")
        sys.exit(1)
