"""All commands, in the order a person meets them."""

import typer

from cdp.cli import access, audit, demo, identity, profile, publish, setup, source, tag

app = typer.Typer(
    help="Kith: one profile for each person, from all the systems that know them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with locals could show a value
    rich_markup_mode="rich",
)
app.command("init")(setup.init)
app.add_typer(source.app, name="source")
app.add_typer(identity.app, name="identity")
app.add_typer(profile.app, name="profile")
app.add_typer(tag.app, name="tag")
app.add_typer(publish.app, name="publish")
app.add_typer(audit.app, name="audit")
app.add_typer(access.app, name="access")
app.command("serve")(setup.serve)
app.command("demo")(demo.demo)
