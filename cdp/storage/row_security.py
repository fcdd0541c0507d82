"""Row policies of tables, brought to what this release says and left alone where they are that.

Invariants, each named by a test in ``tests/integration/test_role_policies.py``:

1. What an earlier release, or somebody by hand, let a role see is narrowed again.
2. A policy that is as it must be is not made anew: that would lock its table.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

_SECURED: Final = sa.text(
    "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = CAST(:table AS regclass)"
)
_POLICIES: Final = sa.text(
    """
    SELECT polname, polcmd, polpermissive, CAST(CAST(polroles AS regrole[]) AS text),
           pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
      FROM pg_policy WHERE polrelid = CAST(:table AS regclass)
    """
)
_PROBE: Final = "_as_kept"
_Kept = dict[str, tuple[object, ...]]


class RowPolicy(NamedTuple):
    """Which rows of a table somebody may see; for ``ALL``, also write."""

    name: str
    role: str  # a group role, or PUBLIC
    seen: str  # a condition in SQL
    command: str = "SELECT"


def keep(
    connection: sa.Connection, table: str, wanted: Sequence[RowPolicy], *, forced: bool
) -> None:
    """Let a table have these policies, and those of other names as they are.

    Args:
        connection: of the table's owner.
        table: with its schema.
        wanted: the policies; several that hold for somebody let through what any of them does.
        forced: bind the owner of the table too, unless it is a superuser.
    """
    kept, right = _policies(connection, table), _as_kept(connection, table, wanted)
    for one in wanted:
        if one.name in kept and kept[one.name] != right[one.name]:
            connection.execute(sa.text(f"DROP POLICY {one.name} ON {table}"))
        if kept.get(one.name) != right[one.name]:
            connection.execute(sa.text(_made(one, table)))
    enabled, bound = connection.execute(_SECURED, {"table": table}).one()
    if not enabled:
        connection.execute(sa.text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
    if forced and not bound:
        connection.execute(sa.text(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))


def _made(one: RowPolicy, table: str) -> str:
    return f"CREATE POLICY {one.name} ON {table} FOR {one.command} TO {one.role} USING ({one.seen})"


def _policies(connection: sa.Connection, table: str) -> _Kept:
    """The policies of a table by name, as PostgreSQL keeps them."""
    return {row[0]: tuple(row[1:]) for row in connection.execute(_POLICIES, {"table": table})}


def _as_kept(connection: sa.Connection, table: str, wanted: Sequence[RowPolicy]) -> _Kept:
    """What PostgreSQL keeps of these policies.

    It keeps a condition in words of its own, so it is asked, on a table that never comes to be.
    """
    probe, own = f"{table}{_PROBE}", table.rpartition(".")[2]
    with connection.begin_nested() as undone:
        connection.execute(sa.text(f"CREATE TABLE {probe} (LIKE {table})"))
        for one in wanted:
            condition = one.seen.replace(f"{own}.", f"{own}{_PROBE}.")
            connection.execute(sa.text(_made(one._replace(seen=condition), probe)))
        found = _policies(connection, probe)
        undone.rollback()
    return {
        name: tuple(
            part.replace(f"{own}{_PROBE}", own) if isinstance(part, str) else part for part in parts
        )
        for name, parts in found.items()
    }
