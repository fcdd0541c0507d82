"""``cdp identity simulate`` and ``model learn|adopt|list``: the life of an epoch."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.audit import log
from cdp.audit.event import AuditEvent
from cdp.cli import measuring, output, session
from cdp.cli.decisions import Reason, Rehearse
from cdp.errors import Refused
from cdp.resolution import epochs, learning
from cdp.resolution.adopting import LOOK, Adopter
from cdp.resolution.simulating import EXAMPLES, Simulation, simulate, tightened
from cdp.workspace import Workspace
from identity.epoch_diff import differences
from identity.model import Model

Limit = Annotated[int, typer.Option(min=0, help="At most so many examples of each kind.")]
EpochFile = Annotated[str, typer.Argument(help="An epoch file, or the id of an earlier epoch.")]


def simulate_epoch(
    epoch: Annotated[
        str | None, typer.Option(help="Try this epoch: a file, or the id of an earlier one.")
    ] = None,
    rule: Annotated[
        Path | None, typer.Option(help="Try the active epoch with the numbers of this file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the epoch that was tried here.")] = None,
    limit: Limit = EXAMPLES,
    as_json: session.Json = False,
) -> None:
    """Say who would merge and split under another epoch or rule. Nothing is stored.

    Example: cdp identity simulate --epoch epoch.json
    """
    if (epoch is None) == (rule is None):
        raise typer.BadParameter("name what to try, with --epoch or with --rule")
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        model = epochs.named(connection, epoch or "active")
    if rule:
        model = tightened(model, rule)
    with output.steps() as steps:
        found = simulate(workspace, model, limit, steps.step)
    _log_simulation(workspace)
    if out:
        measuring.write(out, epochs.file_text(model))
    if as_json:
        output.as_json({"epoch": epochs.id_of(model), **found.to_dict()})
    else:
        show_simulation(found)


@measuring.model.command("learn")
def learn_model(
    out: Annotated[Path, typer.Option(help="The epoch file to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with source,record_id,source,record_id,same (yes or no)."),
    ] = None,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Let people's decisions teach it too.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Learn an epoch from the records and write it to a file. Nothing is switched.

    Example: cdp identity model learn --out epoch.json
    """
    workspace = session.workspace()
    with output.steps() as steps:
        learnt = learning.learn(workspace, labels, decided=decisions, progress=steps.step)
    measuring.write(out, epochs.file_text(learnt.model))
    name, judged = epochs.id_of(learnt.model), learnt.labels
    found = {
        "epoch": name,
        "out": str(out),
        "learnt_from": learnt.model.learnt_from,
        "labels_same": len(judged.same),
        "labels_different": len(judged.different),
        "labels_of_unknown_records": judged.unknown,
    }
    if as_json:
        output.as_json(found)
        return
    output.table("Learnt", ("what", "value"), [(k.replace("_", " "), v) for k, v in found.items()])
    output.say(f"What it would change: cdp identity simulate --epoch {output.plain(str(out))}")


