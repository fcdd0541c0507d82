"""``cdp source rejects --expire``: rejected rows whose time is over, removed."""

from cdp.cli import output
from cdp.errors import Refused
from cdp.ingest import reject_upkeep
from cdp.ingest.reject_upkeep import Held
from cdp.storage.locks import only_one
from cdp.workspace import Workspace

_WAIT = "wait until it has ended"


def expire_rejects(
    workspace: Workspace, name: str | None, *, expire: bool, rehearse: bool, as_json: bool
) -> None:
    """Remove rejected rows that are over their time, of one source or of all; or say how many.

    Raises:
        Refused: there is nothing to rehearse, or another removes them.
    """
    if not expire:
        raise Refused("nothing_to_rehearse", "give --expire with it")
    with workspace.engine.connect() as connection:
        chosen = [name] if name else reject_upkeep.sources(connection)
        found = reject_upkeep.held(connection, workspace.declaration, chosen, workspace.now())
    if not rehearse:
        with only_one(workspace.engine, "expire rejected rows", _WAIT), output.steps() as steps:
            for done, one in enumerate(found, start=1):
                reject_upkeep.expire(workspace, one.source)
                steps.rows("sources", done, len(found))
    if as_json:
        output.as_json([one.to_dict() | {"dry_run": rehearse} for one in found])
        return
    what = "would go" if rehearse else "removed"
    rows = [(one.source, one.kept_for, one.rows, one.over) for one in found]
    header = ("source", "days kept", "rows before", what)
    output.table("Rejected rows over their time", header, rows)


def show_held(found: list[Held]) -> None:
    """Print how many rejected rows are kept, and until when."""
    if not found:
        return
    rows = [
        (one.source, one.rows, one.oldest and f"{one.oldest:%Y-%m-%d}", one.kept_for, one.over)
        for one in found
    ]
    header = ("source", "rows", "oldest", "days kept", "over their time")
    output.table("Rejected rows that are kept", header, rows)
    if any(one.over for one in found):
        output.say("A worker removes them within the hour; or: cdp source rejects --expire")
