"""The roster: who works at which store on which day. And what holds while somebody asks.

Invariants, each named by a test in ``tests/integration/access/test_roster.py``:

1. Who has no line for today, where their node is, is not at the store.
2. Only who may configure writes it, and each line and each refusal leaves an event.
3. Where no policy line of the subject's role has a condition, nothing is asked of the database
   and nothing is worked out.
"""

import datetime as dt
from contextlib import nullcontext
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access.circumstances import Moment, holding, today
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.audit.errors import DetailRefused
from cdp.errors import Refused, Stop
from cdp.storage.schema import roster
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import NO_CIRCUMSTANCES, Action, Circumstances, FieldClass, Purpose


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody is at a node on a day."""

    principal: str
    day: dt.date
    node: str


def present(
    workspace: Workspace,
    subject: Subject,
    address: str | None,
    connection: sa.Connection | None = None,
) -> Subject:
    """Return the subject with what holds for them now, of all that their role's lines need.

    Args:
        workspace: whose policy, organisation, shifts, roster and clock.
        subject: who asks.
        address: of the connection: never what a header says. `THIS_MACHINE` for a command.
        connection: to read the roster with; None: one of its own.
    """
    needed = workspace.policy.needed.get(subject.role, NO_CIRCUMSTANCES)
    if not needed:
        return subject
    now, declared = workspace.now(), workspace.declaration.principals.get(subject.id)
    rostered = Circumstances.AT_STORE in needed and _is_rostered(
        workspace, subject, now, connection
    )
    held = holding(
        needed,
        workspace.declaration.organisation,
        subject.node,
        declared.shifts if declared else (),
        Moment(now, address, rostered),
    )
    return replace(subject, circumstances=held)


def put(connection: sa.Connection, workspace: Workspace, subject: Subject, line: Line) -> None:
    """Write a line of the roster.

    Raises:
        Refused: the subject may not configure; its event is to be committed all the same.
        Stop: there is no such principal or node, or the node has no time zone.
    """
    attempt = _permitted(connection, workspace, subject, "roster.set")
    workspace.declaration.principal(line.principal)
    organisation = workspace.declaration.organisation
    if line.node not in organisation.nodes:
        raise Stop("unknown_node", "use a node of the organisation", node=line.node)
    if organisation.time_zone(line.node) is None:
        step = "give the node, or one above it, a time_zone"
        raise Stop("node_without_time_zone", step, node=line.node)
    log.append(connection, attempt.allowed("", (), _told(line)))
    written = insert(roster).values(
        principal=line.principal, day=line.day, node=line.node, set_by=subject.id, at=attempt.at
    )
    connection.execute(written.on_conflict_do_nothing())


def clear(
    connection: sa.Connection, workspace: Workspace, subject: Subject, principal: str, day: dt.date
) -> int:
    """Take somebody's lines of a day away; return how many there were.

    Raises:
        Refused: the subject may not configure; its event is to be committed all the same.
    """
    attempt = _permitted(connection, workspace, subject, "roster.clear")
    log.append(connection, attempt.allowed("", ()))
    gone = sa.delete(roster).where(roster.c.principal == principal, roster.c.day == day)
    return connection.execute(gone).rowcount


def lines(connection: sa.Connection, since: dt.date, until: dt.date) -> list[Line]:
    """Return the roster of these days, both included."""
    rows = connection.execute(
        sa.select(roster.c.principal, roster.c.day, roster.c.node)
        .where(roster.c.day.between(since, until))
        .order_by(roster.c.day, roster.c.node, roster.c.principal)
    )
    return [Line(*row) for row in rows]


def _is_rostered(
    workspace: Workspace, subject: Subject, now: dt.datetime, connection: sa.Connection | None
) -> bool:
    day = today(workspace.declaration.organisation, subject.node, now)
    if day is None:
        return False
    line = sa.exists().where(
        roster.c.principal == subject.id, roster.c.day == day, roster.c.node == subject.node
    )
    given = nullcontext(connection) if connection is not None else workspace.engine.connect()
    with given as reading:
        return bool(reading.scalar(sa.select(line)))


def _permitted(
    connection: sa.Connection, workspace: Workspace, subject: Subject, action: str
) -> Attempt:
    policy = workspace.policy
    attempt = Attempt(subject, action, Purpose.SERVICE, policy.version, workspace.now(), None)
    configuring = Action.CONFIGURE, FieldClass.NONE, Purpose.SERVICE
    decision = policy.decide(subject, *configuring, None)
    if not decision.allowed:
        log.append(connection, attempt.denied(decision.reason.value))
        raise Refused(decision.reason.value, decision.reason.sentence)
    return attempt


def _told(line: Line) -> str | None:
    told = f"{line.principal} at {line.node}"
    try:
        event.screen(told)
    except DetailRefused:  # an id with many digits
        return None
    return told
