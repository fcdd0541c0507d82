"""``cdp credential``: secrets of other systems, kept sealed for the sources that name them."""

import getpass
import re
import sys
from typing import Annotated, Final

import typer

from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.credentials import credentials_of
from cdp.errors import Stop
from cdp.keys.permission import tried
from cdp.vault.credentials import MAX_SECRET
from cdp.vault.secret import Secret

app = typer.Typer(help="Keep secrets of other systems for sources.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="What cdp.yaml calls it: ring:NAME.")]
_FORM: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


@app.command("set")
def store(name: Name, principal: session.As, as_json: session.Json = False) -> None:
    """Seal a secret under a name, in place of an earlier one: typed, or from standard input.

    Example: cdp credential set crm_dsn --as operator
    """
    if not _FORM.fullmatch(name):
        raise Stop("name_form", "use lower-case letters, digits and _, beginning with a letter")
    workspace = session.workspace()
    with tried(workspace, subject_of(workspace, principal), "credential-set"):
        credentials_of(workspace).put(name, _asked())
    _done(name, "stored", as_json=as_json)


@app.command("list")
def show(as_json: session.Json = False) -> None:
    """List the names of what is kept. No secret is shown.

    Example: cdp credential list
    """
    names = credentials_of(session.workspace()).names()
    if as_json:
        output.as_json(list(names))
    else:
        output.table("Credentials", ("name",), [(name,) for name in names])


@app.command()
def remove(name: Name, principal: session.As, as_json: session.Json = False) -> None:
    """Forget a secret.

    Example: cdp credential remove crm_dsn --as operator
    """
    workspace = session.workspace()
    with tried(workspace, subject_of(workspace, principal), "credential-remove"):
        if not credentials_of(workspace).remove(name):
            raise Stop("no_such_credential", "list them with: cdp credential list")
    _done(name, "removed", as_json=as_json)


def _asked() -> Secret:
    if sys.stdin.isatty():
        given = getpass.getpass("The secret: ").encode(errors="surrogateescape")
    else:
        given = sys.stdin.buffer.read(MAX_SECRET + 2)
    found = given.removesuffix(b"\n").removesuffix(b"\r")
    if not found:
        raise Stop("credential_empty", "type the secret, or give it on standard input")
    return Secret(found)


def _done(name: str, what: str, *, as_json: bool) -> None:
    if as_json:
        output.as_json({"credential": name, "done": what})
    else:
        output.say(f"{name}: {what}. A source names it as ring:{name}")
