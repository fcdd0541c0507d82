"""The ``cdp`` command. Exit 0: done. 1: refused or failed. 2: misuse. 130: broken off by ^C."""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import DBAPIError

from cdp import crash, logs
from cdp.cli import output
from cdp.cli.app import app
from cdp.errors import KithError, Refused, Stop
from connectors.errors import ConnectorError
from identity.errors import IdentityError
from policies.errors import PoliciesError
from policies.reasons import Reason

BROKEN_OFF: Final = 130  # 128 and the number of SIGINT, as shells have it
_AGAIN: Final = "run the same command again: it goes on with what was committed"
_FAILED: Final = ("database_failed", "look at the server's log, then run the same command again")
_GONE: Final = ("database_gone", f"see that the server is up, then {_AGAIN}")
# What somebody at night can do about it, by SQLSTATE (PostgreSQL, appendix A); None: no answer.
_DATABASE: Final[Mapping[str | None, tuple[str, str]]] = MappingProxyType(
    {
        "53100": ("disk_full", f"make room where the database lies, then {_AGAIN}"),
        "53200": ("database_out_of_memory", f"give the server more memory, then {_AGAIN}"),
        "53300": (
            "too_many_connections",
            f"end others, or let the server take more, then {_AGAIN}",
        ),
        "25006": (
            "database_read_only",
            "name the primary in CDP_DATABASE_URL: this takes no writes",
        ),
        "57P01": _GONE,
        "57P02": _GONE,
        "57P03": _GONE,
        None: _GONE,
    }
)
# Reasons of the policy that another person, and no other way of asking, puts right.
_NOT_THIS_ROLE: Final = frozenset({Reason.NO_RULE, Reason.DENIED, Reason.WRONG_NODE})


def main() -> None:
    """Run the command line and turn what goes wrong into one sentence."""
    crash.take_over(_died)
    logs.write_to(None)  # results alone go to standard output
    try:
        app(prog_name="cdp")
    except SystemExit as ended:
        if ended.code == BROKEN_OFF:
            output.say("Broken off. What was committed stays: run the same command to go on.")
        raise
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
        rule, step = _DATABASE.get(code, _FAILED)
        _fail(Stop(rule, step, sqlstate=code or "connection lost"))
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
    if isinstance(error, Refused) and error.rule in _NOT_THIS_ROLE:
        output.say("Somebody whose role may does it; why: cdp policy explain WHO ACTION FIELD")
    sys.exit(1)
