"""``cdp profile``: see a person as somebody may see them."""

from dataclasses import asdict
from typing import Annotated

import typer

from cdp.access.answers import View
from cdp.access.gate import Gate
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.cli.figures import figures
from cdp.cli.reveal import field
from cdp.errors import Refused

app = typer.Typer(help="See one person, or count many, as policy allows.", no_args_is_help=True)
app.command("figures")(figures)
app.command("reveal")(field)
ProfileId = Annotated[str, typer.Argument(help="A profile id, also an old one.")]


@app.command()
def show(
    profile_id: ProfileId,
    principal: session.As,
    purpose: session.Purpose = "service",
    as_json: session.Json = False,
) -> None:
    """Show a profile as a principal sees it. Leaves an audit event.

    Example: cdp profile show PROFILE_ID --as clerk.s01
    """
    workspace = session.workspace()
    gate, subject = Gate(workspace), subject_of(workspace, principal)
    with workspace.engine.begin() as connection:
        view = gate.view(connection, subject, profile_id, purpose)
    if view is None:
        denial = gate.refusal(subject, "read", purpose)
        sentence = denial.sentence if denial else "check the id; people of other stores stay hidden"
        raise Refused(denial.reason if denial else "not_found", sentence)
    if as_json:
        output.as_json(view_to_dict(view))
    else:
        output.table(f"{view.profile_id} for {principal}", ("field", "value"), view_rows(view))


def view_to_dict(view: View) -> dict[str, object]:
    """A plain object for ``--json``."""
    return asdict(view)


def view_rows(view: View) -> list[tuple[str, str]]:
    """The lines of a view for a table."""
    rows = [(name, shown.value) for name, shown in view.fields.items()]
    rows += [(name, str(value)) for name, value in view.attributes.items()]
    rows += [(f"tag {name}", value) for name, value in view.tags.items()]
    if view.stores:
        rows.append(("stores", ", ".join(view.stores)))
    rows.append(("consent", ", ".join(view.consent.granted) or "none"))
    if view.consent.refused:
        rows.append(("refused", ", ".join(view.consent.refused)))
    return rows
