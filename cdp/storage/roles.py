"""Group roles of the database: which parts a process that serves may read.

A role of PostgreSQL belongs to the whole server, so it is made where it is absent, by
whichever database comes first. Nobody logs in as one: a login is made a member, and a
process with such a login cannot read more, whatever is done to it. What each may read:

1. ``kith_counter``: of the vault the masked tier and the blind indexes of identifiers that
   clerks look up by, and of the data keys those of the masked tier. Of the other tiers it may
   read which fields a record has.
2. ``kith_contact``: also the contact tier, its data keys and its indexes.
3. ``kith_sensitive``: also the sensitive tier, its data keys and its indexes.
4. None may write anything but audit events, nor read those again.

Data keys stand in one table, and indexes in another, so their rows are kept apart by row-level
security. It does not bind the owner of the tables: whoever migrates, syncs and resolves. An
index of ID numbers matters here: with the index key and what the mask shows, some ten million
tries find the number.
"""

from typing import Final

import sqlalchemy as sa

from cdp.storage.metadata import KEYS, MAIN, VAULT

COUNTER, CONTACT, SENSITIVE = "kith_counter", "kith_contact", "kith_sensitive"
ROLES: Final = (COUNTER, CONTACT, SENSITIVE)

_TIERS: Final = {
    COUNTER: ("masked",),
    CONTACT: ("masked", "contact"),
    SENSITIVE: ("masked", "contact", "sensitive"),
}
_LOOKED_UP: Final = (
    "phone", "email", "loyalty_card", "buyer_id", "openid", "unionid", "external_userid",
)  # fmt: skip
# Which rows of a table each role may see. A compound index names its parts in its label.
_ROWS: Final = {
    f"{KEYS}.data_key": {
        role: f"tier IN ({', '.join(repr(tier) for tier in tiers)})"
        for role, tiers in _TIERS.items()
    },
    f"{VAULT}.blind_index": {
        COUNTER: f"field IN ({', '.join(map(repr, _LOOKED_UP))})",
        CONTACT: "field !~ 'national_id|bank_card'",
        SENSITIVE: "true",
    },
}
# What a served request reads of people, and of who asks. Not: rejected rows, blocking keys,
# features, what was delivered, the outbox, decisions, the audit log.
_READ: Final = (
    *(
        f"{MAIN}.{name}"
        for name in (
            "alembic_version",
            "api_key",
            "edge",
            "epoch",
            "membership",
            "principal",
            "profile",
            "redirect",
            "shred",
            "tag",
            "workspace",
        )
    ),
    f"{VAULT}.blind_index",
    f"{VAULT}.masked",
)
_RECORD: Final = (
    "id, source, revision, store, basis, purposes, refused, attributes, first_seen_at, "
    "last_seen_at, state"
)
_FIELDS: Final = "record_id, revision, fields"
_GRANTS: Final = (
    f"GRANT USAGE ON SCHEMA {MAIN}, {VAULT}, {KEYS} TO {{role}}",
    f"GRANT SELECT ON {', '.join(_READ)} TO {{role}}",
    f"GRANT SELECT ({_RECORD}) ON {MAIN}.record TO {{role}}",
    f"GRANT SELECT ({_FIELDS}) ON {VAULT}.contact, {VAULT}.sensitive TO {{role}}",
    f"GRANT SELECT ON {KEYS}.data_key TO {{role}}",
    f"GRANT INSERT, SELECT (id) ON {MAIN}.audit_event TO {{role}}",
)
_CELLS: Final = {
    role: tuple(f"GRANT SELECT ON {VAULT}.{tier} TO {{role}}" for tier in tiers)
    for role, tiers in _TIERS.items()
}
_ABSENT: Final = sa.text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name "
    "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY name"
)
_PROTECTED: Final = sa.text(
    "SELECT relrowsecurity FROM pg_class WHERE oid = CAST(:table AS regclass)"
)
_POLICIES: Final = sa.text(
    """
    SELECT polname, polcmd, polpermissive, CAST(CAST(polroles AS regrole[]) AS text),
           pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
      FROM pg_policy WHERE polrelid = CAST(:table AS regclass)
    """
)
_MEMBER: Final = sa.text(
    "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role) "
    "AND pg_has_role(session_user, :role, 'MEMBER')"
)
# Another database of the server was faster, or this user may not make roles: PostgreSQL
# manual, appendix A.
_THERE: Final = frozenset({"42710", "23505"})
_NOT_ALLOWED: Final = "42501"


def prepare(connection: sa.Connection) -> None:
    """Make the roles where they are absent, and grant them what they may read.

    Safe to run again, and to run in several databases of one server at once. Where this user
    may not make roles it goes on without them: see `absent`.
    """
    lacking = [name for name in absent(connection) if not _create(connection, name)]
    there = [name for name in ROLES if name not in lacking]
    for role in there:
        for grant in (*_GRANTS, *_CELLS[role]):
            connection.execute(sa.text(grant.format(role=role)))
    _keep_apart(connection, there)


def absent(connection: sa.Connection) -> tuple[str, ...]:
    """Return the roles that the server lacks."""
    return tuple(connection.scalars(_ABSENT, {"names": list(ROLES)}))


def may_take(connection: sa.Connection, role: str) -> bool:
    """Say whether the role is there and this login may take it."""
    if role in absent(connection):
        return False
    return bool(connection.scalar(_MEMBER, {"role": role}))


def _create(connection: sa.Connection, role: str) -> bool:
    """Make a role that was absent a moment ago; False where this user may not."""
    try:
        with connection.begin_nested():
            connection.execute(sa.text(f"CREATE ROLE {role} NOLOGIN"))
    except sa.exc.DBAPIError as error:
        code = getattr(error.orig, "pgcode", None)
        if code == _NOT_ALLOWED:
            return False
        if code not in _THERE:
            raise
    return True


def _keep_apart(connection: sa.Connection, there: list[str]) -> None:
    """Let each role see its rows, and no others that an earlier release let it see.

    Locks a table only where something changes.
    """
    for table, rows in _ROWS.items():
        kept, wanted = _policies(connection, table), _as_kept(connection, table, there)
        for role in there:
            if role in kept and kept[role] != wanted[role]:
                connection.execute(sa.text(f"DROP POLICY {role} ON {table}"))
            if kept.get(role) != wanted[role]:
                connection.execute(sa.text(_policy(role, table, rows[role])))
        if not connection.scalar(_PROTECTED, {"table": table}):
            connection.execute(sa.text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))


def _policy(role: str, table: str, seen: str) -> str:
    return f"CREATE POLICY {role} ON {table} FOR SELECT TO {role} USING ({seen})"


def _policies(connection: sa.Connection, table: str) -> dict[str, tuple[object, ...]]:
    """The policies of a table by name, as PostgreSQL keeps them."""
    return {row[0]: tuple(row[1:]) for row in connection.execute(_POLICIES, {"table": table})}


def _as_kept(
    connection: sa.Connection, table: str, there: list[str]
) -> dict[str, tuple[object, ...]]:
    """What PostgreSQL keeps of the policies of this release.

    It keeps a condition in words of its own, so it is asked, on a table that never comes to be.
    """
    probe = f"{table}_as_kept"
    with connection.begin_nested() as undone:
        connection.execute(sa.text(f"CREATE TABLE {probe} (LIKE {table})"))
        for role in there:
            connection.execute(sa.text(_policy(role, probe, _ROWS[table][role])))
        found = _policies(connection, probe)
        undone.rollback()
    return found
