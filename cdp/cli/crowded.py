"""``cdp identity crowded``: where too many records hang together, and what to do about it."""

from dataclasses import asdict
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Refused
from cdp.resolution.crowded import Crowd, Crowded, Shared, crowded
from cdp.resolution.permission import NOBODY, Permission
from cdp.workspace import Workspace
from identity.catalogue import Catalogue
from policies.decision import NOBODY as NO_STORES
from policies.vocabulary import Action

EVENT = "identity.crowded"


def show_crowded(
    principal: session.As,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each.")] = 20,
    as_json: session.Json = False,
) -> None:
    """Show what too many records share: junk that looks like an identifier. Never the value.

    Example: cdp identity crowded --as headquarters
    """
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        found = _found(connection, workspace, principal, limit)
    if isinstance(found, Denial):
        raise Refused(found.reason, found.sentence)
    known = workspace.declaration.identifiers
    if as_json:
        output.as_json(
            {
                "components": [_to_dict(one, known) for one in found.components],
                "values": [_to_dict(one, known) for one in found.values],
            }
        )
        return
    if not (found.components or found.values):
        output.say("Nothing is crowded.")
    _show("Components too large to be compared whole", found.components)
    _show("Values on too many records to join anybody", found.values)
    kinds = dict.fromkeys(s for one in (*found.components, *found.values) for s in one.shared)
    for step in dict.fromkeys(next_step(one, known) for one in kinds):
        output.say(output.plain(step))


def next_step(shared: Shared, known: Catalogue) -> str:
    """What to do about a value that too many records share."""
    if not shared.field:
        return (
            f"{shared.kind}: look at some of the profiles; what a form fills in by itself is "
            "left out at the source"
        )
    where = (
        f"identifiers.{shared.kind} in cdp.yaml"
        if shared.kind in known.added
        else f"{shared.kind} in identity/identifiers.yaml"
    )
    return (
        f"{shared.kind}: find the value with cdp profile show, leave it out at the source or add "
        f"it to blocked of {where}; then: cdp source sync, cdp identity resolve"
    )


def _found(
    connection: sa.Connection, workspace: Workspace, principal: str, limit: int
) -> Crowded | Denial:
    """Whoever judges people is told examples; whoever wires sources, how many."""
    subject = subject_of(workspace, principal)
    judges = Permission(workspace, subject, Action.MERGE, EVENT)
    wires = Permission(workspace, subject, Action.CONFIGURE, EVENT)
    denial = judges.refusal()
    if denial is not None and wires.refusal() is not None:
        judges.log_refused(connection, denial)
        return denial
    found = crowded(connection, limit, NO_STORES if denial else judges.reach())
    named = (one for crowd in (*found.components, *found.values) for one in crowd.examples)
    judges.log_allowed(connection, dict.fromkeys((NOBODY, *named)))
    return found


def _show(title: str, crowds: tuple[Crowd, ...]) -> None:
    if not crowds:
        return
    output.table(
        title,
        ("records", "profiles", "largest", "shared by", "profiles such as"),
        [
            (
                one.records,
                one.profiles,
                one.largest,
                "; ".join(f"{s.kind}: {s.records}" for s in one.shared),
                " ".join(one.examples),
            )
            for one in crowds
        ],
    )


def _to_dict(one: Crowd, known: Catalogue) -> dict[str, Any]:
    shared = [{**asdict(s), "next_step": next_step(s, known)} for s in one.shared]
    return {**asdict(one), "shared": shared, "examples": list(one.examples)}
