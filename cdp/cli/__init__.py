"""The ``cdp`` command. Exit 0: done. 1: refused or failed. 2: misuse."""

import sys
import traceback
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from cdp.cli import output
from cdp.cli.app import app
from cdp.errors import KithError, Stop
from connectors.errors import ConnectorError
from identity.errors import IdentityError
from policies.errors import PoliciesError


def main() -> None:
    """Run the command line and turn what goes wrong into one sentence."""
    try:
        app(prog_name="cdp")
    except (KithError, ConnectorError, IdentityError, PoliciesError) as error:
        _fail(error)
    except OSError as error:
        # A path that the person named, or a disk; no content is ever part of its text.
        step = f"put this right and run the command again: {error.strerror or 'see the path'}"
        _fail(Stop("file_or_network_failed", step, path=error.filename))
    except DBAPIError as error:
        # Not its text: a server's message may quote what was stored.
        code = getattr(error.orig, "pgcode", None)
        step = "look at the server's log, then run the same command again"
        _fail(Stop("database_failed", step, sqlstate=code or "connection lost"))
    except Exception as error:  # noqa: BLE001 - the last resort: its text may quote a value
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        step = "report this place, without data, as docs/SECURITY.md says"
        _fail(Stop("unforeseen", step, error=type(error).__name__, place=place))


def _fail(error: Exception) -> None:
    output.say(f"[bold red]refused or failed:[/] {output.plain(str(error))}")
    sys.exit(1)
