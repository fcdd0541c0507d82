"""``cdp access``: who may use Kith, and what lets them in."""

import datetime as dt
import re
from dataclasses import asdict
from typing import Annotated, Final

import typer

from cdp.access import administering, keys
from cdp.access.keys import IssuedKey
from cdp.cli import accounts, output, roster, session
from cdp.errors import Stop
from cdp.vault.keyed import ApiKeyDigests

app = typer.Typer(help="Principals, API keys, accounts and sessions.", no_args_is_help=True)
By = Annotated[
    str | None,
    typer.Option("--as", help="Who does it; must be allowed to configure. Kept in the audit log."),
]
_DURATION: Final = re.compile(r"([0-9]{1,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@app.command()
def sync(by: By = None, as_json: session.Json = False) -> None:
    """Bring who there is in line with cdp.yaml: it counts from everybody's next request on.

    Example: cdp access sync --as operator
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "principal.sync", "cdp.yaml") as connection:
        changed = administering.bring_in_line(connection, workspace, by)
    if as_json:
        output.as_json({"changed": changed})
    else:
        output.say(f"{changed} changed.")


@app.command("issue-key")
def issue_key(
    principal: Annotated[str, typer.Argument(help="A principal of cdp.yaml.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="An action that it is good for, such as read; without it all of the role."
        ),
    ] = None,
    life: Annotated[str, typer.Option(help="How long it is good for, such as 90d.")] = "90d",
    by: By = None,
    as_json: session.Json = False,
) -> None:
    """Make an API key. It is shown once and stored as a keyed hash only.

    Example: cdp access issue-key crm_reader --scope read --life 30d
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "api_key.issue", principal) as connection:
        administering.bring_in_line(connection, workspace, by)
        issued = keys.issue(
            connection,
            ApiKeyDigests(workspace.keyring),
            principal,
            workspace.now(),
            duration(life),
            scopes=scope or (),
        )
    _show(issued, as_json=as_json)


@app.command("rotate-key")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key.")],
    overlap: Annotated[
        str, typer.Option(help="How long the old one goes on, such as 24h.")
    ] = "24h",
    by: By = None,
    as_json: session.Json = False,
) -> None:
    """Issue the successor of an API key; the old one ends after the overlap.

    Example: cdp access rotate-key KEY_ID --overlap 24h
    """
    workspace = session.workspace()
    digests = ApiKeyDigests(workspace.keyring)
    with administering.allowed(workspace, by, "api_key.rotate", key_id) as connection:
        issued = keys.rotate(connection, digests, key_id, workspace.now(), duration(overlap))
    _show(issued, as_json=as_json)


@app.command("list-keys")
def list_keys(as_json: session.Json = False) -> None:
    """List API keys without their secrets.

    Example: cdp access list-keys
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        listed = keys.list_keys(connection, workspace.now())
    if as_json:
        output.as_json([asdict(one) for one in listed])
        return
    rows = [
        (
            one.id, one.principal_id, one.state, f"{one.expires_at:%Y-%m-%d}",
            ", ".join(one.scopes) or "all of the role",
            f"{one.last_used_at:%Y-%m-%d %H}h" if one.last_used_at else "never",
        )
        for one in listed
    ]  # fmt: skip
    output.table("API keys", ("id", "for", "state", "until", "scopes", "last used"), rows)


@app.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key.")],
    by: By = None,
    as_json: session.Json = False,
) -> None:
    """End an API key at once.

    Example: cdp access revoke-key KEY_ID
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "api_key.revoke", key_id) as connection:
        if not keys.revoke(connection, key_id, workspace.now()):
            raise Stop("no_such_key", "list them with: cdp access list-keys", key=key_id)
    if as_json:
        output.as_json({"revoked": key_id})
    else:
        output.say("The key is revoked.")


def duration(text: str) -> dt.timedelta:
    """Read a duration: minutes, hours or days, such as 30m, 24h or 90d."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("write a number and m, h or d, such as 24h")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def _show(issued: IssuedKey, *, as_json: bool) -> None:
    if as_json:
        told = {"id": issued.id, "key": issued.text, "expires_at": issued.expires_at}
        output.as_json({**told, "scopes": issued.scopes})
        return
    output.table("API key", ("for", "key"), [(issued.principal_id, issued.text)])
    output.say(f"It ends on {issued.expires_at:%Y-%m-%d} and is not shown again.")


app.add_typer(accounts.app)
app.add_typer(roster.app, name="roster")
