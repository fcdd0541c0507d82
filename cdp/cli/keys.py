"""``cdp key``: see the keys, and change them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cdp.access.principals import subject_of
from cdp.cli import output, session
from cdp.errors import Stop
from cdp.keys.carrying_out import carry_out
from cdp.keys.extracting import extract as write_extract
from cdp.keys.keeping import ROOT, KeyKeeper
from cdp.keys.purposes import ALL, ROTATIONS, goes_on
from cdp.keys.status import KeyStatus, status, waiting
from cdp.vault import roles
from cdp.vault.roots.aws_kms import AwsKmsRoot
from cdp.vault.roots.choice import Passphrase
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.file import FILE
from cdp.vault.roots.passphrase import PassphraseRoot
from cdp.vault.roots.provider import RootProvider
from cdp.vault.secret import Secret
from cdp.workspace import Workspace

app = typer.Typer(help="See, rotate and retire keys, and move the root.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help=f"{ROOT}, or one of {', '.join(ROTATIONS)}.")]
EVERY: Final = "all"
NEW_COPY: Final = (
    "Keep a copy of the new key ring apart from the database, and destroy the older copies:\n"
    "they still hold what was just replaced."
)


@app.command("status")
def show(as_json: session.Json = False) -> None:
    """Show every key's versions, and how many rows need each. No key is shown.

    Example: cdp key status
    """
    found = status(session.workspace())
    if as_json:
        output.as_json(asdict(found))
        return
    _show_root(found)
    rows = [
        (one.purpose, one.version, one.current, _age(one.age_days), one.held, one.rows)
        for one in found.versions
    ]
    header = ("key", "version", "in force", "age", "in the ring", "rows that need it")
    output.table("Keys", header, rows)
    for problem in found.problems:
        output.say(output.plain(problem))


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help=f"{ROOT}, all, or one of {', '.join(ROTATIONS)}.")],
    principal: session.As,
    yes: Annotated[bool, typer.Option("--yes", help="I know what changes at once.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Make no new version; go on with what waits.")
    ] = False,
    later: Annotated[
        bool, typer.Option("--later", help="New version only; go on another time with --resume.")
    ] = False,
    as_json: session.Json = False,
) -> None:
    """Put a new version of a key in force and bring what is stored under it.

    Example: cdp key rotate root --as operator
    """
    workspace = session.workspace()
    keeper = _keeper(workspace, principal)
    chosen = _every(workspace, resume=resume) if purpose == EVERY else [purpose]
    done = [_rotated(keeper, one, yes=yes, resume=resume, later=later) for one in chosen]
    if as_json:
        output.as_json(done if purpose == EVERY else done[0])
    else:
        header = ("key", "version", "rows brought under it", "rows that wait")
        output.table("In force", header, [tuple(one.values())[:4] for one in done])
        _say_what_follows(chosen)
    _refuse_incomplete(done)


@app.command()
def retire(
    purpose: Key,
    version: Annotated[int, typer.Argument(help="A version that no row needs any more.")],
    principal: session.As,
    as_json: session.Json = False,
) -> None:
    """Take an old version of a key out of the ring, for ever.

    Example: cdp key retire root 1 --as operator
    """
    _keeper(session.workspace(), principal).retire(purpose, version)
    if as_json:
        output.as_json({"key": purpose, "retired": version})
        return
    output.table("Retired", ("key", "version"), [(purpose, version)])
    output.say(NEW_COPY)


@app.command()
def move(
    to: Annotated[str, typer.Option(help="file, passphrase, environment or aws-kms.")],
    principal: session.As,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="The new passphrase; without it you are asked for it.")
    ] = None,
    root_key_file: Annotated[
        Path | None, typer.Option(help="The new CDP_ROOT_KEY; without it the one that is set.")
    ] = None,
    kms_key: Annotated[
        str | None, typer.Option(help="The KMS key; without it CDP_KMS_KEY.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Have another provider guard a new root, or the same one under another secret.

    Example: cdp key move --to passphrase --passphrase-file secret.txt --as operator
    """
    workspace = session.workspace()
    target = _target(workspace, to, passphrase_file, root_key_file, kms_key)
    version = _keeper(workspace, principal).move(target)
    if as_json:
        output.as_json({"provider": target.name, "root": version, "needs": target.needs})
        return
    output.table("The root", ("provider", "version"), [(target.name, version)])
    output.say(f"From now on every process needs: {output.plain(target.needs)}\n{NEW_COPY}")


