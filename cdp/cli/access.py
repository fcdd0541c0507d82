"""``cdp access``: keys for systems and people that use the API."""

from dataclasses import asdict
from typing import Annotated

import typer

from cdp.access import keys
from cdp.access.principals import sync_principals
from cdp.cli import output, session
from cdp.errors import Stop
from cdp.vault.keyed import ApiKeyDigests

app = typer.Typer(help="Issue, list and revoke API keys.", no_args_is_help=True)


@app.command("issue-key")
def issue_key(
    principal: Annotated[str, typer.Argument(help="A principal of cdp.yaml.")],
    as_json: session.Json = False,
) -> None:
    """Make an API key. It is shown once and stored as a keyed hash only."""
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        sync_principals(connection, workspace.declaration, workspace.now())
        issued = keys.issue(
            connection, ApiKeyDigests(workspace.keyring), principal, workspace.now()
        )
    if as_json:
        output.as_json({"id": issued.id, "key": issued.text, "expires_at": issued.expires_at})
        return
    output.table("API key", ("for", "key"), [(issued.principal_id, issued.text)])
    output.say(f"It ends on {issued.expires_at:%Y-%m-%d} and is not shown again.")


@app.command("list-keys")
def list_keys(as_json: session.Json = False) -> None:
    """List API keys without their secrets."""
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        listed = keys.list_keys(connection, workspace.now())
    if as_json:
        output.as_json([asdict(one) for one in listed])
    else:
        rows = [
            (one.id, one.principal_id, one.state, f"{one.expires_at:%Y-%m-%d}") for one in listed
        ]
        output.table("API keys", ("id", "for", "state", "until"), rows)


@app.command("revoke-key")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The id of the key.")]) -> None:
    """End an API key at once."""
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        ended = keys.revoke(connection, key_id, workspace.now())
    if not ended:
        raise Stop("no_such_key", "list them with: cdp access list-keys", key=key_id)
    output.say("The key is revoked.")