@measuring.model.command("adopt")
def adopt_model(
    epoch: EpochFile,
    reason: Reason,
    principal: session.As,
    yes: Annotated[bool, typer.Option("--yes", help="I have seen what changes: do it.")] = False,
    dry_run: Rehearse = False,
    as_json: session.Json = False,
) -> None:
    """Sign an epoch and put it in force, with everything that it changes.

    Example: cdp identity model adopt epoch.json --reason "learnt anew" --as operator
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        model = epochs.named(connection, epoch)
    adopter = Adopter(workspace, subject_of(workspace, principal), model, reason)
    if not as_json:
        _show_difference(workspace, model)
    if dry_run or not yes:
        _rehearse(adopter, as_json=as_json)
        if not dry_run:
            step = "look at what would change, then run it again with --yes"
            raise Refused("not_confirmed", step, epoch=epochs.id_of(model))
        return
    seen: list[Simulation] = []
    with output.steps() as steps:
        show = seen.append if as_json else show_simulation
        answer = adopter.adopt(show, progress=steps.step)
    if isinstance(answer, Denial):
        raise Refused(answer.reason, answer.sentence)
    if as_json:
        output.as_json({**answer.to_dict(), "before": seen[0].to_dict(), "dry_run": False})
        return
    output.table("Resolved", ("what", "number"), list(answer.to_dict().items()))
    output.say(f"Epoch {answer.epoch} is in force, signed by {principal}.")


@measuring.model.command("list")
def list_models(as_json: session.Json = False) -> None:
    """List the epochs that were ever in force, and who signed them.

    Example: cdp identity model list
    """
    workspace = session.workspace()
    with workspace.engine.connect() as connection:
        found = epochs.listed(connection)
    if as_json:
        output.as_json([_epoch_to_dict(one) for one in found])
        return
    rows = [
        (one.id, one.active, _moment(one.at), one.learnt_from, one.join_bits, *_signed(one))
        for one in found
    ]
    header = (
        *("epoch", "in force", "first in force", "records", "join bits"),
        *("signed by", "on", "reason"),
    )
    output.table("Epochs", header, rows)


def show_simulation(found: Simulation) -> None:
    """Print what would change."""
    churn = found.churn
    facts = [
        ("profiles now", found.profiles_now),
        ("profiles then", found.profiles_then),
        ("would merge", found.merged),
        ("would split off", found.split),
        ("would be created", found.created),
        ("records with a profile", churn.records),
        ("of them, share with other companions", churn.changed_share),
        ("records that wait for a resolve", found.waiting),
    ]
    output.table("What would change", ("what", "number"), facts)
    rows = [("merges", gone, into) for into, gone in found.merges]
    rows += [("splits off", new, out_of) for new, out_of in found.splits]
    rows += [("is created", new, "") for new in found.creations]
    if rows:
        output.table("For example", ("what", "profile", "into or out of"), rows)
    if found.nothing_new:
        output.say("Nobody would change.")


# ── inside ──────────────────────────────────────────────────────────────────


def _rehearse(adopter: Adopter, *, as_json: bool) -> None:
    denial = adopter.denial()
    if denial:
        raise Refused(denial.reason, denial.sentence)
    with output.steps() as steps:
        found = adopter.rehearse(progress=steps.step)
    if as_json:
        name = epochs.id_of(adopter.model)
        output.as_json({"epoch": name, "before": found.to_dict(), "dry_run": True})
        return
    show_simulation(found)
    output.say("A rehearsal: nothing was kept.")


def _show_difference(workspace: Workspace, model: Model) -> None:
    """What the epoch says otherwise than the one in force, which may be of another version."""
    with workspace.engine.connect() as connection:
        stored = epochs.stored(connection, "active")
    if stored is None:
        return
    found = differences(stored[1], model.to_json())
    rows = [(line.place, _plain(line.one), _plain(line.other)) for line in found]
    output.table("What differs", ("where", f"in force: {stored[0]}", epochs.id_of(model)), rows)
    if not found:
        output.say("It is the epoch in force.")


def _log_simulation(workspace: Workspace) -> None:
    """Committed before ids of profiles are shown."""
    event = AuditEvent(
        actor="cli",
        role="operator",
        action=LOOK,
        purpose="service",
        decision="allow",
        reason="granted",
        policy_version=workspace.policy.version,
        at=workspace.now(),
    )
    with workspace.engine.begin() as connection:
        log.append(connection, event)


def _epoch_to_dict(one: epochs.Epoch) -> dict[str, Any]:
    signature = one.signature
    return {
        "epoch": one.id,
        "active": one.active,
        "at": one.at,
        "learnt_from": one.learnt_from,
        "join_bits": one.join_bits,
        "signed_by": signature.by if signature else None,
        "signed_at": signature.at if signature else None,
        "reason": signature.reason if signature else None,
    }


def _signed(one: epochs.Epoch) -> tuple[str, str, str]:
    if one.signature is None:
        return "nobody: automatic", "", ""
    return one.signature.by, _moment(one.signature.at), one.signature.reason


def _moment(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
