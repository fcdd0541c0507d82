"""Group roles of the database: which parts a process that serves may read.

A role of PostgreSQL belongs to the whole server, so it is made where it is absent, by
whichever database comes first. Nobody logs in as one: a login is made a member, and a
process with such a login cannot read more, whatever is done to it. What each may read:

1. ``kith_counter``: of the vault the masked tier and the blind indexes of identifiers that
   clerks look up by, and of the data keys those of the masked tier. Of the other tiers it may
   read which fields a record has.
2. ``kith_contact``: also the contact tier, its data keys and its indexes.
3. ``kith_sensitive``: also the sensitive tier, its data keys and its indexes.
4. None may write anything but audit events, and never reads those again, and what signing in
   needs: sessions of its own role, counts of failures, which code and key was used. The latter
   two also write what was revealed, and ``kith_sensitive`` the requests for it.

Data keys stand in one table, and indexes in another, so their rows are kept apart by row-level
security. An index of ID numbers matters here: with the index key and what the mask shows, some
ten million tries find the number. Whose people a role meets, of all of them, is said
for each transaction: ``cdp/storage/scopes.py``.
"""

from contextlib import suppress
from typing import Final

import sqlalchemy as sa

from cdp.storage import scopes
from cdp.storage.metadata import KEYS, MAIN, VAULT
from cdp.storage.row_security import RowPolicy, keep
from cdp.storage.scopes import LOCATOR

COUNTER, CONTACT, SENSITIVE = "kith_counter", "kith_contact", "kith_sensitive"
ROLES: Final = (COUNTER, CONTACT, SENSITIVE)


def _has(role: str) -> str:
    return f"pg_has_role(session_user, '{role}', 'MEMBER')"


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
        role: f"tier IN ({', '.join(repr(tier) for tier in tiers)}) AND {scopes.SEEN_KEYS}"
        for role, tiers in _TIERS.items()
    },
    f"{VAULT}.blind_index": {
        COUNTER: f"field IN ({', '.join(map(repr, _LOOKED_UP))})",
        CONTACT: "field !~ 'national_id|bank_card'",
        SENSITIVE: "true",
        # What the login may look people up by, for the moment in which it looks.
        LOCATOR: f"(SELECT current_user = '{LOCATOR}') AND (field IN "
        f"({', '.join(map(repr, _LOOKED_UP))}) OR field !~ 'national_id|bank_card' AND "
        f"(SELECT {_has(CONTACT)} OR {_has(SENSITIVE)}) OR (SELECT {_has(SENSITIVE)}))",
    },
}
# What a served request reads of people, of who asks, and of how sources stand. Not: rejected
# rows, blocking keys, features, what was delivered, the outbox, decisions, the audit log.
_READ: Final = (
    *(
        f"{MAIN}.{name}"
        for name in (
            "account",
            "alembic_version",
            "api_key",
            "edge",
            "epoch",
            "job",
            "membership",
            "policy_activation",
            "policy_version",
            "principal",
            "profile",
            "redirect",
            "roster",
            "session",
            "shred",
            "sign_in_state",
            "source_finding",
            "source_watch",
            "sync_run",
            "tag",
            "throttle",
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
_BEGUN: Final = "id, digest, principal_id, method, assignments, created_at, seen_at, ends_at"
_GRANTS: Final = (
    f"GRANT USAGE ON SCHEMA {MAIN}, {VAULT}, {KEYS} TO {{role}}",
    f"GRANT SELECT ON {', '.join(_READ)} TO {{role}}",
    f"GRANT SELECT ({_RECORD}) ON {MAIN}.record TO {{role}}",
    f"GRANT SELECT ({_FIELDS}) ON {VAULT}.contact, {VAULT}.sensitive TO {{role}}",
    f"GRANT SELECT ON {KEYS}.data_key TO {{role}}",
    # How sources stand, for who watches them. Not what a feed's state says.
    f"GRANT SELECT (source, newest_at, at) ON {MAIN}.source_state TO {{role}}",
    f"GRANT INSERT, SELECT (id) ON {MAIN}.audit_event TO {{role}}",
    # Signing in. Not: a password, an assignment, a key, or who made a session.
    f"GRANT UPDATE (last_used_at) ON {MAIN}.api_key TO {{role}}",
    f"GRANT UPDATE (totp_step, recovery) ON {MAIN}.account TO {{role}}",
    f"GRANT INSERT ({_BEGUN}) ON {MAIN}.session TO {{role}}",
    f"GRANT UPDATE (acting_as, seen_at, ended_at) ON {MAIN}.session TO {{role}}",
    f"GRANT INSERT (id, origin, subject, at) ON {MAIN}.principal TO {{role}}",
    f"GRANT UPDATE (origin, subject, at) ON {MAIN}.principal TO {{role}}",
    f"GRANT INSERT, UPDATE, DELETE ON {MAIN}.throttle TO {{role}}",
    f"GRANT INSERT, DELETE ON {MAIN}.sign_in_state TO {{role}}",
)
# Who may reveal is counted. Requests for the sensitive tier are kept by who can open it.
_COUNTED: Final = f"GRANT SELECT, INSERT ON {MAIN}.reveal TO {{role}}"
_ASKED: Final = f"GRANT SELECT, INSERT, UPDATE ON {MAIN}.reveal_request TO {{role}}"
_REVEALS: Final = {COUNTER: (), CONTACT: (_COUNTED,), SENSITIVE: (_COUNTED, _ASKED)}
_CELLS: Final = {
    role: (*(f"GRANT SELECT ON {VAULT}.{tier} TO {{role}}" for tier in tiers), *_REVEALS[role])
    for role, tiers in _TIERS.items()
}
_ABSENT: Final = sa.text(
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name "
    "WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY name"
)
_MEMBER: Final = sa.text(
    "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role) "
    "AND pg_has_role(session_user, :role, CASE WHEN "
    "CAST(current_setting('server_version_num') AS int) < 160000 THEN 'MEMBER' ELSE 'SET' END)"
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
    locator = not lacking and (_is_there(connection, LOCATOR) or _create(connection, LOCATOR))
    for role in there:
        grants = "; ".join((*_GRANTS, *_CELLS[role]))
        connection.execute(sa.text(grants.format(role=role)))
        _join(connection, role)
    named = (*there, *((LOCATOR,) if locator else ()))
    wanted = {
        table: [RowPolicy(one, one, rows[one]) for one in named if one in rows]
        for table, rows in _ROWS.items()
    }
    keep(connection, wanted, forced=False)
    scopes.prepare(connection, there, locator=locator)


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


def _is_there(connection: sa.Connection, role: str) -> bool:
    return not connection.scalars(_ABSENT, {"names": [role]}).all()


def _join(connection: sa.Connection, role: str) -> None:
    """Let who prepares the database take the role, as its requests do, where that is possible."""
    if may_take(connection, role):
        return
    with suppress(sa.exc.DBAPIError), connection.begin_nested():
        connection.execute(sa.text(f"GRANT {role} TO CURRENT_USER"))
