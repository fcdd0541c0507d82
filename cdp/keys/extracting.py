"""A key ring for a process on another machine, with the keys of its role and no other.

Invariants, each named by a test in ``tests/integration/keys/test_extracting.py``:

1. Only who may configure takes an extract, and the event is committed before it is written.
2. It lacks every key that its role does not name, and the root of the whole ring.
"""

from pathlib import Path
from typing import Final

from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.errors import Refused
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roles import FULL, ProcessRole
from cdp.vault.roots.provider import RootProvider
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, FieldClass, Purpose

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
    now, policy = workspace.now(), workspace.policy
    attempt = Attempt(
        subject, f"key.extract-{role.name}", Purpose.SERVICE, policy.version, now, None
    )
    decision = policy.decide(subject, Action.CONFIGURE, FieldClass.NONE, Purpose.SERVICE, None)
    with workspace.engine.begin() as connection:
        if decision.allowed:
            log.append(connection, attempt.allowed("", ()))
        else:
            log.append(connection, attempt.denied(decision.reason.value))
    if not decision.allowed:
        raise Refused(decision.reason.value, decision.reason.sentence)
    editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
    editor.extract(sorted(role.purposes), target, guard, now)
