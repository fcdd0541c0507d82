"""Whose people a transaction sees: row-level security, the second line behind the row filter.

The first line is in ``cdp/access/rows.py``. Here the database itself asks, row by row, what the
transaction said of its scope.

Invariants, each named by a test in ``tests/integration/test_people_rows.py``:

1. A connection that says nothing, or something garbled, sees nobody and changes nobody.
2. ``all`` is for pipelines, which say it when they connect, and counts for the owner of the
   tables alone. A request is answered under a group role: where it forgets to say whose
   people it may meet, it meets nobody.
3. A subject's scope is said for one transaction and ends with it.
4. Whoever looks for a person by id or identifier does so under `LOCATOR`, which reads ids,
   stores and purposes of everybody and nothing else of them.
5. The owner of the tables is bound too, unless it is a superuser.
6. The setting is read once in a statement, and the index on ``profile.stores`` can be used.

It is a second line against a forgotten filter and a condition that came in from outside. It is
none against somebody who runs statements of their own: the setting is not a secret.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from cdp.storage.metadata import KEYS, MAIN, VAULT
from cdp.storage.row_security import RowPolicy, keep
from cdp.storage.statements import Statement, send

SETTING: Final = "kith.scope"
PIPELINES, EVERYBODY, LOCATING = "all", "everybody", "locating"
LOCATOR: Final = "kith_locator"

_STORES, _BETWEEN = "stores:", ","
_SAID: Final = f"current_setting('{SETTING}', true)"
_IS_EVERYBODY: Final = f"{_SAID} = '{EVERYBODY}'"
_IS_LOCATING: Final = f"{_SAID} = '{LOCATING}' AND current_user = '{LOCATOR}'"
_IS_PIPELINE: Final = f"{_SAID} IN ('{PIPELINES}', '{EVERYBODY}')"
_NEAR: Final = (
    f"stores && (SELECT string_to_array(substr({_SAID}, {len(_STORES) + 1}), '{_BETWEEN}') "
    f"WHERE starts_with({_SAID}, '{_STORES}'))"
)


def _whole(condition: str) -> str:
    """Everybody, under a condition that is read once.

    Said so that the index on stores can answer it as it answers `_NEAR`: every array contains
    the empty one, and nothing is known to contain null.
    """
    return f"stores @> (SELECT CAST('{{}}' AS text[]) WHERE {condition})"


def _once(condition: str) -> str:
    return f"(SELECT true WHERE {condition})"


# Rows of a person who is seen: the policies of the table asked decide who that is.
_OF_PROFILE: Final = f"EXISTS (SELECT FROM {MAIN}.profile AS one WHERE one.id = {{own}}.profile_id)"
_OF_RECORD: Final = (
    f"EXISTS (SELECT FROM {MAIN}.membership AS one WHERE one.record_id = {{own}}.{{column}})"
)
_OWN: Final = {
    f"{MAIN}.tag": _OF_PROFILE.format(own="tag"),
    f"{MAIN}.membership": _OF_PROFILE.format(own="membership"),
    f"{MAIN}.record": _OF_RECORD.format(own="record", column="id"),
    f"{KEYS}.data_key": _OF_RECORD.format(own="data_key", column="record_id"),
    # Those of nobody yet are seen by pipelines alone.
    f"{MAIN}.event": _OF_RECORD.format(own="event", column="record_id"),
    f"{MAIN}.event_device": _OF_RECORD.format(own="event_device", column="record_id"),
}
_PROFILE: Final = f"{MAIN}.profile"
_LOCATED: Final = (_PROFILE, f"{MAIN}.membership", f"{MAIN}.record")
FORCED: Final = (_PROFILE, *_OWN)
"""The tables that hold or open what is known of people: their owner is bound too."""

SEEN_KEYS: Final = f"({_once(_IS_EVERYBODY)} OR {_OWN[f'{KEYS}.data_key']})"
"""The data keys of people who are seen; ``roles.py`` adds of which tier."""

_LOCATOR_READS: Final = (
    f"GRANT USAGE ON SCHEMA {MAIN}, {VAULT} TO {LOCATOR}",
    f"GRANT SELECT (id, stores, purposes) ON {MAIN}.profile TO {LOCATOR}",
    f"GRANT SELECT (record_id, profile_id) ON {MAIN}.membership TO {LOCATOR}",
    f"GRANT SELECT (id, state, purposes, refused) ON {MAIN}.record TO {LOCATOR}",
    f"GRANT SELECT (old_id, new_id) ON {MAIN}.redirect TO {LOCATOR}",
    f"GRANT SELECT ON {VAULT}.blind_index TO {LOCATOR}",
)
_HAS_LOCATOR: Final = sa.text(f"SELECT pg_has_role(CAST(:role AS name), '{LOCATOR}', 'MEMBER')")
_INHERIT_FALSE: Final = 160000  # the version from which a grant says so itself
_OWNERS: Final = sa.text(
    "SELECT asked.name, quote_ident(pg_get_userbyid(relowner)) "
    "FROM unnest(CAST(:tables AS text[])) AS asked(name) "
    "JOIN pg_class ON oid = CAST(asked.name AS regclass)"
)


# ── policies ────────────────────────────────────────────────────────────────


def prepare(connection: sa.Connection, serving: Sequence[str], *, locator: bool) -> None:
    """Let every table of people have its policies. Safe to run again.

    Args:
        connection: of the owner of the tables.
        serving: the group roles that are there.
        locator: whether `LOCATOR` is.
    """
    if locator:
        connection.execute(sa.text("; ".join(_LOCATOR_READS)))
        for role in serving:
            # Who did not make the roles may not grant them, and need not where that is done.
            if not connection.scalar(_HAS_LOCATOR, {"role": role}):
                _let_take(connection, role)
    owners = {row[0]: str(row[1]) for row in connection.execute(_OWNERS, {"tables": [*FORCED]})}
    wanted = {}
    for table in FORCED:
        wanted[table] = [RowPolicy("kith_owner", owners[table], _seen(table, _IS_PIPELINE), "ALL")]
        if serving and table != f"{KEYS}.data_key":
            seen = _seen(table, _IS_EVERYBODY)
            wanted[table].append(RowPolicy("kith_people", ", ".join(serving), seen))
        if locator and table in _LOCATED:
            whole = _whole(_IS_LOCATING) if table == _PROFILE else _once(_IS_LOCATING)
            wanted[table].append(RowPolicy(LOCATOR, LOCATOR, whole))
    keep(connection, wanted, forced=True)


def _let_take(connection: sa.Connection, role: str) -> None:
    """Let a role take `LOCATOR` without being it: its policies would be weighed every time."""
    version = connection.scalar(sa.text("SELECT current_setting('server_version_num')")) or ""
    if int(version) < _INHERIT_FALSE:
        connection.execute(sa.text(f"ALTER ROLE {role} NOINHERIT"))
        connection.execute(sa.text(f"GRANT {LOCATOR} TO {role}"))
    else:
        connection.execute(sa.text(f"GRANT {LOCATOR} TO {role} WITH INHERIT FALSE"))


def _seen(table: str, everybody: str) -> str:
    if table == _PROFILE:
        return f"{_whole(everybody)} OR {_NEAR}"
    return f"{_once(everybody)} OR {_OWN[table]}"


# ── what a transaction says ─────────────────────────────────────────────────

# The role is taken where it is there and this login may: elsewhere the login's own rows count,
# and its scope is narrowed all the same. Before version 16 who is a member may take a role.
_TAKE: Final = """
    SELECT set_config('role', coalesce(
               (SELECT CAST(rolname AS text) FROM pg_catalog.pg_roles
                 WHERE rolname = $1 AND pg_catalog.pg_has_role(session_user, oid,
                       CASE WHEN CAST(current_setting('server_version_num') AS int) < 160000
                            THEN 'MEMBER' ELSE 'SET' END)),
               current_setting('role')), true),
