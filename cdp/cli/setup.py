"""``cdp init`` and ``cdp serve``."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cdp.access import administering
from cdp.access.policy_looks import status
from cdp.cli import output, session
from cdp.cli.policy import DIFFERS
from cdp.declaration import STARTER
from cdp.storage.roles import absent
from cdp.vault import roles
from cdp.workspace import create


def init(
    begin_anew: Annotated[
        bool,
        typer.Option(
            "--begin-anew",
            help="The database of this key ring is gone for good: begin with the shipped policy.",
        ),
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Make a workspace: key ring, database and schema. Safe to run again.

    Example: cdp init
    """
    settings = session.settings()
    workspace = create(settings, anew=begin_anew)
    write_starter(settings.declaration)
    with workspace.engine.begin() as connection:
        administering.bring_in_line(connection, workspace)
        lacking = absent(connection)
    facts = {
        "workspace": str(workspace.id),
        "home": str(settings.home),
        "declaration": str(settings.declaration),
        "database": "external" if settings.database_url else "embedded",
    }
    if lacking:
        facts["database roles missing"] = ", ".join(lacking)
    policy = status(workspace)
    if policy.differs_from_shipped:
        facts["policy"] = "not the one that this release ships"
    if as_json:
        output.as_json(facts)
        return
    output.table("Workspace", ("what", "where"), facts.items())
    output.say(
        "Keep a copy of the key ring apart from the database: without it nothing opens.\n"
        "Next: describe a source in cdp.yaml, then run: cdp source check"
    )
    if lacking:
        output.say(
            f"This user may not make the database roles {', '.join(lacking)}: have an\n"
            "administrator make them, and run cdp init again. Until then its key ring alone\n"
            "keeps a process that serves clerks from opening values."
        )
    if policy.differs_from_shipped:
        output.say(DIFFERS)


def write_starter(path: Path) -> None:
    """Write a first ``cdp.yaml``, whole or not at all; one that is there stays as it is."""
    if path.exists():
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(STARTER)
        # Linking fails where another init was faster; moving would replace its file.
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    role: Annotated[
        str, typer.Option(help=f"Whose keys to hold: {', '.join(roles.ROLES)}.")
    ] = roles.FULL.name,
) -> None:
    """Serve the HTTP API of this workspace until interrupted.

    Example: cdp serve --port 8000
    """
    workspace = session.workspace(roles.named(role))
    _ = workspace.policy  # what is wrong with cdp.yaml is said here, not by the server
    workspace.engine.dispose()
    # The API is a layer above this one, so it is a process of its own.
    os.execv(  # noqa: S606 - our own interpreter, our own module
        # -P: an "api" in the current folder is not ours.
        sys.executable,
        [sys.executable, "-P", "-m", "api", "--host", host, "--port", str(port), "--role", role],
    )
