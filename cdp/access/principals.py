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
5. Whoever came by claims goes when the mapping of claims changes.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.access.circumstances import THIS_MACHINE
from cdp.access.roster import present
from cdp.declaration import Declaration
from cdp.errors import Refused
from cdp.storage.schema import account, api_key, principal, session
from cdp.vault import primitives
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Role

DECLARED: Final = "cdp.yaml"
_NO_FIELDS: Final[frozenset[str]] = frozenset()
_SESSIONS_KEPT: Final = dt.timedelta(days=7)  # after their end, for listings; the log keeps more
_SEPARATOR: Final = "/"  # between id and assignment on the command line


class Standing(NamedTuple):
    """A principal as the database knows them now."""

    id: str
    assignments: tuple[str, ...]  # role@node; one at least
    destination: str | None
    actions: frozenset[str] | None = None  # the only ones of the key that was used


def sync_principals(connection: sa.Connection, declaration: Declaration, now: dt.datetime) -> int:
    """Bring the table in line with ``cdp.yaml``; return how many principals changed.

    Somebody who left keeps a row while an API key names them; their keys are revoked.
    """
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
    if changed:
        fresh = insert(principal)
        taken = {n: fresh.excluded[n] for n in ("assignments", "destination", "origin", "at")}
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=[principal.c.id], set_={**taken, "subject": None}
            ),
            [{"id": one, "at": now, **parts} for one, parts in changed.items()],
        )
        # Whoever came by claims and is declared now starts anew, under what is declared.
        by_claims = [one for one in changed if one in stored and stored[one].origin != DECLARED]
        connection.execute(sa.delete(session).where(session.c.principal_id.in_(by_claims)))
    connection.execute(sa.delete(session).where(session.c.ends_at < now - _SESSIONS_KEPT))
    welcome = {DECLARED, origin_of(declaration)}
    left = [
        one
        for one, row in stored.items()
        if one not in declared and (row.origin == DECLARED or row.origin not in welcome)
    ]
    return len(changed) + _retire(connection, sorted(left), now)


def origin_of(declaration: Declaration) -> str:
    """The origin of whoever comes by claims: it changes with the mapping."""
    told = primitives.digest(repr(declaration.claims).encode()).hex()[:16]
    return f"oidc-{told}" if declaration.claims else "oidc"


def _retire(connection: sa.Connection, left: list[str], now: dt.datetime) -> int:
    if not left:
        return 0
    revoked = connection.execute(
        sa.update(api_key)
        .where(api_key.c.principal_id.in_(left), api_key.c.revoked_at.is_(None))
        .values(revoked_at=now)
    ).rowcount
    keyed = sa.exists().where(api_key.c.principal_id == principal.c.id)
    removed = connection.execute(
        sa.delete(principal).where(principal.c.id.in_(left), ~keyed)
    ).rowcount
    # Of those whose keys are kept on record, nothing lets them in.
    emptied = connection.execute(
        sa.update(principal)
        .where(principal.c.id.in_(left), principal.c.assignments != [])
        .values(assignments=[], destination=None, at=now)
    ).rowcount
    for table in (session, account):
        connection.execute(sa.delete(table).where(table.c.principal_id.in_(left)))
    return max(revoked, emptied) + removed


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
