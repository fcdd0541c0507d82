"""How much memory it takes to resolve what waits, judged by a sample of it.

What a record touches depends on whom it shares keys with: a few partners as a rule, many
hundreds in a bad list. All of them are opened, and every pair is held until the touched
people are decided. A full run works at pairs in slices and knows its limit beforehand
(``identity.memory``), so that what would not fit is left to one.

Bytes are measured, see ``tests/integration/test_footprint.py``.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import sqlalchemy as sa

from cdp.resolution import block_rows, blocks
from cdp.resolution.blocks import HOLDER
from cdp.resolution.opened import Opened
from cdp.resolution.readiness import Ready
from cdp.vault.keyed import BlockKeyer
from cdp.workspace import Workspace
from identity.blocking import MOST
from identity.columns import Lists
from identity.memory import MB
from identity.sharing import MOST_HOLDERS

NEVER_MANY: Final = 1_000  # records; to look at a sample of fewer would cost as much as it spares
ONE_IN: Final = 50  # records that wait: two in a hundred of what finding all of them costs
MOST_SAMPLED: Final = 200  # records
OF_A_RECORD: Final = 3_000  # bytes of an opened record, its columns and what its numbers tell
OF_A_MEETING: Final = 250  # bytes of a record under a key, as it is fetched and met
OF_A_PAIR: Final = 500  # bytes of a pair, each once, as it is weighed and decided


def fits(
    connection: sa.Connection, workspace: Workspace, epoch: Ready, dirty: Sequence[int]
) -> bool:
    """Whether these records can be resolved among all others within the memory limit.

    Args:
        connection: in a transaction.
        workspace: whose limit it is.
        epoch: in force.
        dirty: ids of the records that wait.
    """
    if len(dirty) <= NEVER_MANY:
        return True
    return needed(connection, workspace, epoch, dirty) <= workspace.settings.memory_mb * MB


def needed(
    connection: sa.Connection, workspace: Workspace, epoch: Ready, dirty: Sequence[int]
) -> int:
    """About how many bytes it takes; see ``fits``."""
    step = max(ONE_IN, -(-len(dirty) // MOST_SAMPLED))
    meetings, partners = _shared(connection, workspace, epoch, sorted(dirty)[::step])
    each = OF_A_RECORD + meetings * OF_A_MEETING + partners * (OF_A_RECORD + OF_A_PAIR)
    return int(len(dirty) * each)


def _shared(
    connection: sa.Connection, workspace: Workspace, epoch: Ready, sample: Sequence[int]
) -> tuple[float, float]:
    """How many records a record meets, under each of its keys and each once, on average."""
    opened = Opened(workspace.vault, feature_key=epoch.feature_key)
    opened.open(connection, sample)
    raw = opened.of(sample)
    keyer = BlockKeyer(workspace.keyring).under(epoch.block_key)
    alone, beside = blocks.possible(keyer, raw, epoch.model.most_people)
    possible = alone.and_also(beside)
    keys, first = np.unique(possible.key, return_index=True)
    limit = np.where(possible.rule[first] == HOLDER, MOST_HOLDERS, MOST)
    place, member = block_rows.members(connection, keys, limit + 1)
    sizes = np.bincount(place, minlength=len(keys))
    starts = np.concatenate(([0], np.cumsum(sizes)))
    # A block above its limit makes no pairs, and nobody is opened for it.
    useful = np.flatnonzero((sizes <= limit)[at := np.searchsorted(keys, possible.key)])
    met = Lists(starts, member[np.argsort(place, kind="stable")]).take(at[useful])
    who = np.searchsorted(raw.ids, possible.record[useful])[met.rows()]
    once = np.unique(who * (member.max(initial=0) + 1) + met.keys)
    return len(met.keys) / len(sample), len(once) / len(sample)
