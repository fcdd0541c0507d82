"""What every command shares: the settings and the workspace."""

import os
from typing import Annotated

import typer

from cdp.errors import Stop
from cdp.settings import Settings
from cdp.vault.roles import FULL, ProcessRole
from cdp.workspace import Workspace, open_workspace

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
As = Annotated[str, typer.Option("--as", help="A principal of cdp.yaml: who is asking.")]
Purpose = Annotated[str, typer.Option(help="What for: service, marketing, analysis, fraud, legal.")]


def settings() -> Settings:
    """The settings of this process."""
    try:
        return Settings.from_environment(os.environ)
    except ValueError as error:
        raise Stop("setting_wrong", str(error)) from error


def workspace(role: ProcessRole = FULL) -> Workspace:
    """The workspace of this process, opened with the keys of its role."""
    return open_workspace(settings(), role=role)
