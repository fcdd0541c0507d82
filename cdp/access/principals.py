"""The people and systems that work with Kith.

``cdp.yaml`` says who they are; the table keeps their ids for keys and the audit log.

Invariants, each named by a test in ``tests/integration/access``:

1. Whoever is no longer in ``cdp.yaml`` has no subject, and their API keys are revoked.
2. A service gets the fields and the purpose of its destination's contract; without a
   destination it gets nothing.
"""

import datetime as dt
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.declaration import Declaration
from cdp.storage.schema import api_key, principal
from cdp.workspace import Workspace
from policies.decision import Subject
from policies.vocabulary import Role

_NO_FIELDS: Final[frozenset[str]] = frozenset()


def sync_principals(connection: sa.Connection, declaration: Declaration, now: dt.datetime) -> int:
    """Bring the table in line with ``cdp.yaml``; return how many principals changed.

    Somebody who left keeps a row while an API key names them; their keys are revoked.
    """
    declared = {
        one.id: {"role": one.role.value, "node": one.node, "destination": one.destination}
        for one in declaration.principals.values()
    }
    stored = {
        row.id: {"role": row.role, "node": row.node, "destination": row.destination}
        for row in connection.execute(sa.select(principal))
    }
    changed = {one: parts for one, parts in declared.items() if stored.get(one) != parts}
    if changed:
        fresh = insert(principal)
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=[principal.c.id],
                set_={name: fresh.excluded[name] for name in ("role", "node", "destination", "at")},
            ),
            [{"id": one, "at": now, **parts} for one, parts in changed.items()],
        )
    return len(changed) + _retire(connection, sorted(set(stored) - set(declared)), now)


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
    return revoked + removed


def subject_of(workspace: Workspace, principal_id: str) -> Subject:
    """Return who asks, as policies know them.

    Raises:
        Stop: ``cdp.yaml`` names no such principal.
    """
    declaration = workspace.declaration
    one = declaration.principal(principal_id)
    if one.role is not Role.SERVICE:
        return Subject(one.id, one.role.value, one.node)
    if one.destination is None:
        return Subject(one.id, one.role.value, one.node, _NO_FIELDS, None)
    contract = declaration.destinations[one.destination]
    return Subject(one.id, one.role.value, one.node, frozenset(contract.fields), contract.purpose)
