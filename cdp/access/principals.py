"""The people and systems that work with Kith, and what each may act as.

``cdp.yaml`` says who they are. The table is what a running process goes by: it is read in the
statement that finds a key or a session, so that whoever was moved is moved in their next
request, and whoever left is refused in it, in every process.

Invariants, each named by a test in ``tests/integration/access`` or ``signing_in`` beside it:

1. Whoever is no longer in ``cdp.yaml`` has no subject; their API keys are revoked, their
   sessions ended and their account is gone.
2. A service gets the fields and the purpose of its destination's contract; without a
   destination it gets nothing.
3. One request acts under one assignment: the one that was chosen, else the first. Only one's
   own can be chosen.
4. A node or a destination that this process does not know is refused, with the next step.
5. Whoever came by claims is out when the mapping of claims changes, and when they are declared,
   in any spelling. Their name stays theirs.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access.circumstances import THIS_MACHINE
from cdp.access.roster import present
from cdp.declaration import Declaration
from cdp.errors import Refused
from cdp.storage.locks import until_commit
from cdp.storage.schema import account, api_key, principal, session, workspace
from cdp.vault import primitives
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Role

DECLARED: Final = "cdp.yaml"
SYNC: Final = "principals"
"""The lock that a sync has alone, and that whoever lets people in by claims shares."""
_NO_FIELDS: Final[frozenset[str]] = frozenset()
_SESSIONS_KEPT: Final = dt.timedelta(days=7)  # after their end, for listings; the log keeps more
_SEPARATOR: Final = "/"  # between id and assignment on the command line


class Standing(NamedTuple):
    """A principal as the database knows them now."""

    id: str
    assignments: tuple[str, ...]  # role@node; one at least
    destination: str | None
    actions: frozenset[str] | None = None  # the only ones of the key that was used


class Change(NamedTuple):
    """What a sync changed of one principal; nothing changed for whom the mapping did."""

    id: str
    before: str  # what they may act as, such as ``clerk BJ01, manager BJ02``; empty: nothing
    after: str


def sync_principals(
    connection: sa.Connection, declaration: Declaration, now: dt.datetime
) -> tuple[Change, ...]:
    """Bring the table in line with ``cdp.yaml``; return who changed, in the order of ids.

    Somebody who left keeps a row while an API key names them or they are locked; their keys are
    revoked. Somebody of the identity provider keeps their name whatever the mapping says: only
    their sessions end with it.

    Raises:
        Refused: another sync is under way and does not end.
    """
    until_commit(connection, SYNC, "wait until the other sync has ended, then try again")
    origin = origin_of(declaration)
    connection.execute(sa.update(workspace).values(claims_origin=origin))
    declared = {
        one.id: {
            "assignments": [each.text for each in one.assignments],
            "destination": one.destination,
            "origin": DECLARED,
        }
        for one in declaration.principals.values()
    }
    columns = principal.c.id, principal.c.assignments, principal.c.destination, principal.c.origin
    stored = {row.id: row for row in connection.execute(sa.select(*columns))}
    changed = {
        one: parts
        for one, parts in declared.items()
        if one not in stored or any(getattr(stored[one], k) != v for k, v in parts.items())
    }
    _enter(connection, changed, now)
    # Whoever came by claims and is declared now, in any spelling, starts anew under that.
    folded = {one.lower() for one in declared}
    claimed = [row for row in stored.values() if row.origin != DECLARED]
    by_claims = [row.id for row in claimed if row.id.lower() in folded]
    over = sa.or_(session.c.principal_id.in_(by_claims), session.c.ends_at < now - _SESSIONS_KEPT)
    connection.execute(sa.delete(session).where(over))
    left = {*by_claims, *(row.id for row in stored.values() if row.origin == DECLARED)}
    gone = _retire(connection, sorted(left - set(declared)), now)
    remapped = [row.id for row in claimed if row.id not in by_claims and row.origin != origin]
    _end_claimed(connection, remapped, origin, now)
    return tuple(
        Change(one, _words(stored.get(one)), _declared_words(declared.get(one)))
        for one in sorted({*changed, *gone, *remapped})
    )


def _enter(
    connection: sa.Connection, changed: Mapping[str, Mapping[str, object]], now: dt.datetime
) -> None:
    if not changed:
        return
    fresh = insert(principal)
    taken = {n: fresh.excluded[n] for n in ("assignments", "destination", "origin", "at")}
    connection.execute(
        fresh.on_conflict_do_update(
            index_elements=[principal.c.id], set_={**taken, "subject": None}
        ),
        [{"id": one, "at": now, **parts} for one, parts in changed.items()],
    )


def _end_claimed(
    connection: sa.Connection, names: list[str], origin: str, now: dt.datetime
) -> None:
    """End the sessions that another mapping gave, and keep whose each name is."""
    theirs = session.c.principal_id.in_(names), session.c.ended_at.is_(None)
    connection.execute(sa.update(session).where(*theirs).values(ended_at=now))
    connection.execute(sa.update(principal).where(principal.c.id.in_(names)).values(origin=origin))


def _words(row: Any) -> str:
    return "" if row is None else _said(row.assignments, row.destination)


def _declared_words(parts: Mapping[str, Any] | None) -> str:
    return "" if parts is None else _said(parts["assignments"], parts["destination"])


def _said(assignments: Sequence[str], destination: str | None) -> str:
    """As the audit log can hold it, which takes what has an @ for an address of mail."""
    roles = ", ".join(one.replace("@", " ") for one in assignments)
    return f"{roles} to {destination}" if roles and destination else roles


def origin_of(declaration: Declaration) -> str:
    """The origin of whoever comes by claims: it changes with the mapping."""
    told = primitives.digest(repr(declaration.claims).encode()).hex()[:16]
    return f"oidc-{told}" if declaration.claims else "oidc"


def _retire(connection: sa.Connection, left: list[str], now: dt.datetime) -> set[str]:
    """Take from whoever left all that lets them in; return of whom anything was taken."""
    if not left:
        return set()
    revoked = connection.scalars(
        sa.update(api_key)
        .where(api_key.c.principal_id.in_(left), api_key.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(api_key.c.principal_id)
    ).all()
    keyed = sa.exists().where(api_key.c.principal_id == principal.c.id)
    forgotten = principal.c.id.in_(left), ~keyed, principal.c.locked_at.is_(None)
    removed = connection.scalars(
        sa.delete(principal).where(*forgotten).returning(principal.c.id)
    ).all()
    # Of those whose keys are kept on record, nothing lets them in.
    emptied = connection.scalars(
        sa.update(principal)
        .where(principal.c.id.in_(left), principal.c.assignments != [])
        .values(assignments=[], destination=None, at=now)
        .returning(principal.c.id)
    ).all()
    for table in (session, account):
        connection.execute(sa.delete(table).where(table.c.principal_id.in_(left)))
    return {*revoked, *removed, *emptied}


def chosen(assignments: Sequence[str], wanted: str | None) -> str | None:
    """Return the assignment to act under: the wanted one, else the first; None: not theirs."""
    if wanted is None:
        return assignments[0] if assignments else None
    return wanted if wanted in assignments else None


def acting(standing: Standing, assignment: str, declaration: Declaration) -> Subject:
    """Return who asks, as policies know them, under one of their assignments.

    Args:
        standing: as read from the database.
        assignment: as `chosen` gave it.
        declaration: that this process works with; the database may know a newer one.

    Raises:
        Refused: this process does not know the node or the destination.
    """
    role, _, node = assignment.partition("@")
    if node not in declaration.organisation.nodes:
        raise _unknown_here("node_unknown_here", node)
    if role != Role.SERVICE:
        return Subject(standing.id, role, node, actions=standing.actions)
    if standing.destination is None:
        return Subject(standing.id, role, node, _NO_FIELDS, None, actions=standing.actions)
    contract = declaration.destinations.get(standing.destination)
    if contract is None:
        raise _unknown_here("destination_unknown_here", standing.destination)
    fields, purpose = frozenset(contract.fields), contract.purpose
    return Subject(standing.id, role, node, fields, purpose, actions=standing.actions)


def _unknown_here(rule: str, name: str) -> Refused:
    step = "restart this process: it was started with an older cdp.yaml than was synced since"
    return Refused(rule, step, name=name)


def subject_of(workspace: Workspace, who: str) -> Subject:
    """Return who asks on the command line: ``zhang``, or ``zhang/manager@BJ01``.

    Raises:
        Stop: ``cdp.yaml`` names no such principal.
        Refused: the principal does not hold that assignment.
    """
    name, _, wanted = who.partition(_SEPARATOR)
    declaration = workspace.declaration
    one = declaration.principal(name)
    assignments = tuple(each.text for each in one.assignments)
    assignment = chosen(assignments, wanted or None)
    if assignment is None:
        mine = ", ".join(f"{name}{_SEPARATOR}{each}" for each in assignments)
        raise Refused("not_your_assignment", f"use one of: {mine}", principal=name)
    subject = acting(Standing(name, assignments, one.destination), assignment, declaration)
    return present(workspace, subject, THIS_MACHINE)
