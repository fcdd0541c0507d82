"""Which people a subject meets: one scope, kept twice.

First line: every SELECT of people goes through `People`, a session that adds the criterion of
the scope and of the consent to whatever is asked. Second line: the database is told the same
scope and lets no other row through (``cdp/storage/scopes.py``), so that what slips past the
first line meets nobody else either.

Invariants, each named by a test in ``tests/integration/access/test_rows.py``:

1. The criterion cannot be forgotten: it is in every SELECT of a `Person`, also in those inside
   another one. A statement that would ask for people in any other way, or under another name,
   is refused before it is sent.
2. An empty scope is false, never absent.
3. Both lines are told the same scope, by one call, before anybody is loaded or opened.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import visitors

from cdp.storage import roles, scopes
from cdp.storage.schema import profile
from cdp.workspace import Workspace
from policies.decision import Scope
from policies.vocabulary import NodeKind

_MANY: Final = 20  # above a twentieth of all stores, a scope counts as many people


class Person:
    """A row of ``profile``, as `People` asks for it: by its columns, never whole."""

    id: orm.Mapped[str]
    stores: orm.Mapped[list[str]]
    attributes: orm.Mapped[dict[str, Any]]
    purposes: orm.Mapped[list[str]]


orm.registry().map_imperatively(Person, profile)


class People(orm.Session):
    """Asks for people, and is answered about those of one scope and purpose.

    It lives in the transaction of its connection, and neither begins nor ends one.
    """

    def __init__(self, connection: sa.Connection, scope: Scope, consent: str | None) -> None:
        """Ask on ``connection`` for people of ``scope`` who agreed to ``consent``, if named."""
        super().__init__(connection, autoflush=False, join_transaction_mode="rollback_only")
        self.criterion = sa.and_(inside(scope), agreed(consent))


@sa.event.listens_for(People, "do_orm_execute")
def _narrowed(asked: orm.ORMExecuteState) -> None:
    """Add the criterion, or refuse a statement that it could not be added to (invariant 1)."""
    people, statement = asked.session, asked.statement
    if not (isinstance(people, People) and isinstance(statement, sa.SelectBase)):
        raise TypeError("people are asked for by a SELECT")
    if not asked.is_orm_statement or any(map(_is_unfiltered, visitors.iterate(statement))):
        raise TypeError("people are asked for as Person: of the table nothing is filtered")
    asked.statement = statement.options(orm.with_loader_criteria(Person, people.criterion))


def _is_unfiltered(part: object) -> bool:
    """Say whether a part of a statement is the table, its column or its alias, and no `Person`."""
    if isinstance(part, sa.Select):
        return not part._propagate_attrs and profile in part.get_final_froms()  # noqa: SLF001
    if isinstance(part, sa.Alias):
        # In the condition of a join the criterion would be about the table, not the alias.
        return isinstance(part.element, sa.Table) and part.element.fullname == profile.fullname
    if not isinstance(part, sa.Column) or "parententity" in part._annotations:  # noqa: SLF001
        return False
    return part.table is profile


def enter(
    connection: sa.Connection, workspace: Workspace, scope: Scope, consent: str | None = None
) -> People:
    """Meet nobody outside the scope until the transaction ends, and ask for people inside it.

    Args:
        connection: in a transaction.
        workspace: whose process takes its role in the database.
        scope: of the subject.
        consent: the purpose that people must have agreed to; None: none is needed.
    """
    stores = None if scope.all else scope.stores
    role = workspace.role.database or roles.SENSITIVE
    nodes = workspace.declaration.organisation.nodes.values()
    every = sum(1 for node in nodes if node.kind is NodeKind.STORE)
    many = scope.all or len(scope.stores) * _MANY > every
    scopes.narrow(connection, role, stores, many=many)
    return People(connection, scope, consent)


def inside(scope: Scope) -> sa.ColumnElement[bool]:
    """Return the row filter of a scope. An empty scope is false, never absent."""
    if scope.all:
        return sa.true()
    if not scope.stores:
        return sa.false()
    shared: sa.ColumnElement[bool] = profile.c.stores.overlap(sorted(scope.stores))
    return shared


def agreed(purpose: str | None) -> sa.ColumnElement[bool]:
    """Return the filter of the people who agreed to a purpose; everybody for None."""
    if purpose is None:
        return sa.true()
    return profile.c.purposes.contains(sa.literal([purpose], ARRAY(sa.Text)))
