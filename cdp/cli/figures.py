"""``cdp profile figures``: how many people, and never who."""

import re
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from cdp.access.answers import Denial
from cdp.access.figures import Dimension, Kind, Question
from cdp.access.filters import Criterion, Filter
from cdp.access.gate import Gate
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Refused
from policies.vocabulary import FieldClass

_BY: Final = "store, node:region, node:brand, tag:NAME, attribute:NAME or consent:PURPOSE"
_WHERE: Final = "store=ID, tag:NAME=VALUE, attribute:NAME=TEXT, attribute:NAME>=N or <=N"
_CONDITION: Final = re.compile(r"(store|tag|attribute)(?::([^=<>]+))?(=|>=|<=)(.*)", re.DOTALL)
_FIELDS: Final = {
    "store": FieldClass.STORES,
    "tag": FieldClass.TAGS,
    "attribute": FieldClass.ATTRIBUTES,
}


def figures(
    principal: session.As,
    by: Annotated[list[str] | None, typer.Option(help=f"Up to three of {_BY}.")] = None,
    where: Annotated[list[str] | None, typer.Option(help=f"Whom: {_WHERE}. All hold.")] = None,
    agreed_to: Annotated[list[str] | None, typer.Option(help="Purposes agreed to.")] = None,
    purpose: session.Purpose = "analysis",
    as_json: session.Json = False,
) -> None:
    """Count people in groups. Groups below ten are hidden. Leaves an audit event.

    Example: cdp profile figures --by store --as headquarters
    """
    criteria = tuple(map(criterion, where or ()))
    asked = Question(tuple(map(dimension, by or ())), Filter(criteria, tuple(agreed_to or ())))
    workspace = session.workspace()
    with workspace.engine.begin() as connection:
        subject = subject_of(workspace, principal)
        answer = Gate(workspace).figures(connection, subject, purpose, asked)
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)
    if as_json:
        output.as_json(asdict(answer))
        return
    total = "fewer than ten" if answer.people is None else str(answer.people)
    rows = [
        (*(one or "(none)" for one in group.values), str(group.people)) for group in answer.groups
    ]
    output.table(f"People: {total}", (*(by or ()), "people"), rows)
    if answer.hidden:
        output.say("Other groups are hidden: they are small, or would tell how small others are.")


def dimension(text: str) -> Dimension:
    """Read one ``--by``.

    Raises:
        typer.BadParameter: it is none; its text is not repeated.
    """
    kind, _, name = text.partition(":")
    try:
        return Dimension(Kind(kind), name or None)
    except ValueError:
        raise typer.BadParameter(f"group by {_BY}") from None


def criterion(text: str) -> Criterion:
    """Read one ``--where``.

    Raises:
        typer.BadParameter: it is none; its text is not repeated.
    """
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise typer.BadParameter(f"filter by {_WHERE}")
    kind, name, sign, value = parts.groups()
    field = _FIELDS[kind].value
    if sign == "=":
        return Criterion(field, name, value)
    try:
        bound = Decimal(value)
    except InvalidOperation:
        raise typer.BadParameter("give a number to compare with") from None
    return Criterion(field, name, None, *((bound, None) if sign == ">=" else (None, bound)))
