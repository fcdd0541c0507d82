"""A key ring for a process on another machine, with the keys of its role and no other.

Invariants, each named by a test in ``tests/integration/keys/test_extracting.py``:

1. Only who may configure takes an extract, and the event is committed before it is written.
2. It lacks every key that its role does not name, and the root of the whole ring.
"""

from pathlib import Path
from typing import Final

from cdp.errors import Refused
from cdp.keys import permission
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roles import FULL, ProcessRole
from cdp.vault.roots.provider import RootProvider
from cdp.workspace import Workspace
from policies.decision import Subject

_STEP: Final = "copy the key ring file itself where a process needs every key"


def extract(
    workspace: Workspace, subject: Subject, role: ProcessRole, target: Path, guard: RootProvider
) -> None:
    """Write the ring of ``role`` to ``target`` (mode 0600), its root guarded by ``guard``.

    Raises:
        Refused: not allowed, or the role is that of the whole ring.
        KeyMissing: this ring has not every key of the role.
        KeyRingExists, KeyRingUnwritable, and what the provider of the root raises.
    """
    if role == FULL:
        raise Refused("the whole ring is no extract", _STEP, role=role.name)
    with permission.tried(workspace, subject, f"extract-{role.name}"):
        editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
        editor.extract(sorted(role.purposes), target, guard, workspace.now())
