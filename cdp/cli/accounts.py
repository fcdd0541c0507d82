"""``cdp access``, the part about accounts of people and their sessions."""

from dataclasses import asdict
from typing import Annotated

import typer

from cdp.access import accounts, administering, sessions
from cdp.access.accounts import Invitation
from cdp.cli import output, session
from cdp.errors import Stop
from cdp.vault.sign_in import SignInKeys
from cdp.workspace import Workspace

app = typer.Typer()
Principal = Annotated[str, typer.Argument(help="A principal.")]
By = Annotated[
    str | None,
    typer.Option("--as", help="Who does it; must be allowed to configure. Kept in the audit log."),
]


@app.command("add-account")
def add_account(principal: Principal, by: By = None, as_json: session.Json = False) -> None:
    """Invite somebody to sign in. Hand the one-time code to them, and to nobody else.

    Example: cdp access add-account clerk.s01
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "account.add", principal) as connection:
        administering.bring_in_line(connection, workspace, by)
        invitation = accounts.add(
            connection, SignInKeys(workspace.keyring), principal, workspace.now()
        )
    _show(workspace, invitation, as_json=as_json)


@app.command("reset-account")
def reset_account(principal: Principal, by: By = None, as_json: session.Json = False) -> None:
    """Begin an account anew: other password, other app. Ends its sessions.

    Example: cdp access reset-account clerk.s01
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "account.reset", principal) as connection:
        if accounts.release(connection, principal, workspace.now()):
            invitation = None
        else:
            keys = SignInKeys(workspace.keyring)
            invitation = accounts.reset(connection, keys, principal, workspace.now())
    if invitation is None:
        if as_json:
            output.as_json({"principal": principal, "released": True})
        else:
            output.say("Whoever comes next with that name from the provider has it.")
        return
    _show(workspace, invitation, as_json=as_json)


@app.command("lock")
def lock(principal: Principal, by: By = None, as_json: session.Json = False) -> None:
    """Keep somebody out, and end their sessions at once.

    Example: cdp access lock clerk.s01
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "account.lock", principal) as connection:
        accounts.lock(connection, principal, workspace.now())
    _done(principal, "locked", as_json=as_json)


@app.command("unlock")
def unlock(principal: Principal, by: By = None, as_json: session.Json = False) -> None:
    """Let somebody in again, and forget their failures.

    Example: cdp access unlock clerk.s01
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "account.unlock", principal) as connection:
        accounts.unlock(connection, SignInKeys(workspace.keyring), principal)
    _done(principal, "unlocked", as_json=as_json)


@app.command("list-accounts")
def list_accounts(as_json: session.Json = False) -> None:
    """List accounts, without anything that lets somebody in.

    Example: cdp access list-accounts
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        listed = accounts.list_accounts(connection, workspace.now())
    if as_json:
        output.as_json([asdict(one) for one in listed])
        return
    rows = [
        (one.principal_id, one.state, one.recovery_codes, f"{one.at:%Y-%m-%d}") for one in listed
    ]
    output.table("Accounts", ("principal", "state", "recovery codes left", "changed"), rows)


@app.command("list-sessions")
def list_sessions(
    principal: Annotated[str | None, typer.Option(help="Of one principal.")] = None,
    as_json: session.Json = False,
) -> None:
    """List sessions that are kept, the newest first.

    Example: cdp access list-sessions --principal clerk.s01
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        listed = sessions.list_sessions(connection, workspace.now(), principal)
    if as_json:
        output.as_json([asdict(one) for one in listed])
        return
    rows = [
        (one.id, one.principal_id, one.method, one.state, f"{one.seen_at:%Y-%m-%d %H:%M}")
        for one in listed
    ]
    output.table("Sessions", ("id", "principal", "by", "state", "last seen"), rows)


@app.command("end-session")
def end_session(
    session_id: Annotated[str, typer.Argument(help="The id of a session.")],
    by: By = None,
    as_json: session.Json = False,
) -> None:
    """End one session at once.

    Example: cdp access end-session SESSION_ID
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "session.end", session_id) as connection:
        if sessions.end(connection, session_id, workspace.now()) is None:
            raise Stop("no_such_session", "list them with: cdp access list-sessions")
    _done(session_id, "ended", as_json=as_json)


@app.command("end-sessions")
def end_sessions(principal: Principal, by: By = None, as_json: session.Json = False) -> None:
    """End every session of somebody at once.

    Example: cdp access end-sessions clerk.s01
    """
    workspace = session.workspace()
    with administering.allowed(workspace, by, "session.end_all", principal) as connection:
        count = sessions.end_all(connection, principal, workspace.now())
    if as_json:
        output.as_json({"principal": principal, "ended": count})
    else:
        output.say(f"{count} ended.")


def _show(workspace: Workspace, invitation: Invitation, *, as_json: bool) -> None:
    who, code, ends = invitation.principal_id, invitation.text, invitation.ends_at
    at = workspace.settings.public_url
    # After the #, so that no server and no proxy sees it.
    link = f"{at.rstrip('/')}/#enrol={who}:{code}" if at else None
    if as_json:
        output.as_json({"principal": who, "invitation": code, "link": link, "ends_at": ends})
        return
    output.table("Invitation", ("for", "one-time code"), [(who, code)])
    if link:
        output.say(output.plain(link))
    output.say(
        f"It is good once, until {ends:%Y-%m-%d %H:%M} UTC, and is not shown again.\n"
        "With it they choose a password and set up their app: docs/howto/sign-in.md"
    )


def _done(what: str, state: str, *, as_json: bool) -> None:
    if as_json:
        output.as_json({"id": what, "state": state})
    else:
        output.say(f"{output.plain(what)} is {state}.")
