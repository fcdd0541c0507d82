"""A small made-up world with a ring of its own, whose keys a test may rotate."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from cdp.storage import schema
from cdp.vault import ring_edits
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_editing import RingEditor
from cdp.workspace import Workspace

Opener = Callable[[], Workspace]
# What tells who is who: by record key, so that it holds whatever the epoch is called.
PEOPLE = """
    SELECT encode(r.key, 'hex'), m.profile_id, CAST(m.since AS text), p.revision,
           CAST(p.golden AS text)
      FROM kith.record r JOIN kith.membership m ON m.record_id = r.id
      JOIN kith.profile p ON p.id = m.profile_id ORDER BY 1
"""
EVIDENCE = "SELECT low_id, high_id, weight, levels, weights, direct FROM kith.edge ORDER BY 1, 2"
HISTORY = "SELECT * FROM kith.membership_history ORDER BY 1, 2, 3"
EVENTS = "SELECT kind, profile_id, other_id, CAST(at AS text) FROM kith.profile_event ORDER BY id"
NUMBERS = "SELECT people, count(*) FROM kith.shared_number GROUP BY 1 ORDER BY 1"
BLOCKS = """
    SELECT s.record_id, k.rule, count(*) FROM kith.record_block s
      JOIN kith.block b ON b.record_id = s.record_id
      JOIN unnest(s.keys, s.rules) AS k(key, rule) ON k.key = b.key
     GROUP BY 1, 2 ORDER BY 1, 2
"""


def who_is_who(workspace: Workspace) -> dict[str, list[Any]]:
    """The people, the evidence for them, their history, and the shape of the blocks."""
    with workspace.engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sa.text(text))]
            for name, text in (
                ("people", PEOPLE), ("evidence", EVIDENCE), ("history", HISTORY),
                ("events", EVENTS), ("numbers", NUMBERS), ("blocks", BLOCKS),
            )
        }  # fmt: skip


def new_version(workspace: Workspace, purpose: str) -> int:
    """Put a new version of a key in force, as another process would."""
    editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
    now = workspace.now()
    document = editor.edit(
        lambda ring: ring_edits.add_version(ring, purpose, {}, system_randomness, now)
    )
    version = document.keys[purpose].current
    workspace.keyring.secret(purpose, version)  # so that this process sees it at once
    return version


def feature_keys(workspace: Workspace) -> set[int]:
    """The versions of the features key that records have."""
    with workspace.engine.connect() as connection:
        return set(connection.scalars(sa.select(schema.record.c.feature_key).distinct()))