"""
_LOCATE: Final = Statement(
    "locate_people",
    ("text",),
    f"""{_TAKE}
           set_config('{SETTING}', CASE current_user WHEN $1 THEN '{LOCATING}'
                                                     ELSE '{PIPELINES}' END, true)
    """,
)
_NARROW: Final = Statement(
    "narrow_people",
    ("text", "text", "text"),
    f"""{_TAKE} set_config('{SETTING}', $2, true),
           set_config('enable_bitmapscan', $3, true), set_config('enable_sort', $3, true),
           set_config('jit', 'off', true)""",  # it compiles for seconds what runs for moments
)


def locate(connection: sa.Connection) -> None:
    """See ids, stores and purposes of everybody until `narrow`, and nothing else of people."""
    send(connection, _LOCATE, LOCATOR)


def narrow(
    connection: sa.Connection, role: str, stores: Iterable[str] | None, *, many: bool
) -> None:
    """See no other people until the transaction ends, nor more than the role may.

    Args:
        connection: in a transaction, which whoever called goes on with or ends.
        role: a group role, taken if it is there and the login may.
        stores: whose people are seen; None: everybody, those without a store too.
        many: these are a good part of all people. The database cannot know how many a setting
            lets through and takes them for few: to show a page it would gather and sort them
            all, where walking along an index finds fifty at once.
    """
    send(connection, _NARROW, role, said(stores), "off" if many else "on")


def said(stores: Iterable[str] | None) -> str:
    """What the setting holds for a scope; no stores are nobody.

    A store's id cannot hold what parts the ids (``policies.organisation``). One that does
    stands for nobody here.
    """
    if stores is None:
        return EVERYBODY
    return _STORES + _BETWEEN.join(sorted(one for one in stores if one and _BETWEEN not in one))
