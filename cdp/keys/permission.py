"""Who may touch the keys: one decision, and one event that is committed before anything is done.

What then fails has an event of its own that says so, whatever it fails on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.errors import Refused
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Action, FieldClass, Purpose


def attempt(workspace: Workspace, subject: Subject, what: str) -> Attempt:
    """The attempt of ``subject`` at ``what``, such as ``rotate-contact``, for the log."""
    version = workspace.policy.version
    return Attempt(subject, f"key.{what}", Purpose.SERVICE, version, workspace.now(), None)


def require(workspace: Workspace, subject: Subject, what: str) -> None:
    """Write down that ``subject`` tries ``what``, and go on only if it may configure.

    Raises:
        Refused: it may not.
    """
    workspace = workspace.pinned()
    decision = workspace.policy.decide(
        subject, Action.CONFIGURE, FieldClass.NONE, Purpose.SERVICE, None
    )
    tried = attempt(workspace, subject, what)
    with workspace.engine.begin() as connection:
        if decision.allowed:
            log.append(connection, tried.allowed("", ()))
        else:
            log.append(connection, tried.denied(decision.reason.value))
    if not decision.allowed:
        raise Refused(decision.reason.value, decision.reason.sentence)


@contextmanager
def tried(workspace: Workspace, subject: Subject, what: str) -> Iterator[None]:
    """Let the block do ``what`` if ``subject`` may; where it fails, the log learns that too.

    Raises:
        Refused: it may not, and the block is not run.
        What the block raises. Where the database cannot take the second event it stands
            unsaid, and the error has a note of it: the first event is there.
    """
    require(workspace, subject, what)
    try:
        yield
    except BaseException as failure:  # also who is broken off at the passphrase
        try:
            with workspace.engine.begin() as connection:
                log.append(connection, attempt(workspace, subject, what).denied("failed"))
        except sa.exc.SQLAlchemyError:
            failure.add_note("the audit log could not be told that this failed")
        raise
