"""The ``cdp`` command. Exit 0: done. 1: refused or failed. 2: misuse."""

import os
import sys

from sqlalchemy.exc import DBAPIError

from cdp import crash, logs
from cdp.cli import output
from cdp.cli.app import app
from cdp.errors import KithError, Stop
from connectors.errors import ConnectorError
from identity.errors import IdentityError
from policies.errors import PoliciesError


def main() -> None:
    """Run the command line and turn what goes wrong into one sentence."""
    crash.take_over(_died)
    logs.write_to(None)  # results alone go to standard output
    try:
        app(prog_name="cdp")
    except (KithError, ConnectorError, IdentityError, PoliciesError) as error:
        _fail(error)
    except OSError as error:
        # A path that the person named, or a disk. Its own text could be anything: only the
        # words that the system has for its number are shown.
        known = os.strerror(error.errno) if isinstance(error.errno, int) else "see the path"
        step = f"put this right and run the command again: {known}"
        _fail(Stop("file_or_network_failed", step, path=error.filename))
    except DBAPIError as error:
        # Not its text: a server's message may quote what was stored.
        code = getattr(error.orig, "pgcode", None)
        step = "look at the server's log, then run the same command again"
        _fail(Stop("database_failed", step, sqlstate=code or "connection lost"))
    except Exception as error:  # noqa: BLE001 - the last resort: its text may quote a value
        found = crash.of(error)
        _fail(
            Stop(
                "unforeseen",
                crash.NEXT_STEP,
                number=found.reference,
                error=found.error[0],
                place=found.place,
            )
        )
    finally:
        crash.take_over_the_hooks(_died)  # the command line library puts its own in their place


def _died(found: crash.Crash) -> None:
    """Say what ended a thread, a finaliser, or the process in a way that nothing caught."""
    output.say(f"[bold red]failed:[/] {output.plain(str(found))}")


def _fail(error: Exception) -> None:
    output.say(f"[bold red]refused or failed:[/] {output.plain(str(error))}")
    sys.exit(1)
