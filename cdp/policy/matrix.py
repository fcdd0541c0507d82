"""The policy as pages to read: one for each role, generated from its decisions. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cdp.policy import circumstances
from cdp.policy.diff import REFUSED, level
from policies.decision import CompiledPolicy
from policies.vocabulary import (
    EVERY_CIRCUMSTANCES,
    Action,
    Circumstances,
    FieldClass,
    Purpose,
    Role,
    needs_approval,
)

NOTHING: Final = "-"
TWO: Final = " (two)"
LEGEND: Final = (
    "allowed: the action itself. masked, clear: how the field is shown. (two): a second person "
    "approves first. A word after a comma: only in those circumstances. -: refused."
)
_HEAD: Final = """\
# Who may see what

Written by `cdp policy matrix --shipped --markdown`; change the policy and write it again. It is \
what this release ships: `cdp policy matrix` shows what is in force in a workspace. Rows are \
narrowed afterwards to the stores under the subject's node, and services to the fields and the \
purpose of their contract.

"""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one role may do for one purpose.

    Attributes:
        role, purpose: words of the vocabulary.
        actions: that it may do for anything: the columns.
        rows: field, and one cell for each action; fields that have nothing are left out.
    """

    role: Role
    purpose: Purpose
    actions: tuple[Action, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def sheets(compiled: CompiledPolicy, role: Role) -> list[Sheet]:
    """Return what a role may do, a sheet for each purpose that it may do anything for."""
    return [one for purpose in Purpose if (one := _sheet(compiled, role, purpose)).actions]


def cell(compiled: CompiledPolicy, role: str, action: str, field: str, purpose: str) -> str:
    """Return what one decision comes to, in a few words."""
    verdicts = compiled.table[role, action, field, purpose]
    levels: dict[str, list[Circumstances]] = {}
    for one in EVERY_CIRCUMSTANCES:
        levels.setdefault(level(verdicts[one]), []).append(one)
    levels.pop(REFUSED, None)
    second = TWO if needs_approval(action, field) else ""
    told = []
    for word, held in levels.items():
        when = circumstances.when(held)
        told.append(f"{word}{second}" if when == "always" else f"{word}{second}, {when}")
    return "; ".join(told) or NOTHING


def markdown(compiled: CompiledPolicy, roles: Iterable[Role] = Role) -> str:
    """Return the sheets of these roles as one page of Markdown."""
    pages = [_page(role, sheets(compiled, role)) for role in roles]
    return "\n".join([_HEAD + LEGEND + "\n", *pages])


def _page(role: Role, found: list[Sheet]) -> str:
    if not found:
        return f"## {role}\n\nMay do nothing.\n"
    return f"## {role}\n" + "".join(_table(one) for one in found)


def _table(one: Sheet) -> str:
    lines = [
        f"\nFor {one.purpose}:\n",
        f"| field | {' | '.join(one.actions)} |",
        "|---" * (len(one.actions) + 1) + "|",
        *(f"| {field} | {' | '.join(cells)} |" for field, cells in one.rows),
    ]
    return "\n".join(lines) + "\n"


def _sheet(compiled: CompiledPolicy, role: Role, purpose: Purpose) -> Sheet:
    table = {
        (field, action): cell(compiled, role, action, field, purpose)
        for field in FieldClass
        for action in Action
    }
    granted = {place for place, told in table.items() if told != NOTHING}
    actions = tuple(one for one in Action if any(action == one for _, action in granted))
    rows = tuple(
        (
            "the action itself" if field is FieldClass.NONE else field.value,
            tuple(table[field, action] for action in actions),
        )
        for field in FieldClass
        if any(field == named for named, _ in granted)
    )
    return Sheet(role, purpose, actions, rows)