@app.command()
def extract(
    target: Annotated[Path, typer.Argument(help="A new file, mode 0600: to be moved away.")],
    role: Annotated[str, typer.Option(help="The role of the process: counter or contact.")],
    principal: session.As,
    provider: Annotated[
        str, typer.Option(help="Who guards its root: file, passphrase, environment or aws-kms.")
    ] = FILE.name,
    as_json: session.Json = False,
) -> None:
    """Write a key ring with the keys of one role and no other, for another machine.

    Example: cdp key extract counter-ring.json --role counter --as operator
    """
    workspace = session.workspace()
    wanted, guard = roles.named(role), workspace.providers.named(provider)
    write_extract(workspace, subject_of(workspace, principal), wanted, target, guard)
    if as_json:
        output.as_json({"role": role, "keys": sorted(wanted.purposes), "provider": provider})
        return
    output.table("In the extract", ("key",), [(one,) for one in sorted(wanted.purposes)])
    output.say(
        "Move it to the other machine as its keyring.json. After rotating one of its keys,\n"
        "extract it again."
    )


@app.command()
def upgrade(principal: session.As, as_json: session.Json = False) -> None:
    """Bring the key ring of an earlier release to this one: its format and missing keys.

    Example: cdp key upgrade --as operator
    """
    added = _keeper(session.workspace(), principal).upgrade()
    if as_json:
        output.as_json({"added": added})
        return
    output.table("Added", ("key",), [(purpose,) for purpose in added])
    output.say("Keep a copy of the new key ring apart from the database.")


# ── inside ──────────────────────────────────────────────────────────────────


def _keeper(workspace: Workspace, principal: str) -> KeyKeeper:
    return KeyKeeper(workspace, subject_of(workspace, principal))


def _every(workspace: Workspace, *, resume: bool) -> list[str]:
    """What ``all`` means in this process: a key that it must not hold is left to another."""
    held = [one for one in ALL if one == ROOT or workspace.keyring.holds(one)]
    return [one for one in held if not resume or goes_on(one)]


def _rotated(
    keeper: KeyKeeper, purpose: str, *, yes: bool, resume: bool, later: bool
) -> dict[str, Any]:
    workspace = keeper.workspace
    version = keeper.resume(purpose) if resume else keeper.rotate(purpose, confirmed=yes)
    told: dict[str, Any] = {"key": purpose, "version": version, "rows": 0, "waiting": 0}
    if goes_on(purpose) and later:
        told["waiting"] = waiting(status(workspace).versions, purpose)
    elif goes_on(purpose):
        with output.steps() as steps:
            report = carry_out(workspace, purpose, steps.of(f"{purpose} key"), steps.step)
        told |= {"rows": report.rows, "waiting": report.left + report.refused_count}
        told["refused"] = dict(report.refused)
    return told


def _say_what_follows(chosen: list[str]) -> None:
    for one in chosen:
        if one != ROOT:
            rule = ROTATIONS[one].means
            output.say(f"{one}: {rule}.")
    if ROOT in chosen:
        output.say(NEW_COPY)
    else:
        words = "older copies do not open what comes from now on."
        output.say(f"Keep a copy of the new key ring: {words}")


def _refuse_incomplete(done: list[dict[str, Any]]) -> None:
    for one in done:
        if one.get("refused"):
            raise Stop(
                "data_keys_do_not_open",
                "restore these rows from a backup, or sync their sources again",
                key=one["key"],
                rows=", ".join(map(str, one["refused"])),
            )


def _target(
    workspace: Workspace,
    name: str,
    passphrase_file: Path | None,
    root_key_file: Path | None,
    kms_key: str | None,
) -> RootProvider:
    if name == PassphraseRoot.name:
        return PassphraseRoot(Passphrase(path=passphrase_file, twice=True))
    if name == EnvironmentRoot.name and root_key_file:
        return EnvironmentRoot(Secret(root_key_file.read_bytes()))
    if name == AwsKmsRoot.name and kms_key:
        return AwsKmsRoot(kms_key, workspace.settings.kms_endpoint)
    return workspace.providers.named(name)


def _show_root(found: KeyStatus) -> None:
    made = f"{found.root_made:%Y-%m-%d}" if found.root_made else "unknown"
    facts = [(found.provider, found.root_version, made, found.format)]
    output.table("The root", ("provider", "version", "made", "ring format"), facts)


def _age(days: int | None) -> str:
    return "unknown" if days is None else f"{days} days"
