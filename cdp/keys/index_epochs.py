"""The index key, put in force and its old rows deleted, by one person and with an event.

Invariants, each named by a test in ``tests/integration/keys/test_index_epochs.py``:

1. Only who may configure begins an epoch or deletes the rows of one. A refusal is in the log.
2. The event is committed before anything changes; what then fails has one that says so.
"""

from collections.abc import Callable

from cdp.ingest import index_keys, index_state
from cdp.keys import permission
from cdp.vault.blind import PURPOSE
from cdp.workspace import Workspace
from policies.decision import Subject


def begin(workspace: Workspace, subject: Subject) -> tuple[int, bool]:
    """Put a new index key in force, or go on with the one that is being brought in.

    Returns:
        The epoch in force, and whether it is new.

    Raises:
        Refused: not allowed, or another job on indexes or a resolve runs.
        Others of `cdp.ingest.index_keys.begin_epoch`.
    """
    with permission.tried(workspace, subject, f"rotate-{PURPOSE}"):
        return index_keys.begin_epoch(workspace)


def retire(
    workspace: Workspace,
    subject: Subject,
    epoch: int,
    progress: Callable[[int, int], None],
    *,
    dry_run: bool = False,
) -> int:
    """Delete the rows of an old epoch; return how many there were.

    With ``dry_run`` they are counted only, as everybody may who can ask for the status.

    Raises:
        Refused: not allowed, or another job on indexes runs.
        VersionInUse: it is the epoch in force, or records are found by nothing else.
    """
    if dry_run:
        return index_state.retire(workspace, epoch, progress, dry_run=True)
    with permission.tried(workspace, subject, f"retire-{PURPOSE}-rows"):
        return index_state.retire(workspace, epoch, progress)
