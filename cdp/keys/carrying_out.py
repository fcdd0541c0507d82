"""A rotation carried out: what is under older versions of a key, brought under the newest."""

from collections.abc import Callable

from cdp.keys.feature_rows import FEATURES, carry_out_features
from cdp.keys.older_rows import REJECTS, DataKeys, RejectedRows
from cdp.keys.rotating import BATCH, Progress, RotationReport, bring_under
from cdp.workspace import Workspace


def carry_out(
    workspace: Workspace,
    purpose: str,
    progress: Progress,
    step: Callable[[str], None] = lambda name: None,  # noqa: ARG005
    batch: int = BATCH,
) -> RotationReport:
    """Bring what is stored under the newest version of ``purpose``, or go on with it.

    Args:
        workspace: whose rows.
        purpose: a key whose rotation goes on after the new version.
        progress: told rows done and rows to do.
        step: told what else begins.
        batch: rows of one transaction.

    Raises:
        Refused: another such job runs, or a resolve where features are concerned.
        Stop: the disk is full; what was committed stays.
        KeyWithheld, KeyMissing, OtherWorkspace: the ring lacks a version, or is not its own.
    """
    if purpose == FEATURES:
        return carry_out_features(workspace, progress, step, batch)
    work = RejectedRows(workspace) if purpose == REJECTS else DataKeys(workspace, purpose)
    return bring_under(workspace, work, progress, batch)
