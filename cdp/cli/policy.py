"""``cdp policy``: what is in force, what another policy would change, and changing it in two."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cdp.access.policy_changes import LEAST_DIGITS, PolicyChanges, compare
from cdp.access.policy_looks import PolicyStatus
from cdp.access.policy_looks import status as look
from cdp.access.principals import subject_of
from cdp.cli import output, policy_reading, session
from cdp.errors import Refused
from cdp.policy import content, versions
from cdp.policy.diff import Difference, difference
from cdp.policy.signed import Proposal
from cdp.policy.versions import Proposed, trust_of
from cdp.workspace import Workspace
from policies.decision import CompiledPolicy

app = typer.Typer(help="See, explain, compare and change who may see what.", no_args_is_help=True)
app.command("explain")(policy_reading.explain)
app.command("matrix")(policy_reading.matrix)
app.command("check")(policy_reading.check)

Number = Annotated[int, typer.Argument(help="The number of a proposal.", min=1)]
Reason = Annotated[str, typer.Option(help="Why; it is kept. No personal data.")]
TextsOnly = Annotated[
    bool, typer.Option("--texts-only", help="It decides alike; its lines are to be other ones.")
]
SHOWN: Final = LEAST_DIGITS  # digits of a version that tables show
DIFFERS: Final = (
    "This release ships another policy than the one in force. See it with: cdp policy diff\n"
    "Propose it with: cdp policy propose --shipped --as WHO --reason WHY"
)


@app.command()
def status(as_json: session.Json = False) -> None:
    """Verify what is stored, link by link, and say which policy is in force.

    Example: cdp policy status
    """
    found = look(session.workspace())
    facts = asdict(found)
    if as_json:
        output.as_json(facts)
    else:
        rows = [(name.replace("_", " "), _fact(value)) for name, value in facts.items()]
        output.table("Policy", ("what", "is"), rows)
        _say_status(found)
    if found.refusal is not None:
        raise typer.Exit(1)


@app.command("list")
def list_versions(as_json: session.Json = False) -> None:
    """List what was in force and what is proposed, the newest first.

    Example: cdp policy list
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        trust = trust_of(workspace.keyring)
        links = versions.chain(connection, trust) if versions.has_any(connection) else []
        proposals = versions.proposals(connection, trust)
    activations = [
        {name: value for name, value in asdict(one.activation).items() if name != "previous"}
        for one in reversed(links)
    ]
    if as_json:
        listed = [_as_dict(one) for one in proposals]
        output.as_json({"activations": activations, "proposals": listed})
        return
    header = ("serial", "version", "since", "proposed by", "approved by", "reason")
    output.table("In force", header, [_row(one) for one in activations])
    newest = links[-1].link.serial if links else 0
    header = ("number", "version", "at", "proposed by", "reason", "state")
    output.table("Proposals", header, [_proposal_row(one, newest) for one in proposals])


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="The first digits of a version.")],
    write: Annotated[Path | None, typer.Option(help="A new folder for its files.")] = None,
    as_json: session.Json = False,
) -> None:
    """Show the four files of a stored version, or write them into a folder to be changed.

    Example: cdp policy show 8f3a61c20b94 --write policy
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        found = versions.find(connection, trust_of(workspace.keyring), version)
    files = content.files(found.content)
    if write is not None:
        content.write(found.content, write)
    if as_json:
        facts = {"version": found.id, "stored_by": found.stored_by, "at": found.at}
        output.as_json({**facts, "files": dict(files)})
        return
    if write is not None:
        output.say(f"Written to {output.plain(str(write))}.")
        return
    for name, text in files.items():
        output.results().print(output.plain(f"── {name} ──\n{text}"), soft_wrap=True)


@app.command()
def diff(
    before: Annotated[
        str | None, typer.Argument(help="A version, `shipped`, or a folder; without: in force.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="The same; without: what is in force.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Say who may do and see more, and who less, under one policy than under another.

    With one argument, how that policy differs from the one in force; with none, how the shipped
    one does.

    Example: cdp policy diff shipped
    """
    workspace = session.workspace()
    if after is None:
        found = difference(workspace.policy.compiled, _named(workspace, before or "shipped"))
    else:
        found = difference(_named(workspace, before or ""), _named(workspace, after))
    if as_json:
        output.as_json(found.to_json())
    else:
        show_difference(found)


