"""All commands, in the order a person meets them."""

from importlib import import_module
from types import MappingProxyType

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

# Where each command lives. A command's module is imported when it is used: one that lists
# rejects must not wait for the libraries that train a model.
PLACES = MappingProxyType(
    {
        "init": ("cdp.cli.setup", "init"),
        "source": ("cdp.cli.source", "app"),
        "ingest": ("cdp.cli.ingest", "app"),
        "worker": ("cdp.cli.running", "app"),
        "identity": ("cdp.cli.identity", "app"),
        "profile": ("cdp.cli.profile", "app"),
        "reveal": ("cdp.cli.reveal", "app"),
        "tag": ("cdp.cli.tag", "app"),
        "publish": ("cdp.cli.publish", "app"),
        "audit": ("cdp.cli.audit", "app"),
        "policy": ("cdp.cli.policy", "app"),
        "access": ("cdp.cli.access", "app"),
        "key": ("cdp.cli.keys", "app"),
        "credential": ("cdp.cli.credentials", "app"),
        "index": ("cdp.cli.index", "app"),
        "vault": ("cdp.cli.vault", "app"),
        "serve": ("cdp.cli.setup", "serve"),
        "demo": ("cdp.cli.demo", "demo"),
    }
)


class Commands(TyperGroup):
    """The first words after ``cdp``."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Name every command, in the order of the help text."""
        del ctx
        return list(PLACES)

    def get_command(  # type: ignore[override]
        self, ctx: typer.Context, cmd_name: str
    ) -> TyperCommand | TyperGroup | None:
        """Import the command of that name; None if there is none."""
        del ctx
        if cmd_name not in PLACES:
            return None
        module, name = PLACES[cmd_name]
        found = getattr(import_module(module), name)
        if isinstance(found, typer.Typer):
            group = get_group(found)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return get_command(alone)  # type: ignore[return-value]


app = typer.Typer(
    cls=Commands,
    help="Kith: one profile for each person, from all the systems that know them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with locals could show a value
    rich_markup_mode="rich",
)


@app.callback()
def _all() -> None:
    """Kith: one profile for each person, from all the systems that know them."""
