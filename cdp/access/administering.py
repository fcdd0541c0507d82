"""What somebody in charge does to keys, accounts and sessions: allowed or not, and written down.

Invariants, each named by a test in ``tests/integration/signing_in/test_commands.py``:

1. Who is named must be allowed to configure; a refusal has its event too.
2. The event is in the transaction of what is done: both are kept or neither is.
3. Where nobody is named the log says ``command-line``: whoever can run it holds every key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.access.signing_in import event
from cdp.audit import log
from cdp.audit.errors import DetailRefused
from cdp.audit.event import AuditEvent, screen
from cdp.errors import Refused
from cdp.vault import primitives
from cdp.workspace import Workspace
from policies.vocabulary import Action, FieldClass, Purpose

NOBODY_NAMED: Final = "command-line"
_PLATFORM: Final = "platform"


@contextmanager
def allowed(
    workspace: Workspace, by: str | None, action: str, target: str
) -> Iterator[sa.Connection]:
    """Give the block a transaction that begins with the event of what it does.

    Args:
        workspace: where.
        by: who does it, as ``--as`` takes it; None: whoever runs the command.
        action: what, such as ``account.lock``.
        target: whom or what it is done to.

    Raises:
        Refused: who is named may not configure.
    """
    actor, role, reason = NOBODY_NAMED, _PLATFORM, None
    if by is not None:
        subject = subject_of(workspace, by)
        actor, role = subject.id, subject.role
        decision = workspace.policy.decide(
            subject, Action.CONFIGURE, FieldClass.NONE, Purpose.SERVICE, None
        )
        reason = None if decision.allowed else decision.reason
    tried = event(workspace, action, actor, role, None, reason and reason.value)
    with workspace.engine.begin() as connection:
        log.append(connection, about(tried, target))
        if reason is None:
            yield connection
            return
    raise Refused(reason.value, reason.sentence)


def about(told: AuditEvent, target: str) -> AuditEvent:
    """Return the event with its target, in a form that the log can hold."""
    try:
        screen(target)
    except DetailRefused:
        # An id with a long number in it: its digest, in letters alone.
        digest = primitives.digest(target.encode()).hex()[:16]
        target = "digest " + digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    return replace(told, detail=target)