@app.command()
def propose(  # noqa: PLR0913 - a proposal is made of this many parts
    principal: session.As,
    reason: Reason,
    folder: Annotated[Path | None, typer.Argument(help="A folder with the four files.")] = None,
    *,
    shipped: Annotated[bool, typer.Option("--shipped", help="What this release ships.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and store nothing.")
    ] = False,
    texts_only: TextsOnly = False,
    as_json: session.Json = False,
) -> None:
    """Propose another policy; somebody else has to approve it before it is in force.

    Example: cdp policy propose policy --reason "ticket 41" --as officer --dry-run
    """
    if (folder is None) == (not shipped):
        raise typer.BadParameter("name a folder, or say --shipped")
    text = content.shipped() if folder is None else content.read(folder)
    workspace = session.workspace()
    if dry_run:
        _tell(compare(workspace, text), None, as_json=as_json)
        return
    by = PolicyChanges(workspace, subject_of(workspace, principal))
    made = by.propose(text, reason, texts_only=texts_only)
    _tell(compare(workspace, text), made, as_json=as_json)


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="The first digits of an older version.")],
    principal: session.As,
    reason: Reason,
    texts_only: TextsOnly = False,
    as_json: session.Json = False,
) -> None:
    """Propose a version that was stored before; somebody else has to approve it too.

    Example: cdp policy rollback 8f3a61c20b94 --reason "ticket 41" --as officer
    """
    workspace = session.workspace()
    by = PolicyChanges(workspace, subject_of(workspace, principal))
    made = by.roll_back(version, reason, texts_only=texts_only)
    compiled = _named(workspace, made.version)
    _tell(difference(workspace.policy.compiled, compiled), made, as_json=as_json)


