"""What every command shares: the settings and the workspace.

Whoever broke a glass that nobody has reviewed yet is reminded of it by every command that they
are named to with ``--as``.
"""

import os
from contextvars import ContextVar
from typing import Annotated

import typer

from cdp.access import reveals
from cdp.cli import output
from cdp.errors import Stop
from cdp.settings import Settings
from cdp.vault.roles import FULL, ProcessRole
from cdp.workspace import Workspace, open_workspace

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
_asking: ContextVar[str | None] = ContextVar("asking", default=None)


def _note(who: str) -> str:
    _asking.set(who)
    return who


As = Annotated[
    str, typer.Option("--as", help="A principal of cdp.yaml: who is asking.", callback=_note)
]
Purpose = Annotated[str, typer.Option(help="What for: service, marketing, analysis, fraud, legal.")]


def settings() -> Settings:
    """The settings of this process."""
    try:
        return Settings.from_environment(os.environ)
    except ValueError as error:
        raise Stop("setting_wrong", str(error)) from error


def workspace(role: ProcessRole = FULL) -> Workspace:
    """The workspace of this process, opened with the keys of its role."""
    opened = open_workspace(settings(), role=role)
    who = _asking.get()
    if who is not None and role == FULL:
        _remind(opened, who.partition("/")[0])
    return opened


def _remind(workspace: Workspace, principal: str) -> None:
    with workspace.engine.connect() as connection:
        broken = reveals.unreviewed(connection, principal)
    for one in broken:
        output.say(
            f"[bold red]GLASS BROKEN[/] {one.at:%Y-%m-%d %H:%M} UTC ({one.id}) and not reviewed: "
            f"somebody else has to, by {one.ends_at:%Y-%m-%d %H:%M} UTC."
        )
