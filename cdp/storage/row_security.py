"""Row policies of tables, brought to what this release says and left alone where they are that.

Invariants, each named by a test in ``tests/integration/test_role_policies.py``:

1. What an earlier release, or somebody by hand, let a role see is narrowed again.
2. A policy that is as it must be is not made anew: that would lock its table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

_SECURED: Final = sa.text(
    """
    SELECT asked.name, relrowsecurity, relforcerowsecurity
      FROM unnest(CAST(:tables AS text[])) AS asked(name)
      JOIN pg_class ON oid = CAST(asked.name AS regclass)
    """
)
_POLICIES: Final = sa.text(
    """
    SELECT asked.name, polname, polcmd, polpermissive, CAST(CAST(polroles AS regrole[]) AS text),
           pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
      FROM unnest(CAST(:tables AS text[])) AS asked(name)
      JOIN pg_policy ON polrelid = CAST(asked.name AS regclass)
    """
)
_PROBE: Final = "_as_kept"
_Kept = dict[tuple[str, str], tuple[object, ...]]  # by table and name


class RowPolicy(NamedTuple):
    """Which rows of a table somebody may see; for ``ALL``, also write."""

    name: str
    role: str  # a group role, or PUBLIC
    seen: str  # a condition in SQL
    command: str = "SELECT"


def keep(
    connection: sa.Connection, wanted: Mapping[str, Sequence[RowPolicy]], *, forced: bool
) -> None:
    """Let tables have these policies, and those of other names as they are.

    Args:
        connection: of the tables' owner.
        wanted: of each table, with its schema, the policies; several that hold for somebody let
            through what any of them does.
        forced: bind the owner of the tables too, unless it is a superuser.
    """
    steps = [*_remade(connection, wanted), *_secured(connection, wanted, forced=forced)]
    if steps:
        connection.execute(sa.text("; ".join(steps)))


def _remade(connection: sa.Connection, wanted: Mapping[str, Sequence[RowPolicy]]) -> Iterator[str]:
    kept, right = _policies(connection, wanted), _as_kept(connection, wanted)
    for table, policies in wanted.items():
        for one in policies:
            place = table, one.name
            if place in kept and kept[place] != right[place]:
                yield f"DROP POLICY {one.name} ON {table}"
            if kept.get(place) != right[place]:
                yield _made(one, table)


def _secured(connection: sa.Connection, tables: Iterable[str], *, forced: bool) -> Iterator[str]:
    for table, enabled, bound in connection.execute(_SECURED, {"tables": list(tables)}):
        if not enabled:
            yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        if forced and not bound:
            yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


def _made(one: RowPolicy, table: str) -> str:
    return f"CREATE POLICY {one.name} ON {table} FOR {one.command} TO {one.role} USING ({one.seen})"


def _policies(connection: sa.Connection, tables: Iterable[str]) -> _Kept:
    """The policies of these tables, as PostgreSQL keeps them."""
    found = connection.execute(_POLICIES, {"tables": list(tables)})
    return {(row[0], row[1]): tuple(row[2:]) for row in found}


def _as_kept(connection: sa.Connection, wanted: Mapping[str, Sequence[RowPolicy]]) -> _Kept:
    """What PostgreSQL keeps of these policies.

    It keeps a condition in words of its own, so it is asked, on tables that never come to be.
    """
    probes = {f"{table}{_PROBE}": table for table in wanted}
    with connection.begin_nested() as undone:
        connection.execute(
            sa.text("; ".join(step for table in wanted for step in _tried(table, wanted[table])))
        )
        found = _policies(connection, probes)
        undone.rollback()
    return {
        (probes[probe], name): tuple(_renamed(part, probes[probe]) for part in parts)
        for (probe, name), parts in found.items()
    }


def _tried(table: str, policies: Sequence[RowPolicy]) -> Iterator[str]:
    """Make a table like this one, with these policies."""
    probe, own = f"{table}{_PROBE}", table.rpartition(".")[2]
    yield f"CREATE TABLE {probe} (LIKE {table})"
    for one in policies:
        condition = one.seen.replace(f"{own}.", f"{own}{_PROBE}.")
        yield _made(one._replace(seen=condition), probe)


def _renamed(part: object, table: str) -> object:
    own = table.rpartition(".")[2]
    return part.replace(f"{own}{_PROBE}", own) if isinstance(part, str) else part