@app.command()
def approve(
    number: Number,
    principal: session.As,
    version: Annotated[
        str | None, typer.Argument(help="The version that you looked at; --dry-run shows it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would change; approve nothing.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Put what somebody else proposed in force. Running processes follow within a second.

    Only the version that you name is approved: what you looked at, whatever the number stands
    for by now.

    Example: cdp policy approve 1 --as headquarters --dry-run
    """
    workspace = session.workspace()
    if dry_run:
        _show_proposal(workspace, number, as_json=as_json)
        return
    if version is None:
        raise typer.BadParameter("name the version that you looked at; --dry-run shows it")
    by = PolicyChanges(workspace, subject_of(workspace, principal))
    link = by.approve(number, version)
    if as_json:
        output.as_json({"serial": link.serial, "version": workspace.policy.version})
        return
    output.say(f"In force: version {workspace.policy.version[:SHOWN]}, number {link.serial}.")


@app.command()
def reject(
    number: Number, principal: session.As, reason: Reason, as_json: session.Json = False
) -> None:
    """Say no to a proposal.

    Example: cdp policy reject 1 --reason "too wide" --as headquarters
    """
    workspace = session.workspace()
    PolicyChanges(workspace, subject_of(workspace, principal)).reject(number, reason)
    _ended(number, "rejected", as_json=as_json)


@app.command()
def withdraw(
    number: Number, principal: session.As, reason: Reason, as_json: session.Json = False
) -> None:
    """Take back one's own proposal.

    Example: cdp policy withdraw 1 --reason "a mistake" --as officer
    """
    workspace = session.workspace()
    PolicyChanges(workspace, subject_of(workspace, principal)).withdraw(number, reason)
    _ended(number, "withdrawn", as_json=as_json)


def show_difference(found: Difference) -> None:
    """Print a difference for people; what widens comes first and is marked."""
    if found.empty:
        output.say("Nothing changes for anybody.")
        return
    rows = [
        (
            "WIDER" if one.widens else "narrower",
            f"{one.role} {one.action}",
            one.purpose,
            ", ".join(one.fields),
            one.when,
            f"{one.before} -> {one.after}",
        )
        for one in sorted(found.changes, key=lambda one: not one.widens)
    ]
    if rows:
        output.table("For whom", ("", "who", "for", "fields", "when", "change"), rows)
    restated = [
        ("WIDER" if r.widens else "", r.what, f"{r.before} -> {r.after}")
        for r in sorted(found.restated, key=lambda r: not r.widens)
    ]
    if restated:
        output.table("For everybody", ("", "what", "change"), restated)


# ── inside ──────────────────────────────────────────────────────────────────


def _show_proposal(workspace: Workspace, number: int, *, as_json: bool) -> None:
    """Show what a proposal would change, and the command that approves just that."""
    with workspace.engine.connect() as connection:
        found = versions.proposed(connection, trust_of(workspace.keyring), number)
    if found is None:
        raise Refused("no_such_proposal", "list them with: cdp policy list")
    version = found.proposal.version
    changed = difference(workspace.policy.compiled, _named(workspace, version))
    if as_json:
        output.as_json({"proposal": number, "version": version, **changed.to_json()})
        return
    show_difference(changed)
    output.say(f"Nothing was stored. {_to_approve(found.proposal)}")


def _to_approve(one: Proposal) -> str:
    return (
        "Somebody else than who proposed it puts just this in force:\n"
        f"cdp policy approve {one.id} {one.version} --as WHO"
    )


def _say_status(found: PolicyStatus) -> None:
    if found.refusal is not None:
        output.say(
            "What is stored is not to be believed. Running processes keep the policy they have;\n"
            "no new one starts until it is put right: docs/howto/change-the-policy.md"
        )
    elif found.differs_from_shipped:
        output.say(DIFFERS)


def _named(workspace: Workspace, name: str) -> CompiledPolicy:
    """The policy that a word on the command line stands for."""
    if name == "shipped":
        return content.compiled(content.shipped())
    if Path(name).is_dir():
        return content.compiled(content.read(Path(name)))
    with workspace.engine.connect() as connection:
        found = versions.find(connection, trust_of(workspace.keyring), name)
    return content.compiled(found.content)


def _tell(found: Difference, made: Proposal | None, *, as_json: bool) -> None:
    if as_json:
        facts = {"proposal": made.id, "version": made.version} if made else {"proposal": None}
        output.as_json({**facts, **found.to_json()})
        return
    show_difference(found)
    if made is None:
        output.say("Nothing was stored.")
    else:
        output.say(f"Proposal {made.id} waits. {_to_approve(made)}")


def _fact(value: object) -> object:
    return "none" if value is None else value


def _ended(number: int, how: str, *, as_json: bool) -> None:
    if as_json:
        output.as_json({"proposal": number, "ended": how})
    else:
        output.say(f"Proposal {number} is {how}.")


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    who = one["proposed_by"], one["approved_by"]
    at = f"{one['at']:%Y-%m-%d %H:%M}"
    return (str(one["serial"]), one["version"][:SHOWN], at, *who, one["reason"])


def _proposal_row(one: Proposed, newest: int) -> tuple[object, ...]:
    proposal, ended = one.proposal, one.ended
    overtaken = "overtaken: propose it again" if proposal.base != newest else "waits"
    state = f"{ended.how} by {ended.by}" if ended else overtaken
    at = f"{proposal.at:%Y-%m-%d %H:%M}"
    who = proposal.proposed_by, proposal.reason
    return (str(proposal.id), proposal.version[:SHOWN], at, *who, state)


def _as_dict(one: Proposed) -> dict[str, Any]:
    return {**asdict(one.proposal), "ended": asdict(one.ended) if one.ended else None}
