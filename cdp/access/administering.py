"""What somebody in charge does to keys, accounts and sessions: allowed or not, and written down.

Invariants, each named by a test in ``tests/integration/signing_in/test_commands.py``:

1. Who is named must be allowed to configure; a refusal has its event too.
2. The event is in the transaction of what is done: both are kept or neither is.
3. Where nobody is named the log says ``command-line``: whoever can run it holds every key.
4. Nobody's roles change without an event, which says what they were and what they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from cdp.access.principals import Change, subject_of, sync_principals
from cdp.access.signing_in import event
from cdp.audit import log
from cdp.audit.errors import DetailRefused
from cdp.audit.event import AuditEvent, screen
from cdp.errors import Refused
from cdp.vault import primitives
from cdp.workspace import Workspace
from policies.vocabulary import Action, FieldClass, Purpose

NOBODY_NAMED: Final = "command-line"
NOBODY: Final = "nobody"
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
    reason = None
    actor, role = _named(workspace, by)
    if by is not None:
        subject = subject_of(workspace, by)
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


def bring_in_line(connection: sa.Connection, workspace: Workspace, by: str | None = None) -> int:
    """Bring who there is in line with ``cdp.yaml``, each change with its event; return how many.

    Args:
        connection: in a transaction that `allowed` began, or of whoever makes the workspace.
        workspace: where.
        by: who does it, as ``--as`` takes it; None: whoever runs the command.

    Raises:
        Refused: another sync is under way and does not end.
    """
    actor, role = _named(workspace, by)
    changes = sync_principals(connection, workspace.declaration, workspace.now())
    told = event(workspace, "principal.change", actor, role, None)
    log.append_all(connection, [replace(told, detail=_of(one)) for one in changes])
    return len(changes)


def _named(workspace: Workspace, by: str | None) -> tuple[str, str]:
    if by is None:
        return NOBODY_NAMED, _PLATFORM
    subject = subject_of(workspace, by)
    return subject.id, str(subject.role)


def _of(change: Change) -> str:
    """What changed, as the log can hold it: in words, by number and digest, or by digest."""
    who, before, after = change
    words = f"{who}: was {before or NOBODY}; is {after or NOBODY}"
    counted = f"{who}: was {_count(before)}; is {_count(after)}, {_digest(words)}"
    return next((one for one in (words, counted) if _holds(one)), _digest(words))


def _count(roles: str) -> str:
    return f"{roles.count(',') + 1} roles" if roles else NOBODY


def _holds(text: str) -> bool:
    try:
        screen(text)
    except DetailRefused:
        return False
    return True


def _digest(text: str) -> str:
    """A digest in letters alone: digits could be taken for a number of a person."""
    digest = primitives.digest(text.encode()).hex()[:16]
    return "digest " + digest.translate(str.maketrans("0123456789", "ghijklmnop"))


def about(told: AuditEvent, target: str) -> AuditEvent:
    """Return the event with its target, in a form that the log can hold."""
    # An id with a long number in it: its digest.
    return replace(told, detail=target if _holds(target) else _digest(target))
