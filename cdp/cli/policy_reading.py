"""``cdp policy explain``, ``matrix`` and ``check``: reading a policy, and trying it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cdp.access.policy_looks import stores_of
from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Stop
from cdp.policy import content, examples, explaining
from cdp.policy import matrix as pages
from cdp.workspace import Workspace
from policies.decision import CompiledPolicy
from policies.vocabulary import Role

_WORDS = "Words separated by commas"


def explain(  # noqa: PLR0913 - a question has this many parts
    user: Annotated[str, typer.Argument(help="A principal of cdp.yaml, or WHO/ROLE@NODE.")],
    action: Annotated[str, typer.Argument(help="Such as read or reveal.")],
    field: Annotated[str, typer.Argument(help="Such as phone; none: the action itself.")],
    *,
    purpose: session.Purpose = "service",
    of: Annotated[str | None, typer.Option(help="A profile id; needs --as.")] = None,
    stores: Annotated[
        str | None, typer.Option(help=f"Of the person, instead of --of. {_WORDS}.")
    ] = None,
    under: Annotated[
        str, typer.Option(help=f"on_shift, in_network, at_store: what holds. {_WORDS}.")
    ] = "",
    principal: Annotated[
        str | None, typer.Option("--as", help="Who asks about a person: may read the log.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Say how one question is decided, by which line, and what would have to be otherwise.

    Example: cdp policy explain clerk.s01 read phone --stores S01
    """
    workspace = session.workspace().pinned()
    subject = subject_of(workspace, user)
    try:
        held = examples.circumstances([word.strip() for word in under.split(",") if word.strip()])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    named = _stores(workspace, of, stores, principal)
    asked = explaining.under(subject, held), action, field, purpose
    found = explaining.explain(workspace.policy, *asked, named)
    if as_json:
        output.as_json(found.to_json())
        return
    rows: list[tuple[str, object]] = [
        ("decision", found.decision),
        ("because", f"{found.sentence} ({found.reason})"),
        ("policy line", found.rule),
        ("whose people", found.reach),
        *((f"{word}", when) for word, when in found.conditions.items()),
        *(("needed", one) for one in found.needed),
        ("policy version", found.version[:12]),
    ]
    output.table(f"{user}: {action} {field} for {purpose}", ("what", "is"), rows)


def matrix(
    role: Annotated[str | None, typer.Option(help="One role; without it, all.")] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="What this release ships, without a workspace.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of Markdown.")] = False,
    as_json: session.Json = False,
) -> None:
    """Print who may see what, a page for each role, from the policy in force.

    Example: cdp policy matrix --role clerk --shipped
    """
    if role is not None and role not in {one.value for one in Role}:
        raise typer.BadParameter(f"use one of {', '.join(Role)}")
    roles = [Role(role)] if role else list(Role)
    compiled = _compiled(shipped=shipped)
    if as_json:
        sheets = [asdict(sheet) for one in roles for sheet in pages.sheets(compiled, one)]
        output.as_json({"version": compiled.version, "sheets": sheets})
        return
    if markdown:
        print(pages.markdown(compiled, roles), end="")  # noqa: T201 - a console would wrap it
        return
    for one in roles:
        for sheet in pages.sheets(compiled, one):
            header = ("field", *(action.value for action in sheet.actions))
            rows = [(field, *cells) for field, cells in sheet.rows]
            output.table(f"{one}, for {sheet.purpose}", header, rows)
    output.say(output.plain(pages.LEGEND))


def check(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder with the four files; without it, in force.")
    ] = None,
    shipped: Annotated[
        bool, typer.Option("--shipped", help="What this release ships, without a workspace.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Ask a policy every example, and say which it does not answer as it should.

    The examples are those in the folder's own folder `examples`, else those that ship.

    Example: cdp policy check --shipped
    """
    if folder is not None:
        compiled = content.compiled(content.read(folder))
    else:
        compiled = _compiled(shipped=shipped)
    own = None if folder is None else folder / examples.FOLDER
    asked = examples.check(
        compiled, own if own and own.is_dir() else content.SHIPPED / examples.FOLDER
    )
    failed = [one for one in asked if not one.holds]
    if as_json:
        output.as_json(
            {
                "version": compiled.version,
                "examples": len(asked),
                "failed": [asdict(one) for one in failed],
            }
        )
    else:
        rows = [(one.file, one.says, _told(one.expected), _told(one.got)) for one in failed]
        if rows:
            output.table("Answered otherwise", ("file", "example", "expected", "got"), rows)
        output.say(f"{len(asked) - len(failed)} of {len(asked)} examples hold.")
    if failed:
        raise typer.Exit(1)


# ── inside ──────────────────────────────────────────────────────────────────


def _compiled(*, shipped: bool) -> CompiledPolicy:
    if shipped:
        return content.compiled(content.shipped())
    return session.workspace().policy.compiled


def _stores(
    workspace: Workspace, of: str | None, stores: str | None, principal: str | None
) -> frozenset[str] | None:
    """The stores of the person that a question is about; None: of no one person."""
    if of is not None and stores is not None:
        raise typer.BadParameter("give --of or --stores, not both")
    if stores is not None:
        named = frozenset(word.strip() for word in stores.split(",") if word.strip())
        unknown = sorted(named - set(workspace.declaration.organisation.nodes))
        if unknown:
            raise Stop("no_such_store", "name stores of cdp.yaml", store=unknown[0])
        return named
    if of is None:
        return None
    if principal is None:
        raise typer.BadParameter("say who asks about this person: --as")
    found = stores_of(workspace, subject_of(workspace, principal), of)
    if found is None:
        raise Stop("no_such_profile", "name a profile id; cdp identity export lists them")
    return found


def _told(answer: object) -> str:
    return ", ".join(f"{value}" for value in answer.values()) if isinstance(answer, dict) else ""
