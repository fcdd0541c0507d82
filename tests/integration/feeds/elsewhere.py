"""Somebody else's database, which a source reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from connectors.base import Deleted, Delivery, Finding, Mark, State
from connectors.credentials import Credentials, Reference
from connectors.declaration import parse_source
from connectors.record import Record, Rejection, Sensitive
from connectors.sources.sql_feed import SqlFeed

MEMBERS: dict[str, Any] = {
    "connector": "sql",
    "table": "crm.members",
    "mode": "incremental",
    "cursor": "updated_at",
    "record_id": "id",
    "fields": {"name": "name", "phone": "phone"},
    "credentials": {"dsn": "env:SOURCE_DSN"},
}
TABLE = """
CREATE SCHEMA crm;
CREATE TABLE crm.members (
    id bigint PRIMARY KEY, name text, phone text, updated_at timestamptz, left_at timestamptz
)
"""
WHY = "read in a test"


class Elsewhere:
    """A database with members, and feeds over it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.run(TABLE)

    def run(self, text: str, **values: Any) -> None:
        """Run statements."""
        with self._engine.begin() as connection:
            connection.execute(sa.text(text), values)

    def put(self, number: int, minute: float, name: str = "张敏", left: str | None = None) -> None:
        """Write a member as of a minute."""
        self.run(
            "INSERT INTO crm.members VALUES (:id, :name, :phone, "
            "timestamptz '2026-03-01 08:00Z' + make_interval(secs => :s), CAST(:l AS timestamptz)) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at,"
            " left_at = excluded.left_at",
            id=number,
            name=name,
            phone=f"139{number:08}",
            s=60 * minute,
            l=left,
        )

    def connections(self) -> int:
        """Connections to this database, but the one that asks."""
        with self._engine.connect() as connection:
            return (
                connection.scalar(
                    sa.text(
                        "SELECT count(*) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
                or 0
            )

    def feed(self, *, page: int = 2, dsn: str | None = None, **more: Any) -> SqlFeed:
        """A feed over the members; None leaves a key of the declaration out."""
        entry = {name: value for name, value in (MEMBERS | more).items() if value is not None}
        return feed_of(dsn or self.url, entry, page)


def feed_of(dsn: str, entry: Mapping[str, Any], page: int) -> SqlFeed:
    """A feed of a declaration, over the database at ``dsn``."""
    reference = {"dsn": Reference("env", "SOURCE_DSN")}
    credentials = Credentials("crm", reference, lambda _: Sensitive(dsn))
    return SqlFeed(parse_source("crm", entry), credentials, page=page)


def read(feed: SqlFeed, state: State | None = None) -> tuple[list[str], State]:
    """What a feed gives since a state, in short words, and its last state."""
    given = list(feed.read(state))
    marks = [one.state for one in given if isinstance(one, Mark)]
    return [said(one) for one in given if not isinstance(one, Mark)], marks[-1]


def said(one: Delivery) -> str:
    """One delivery in short words."""
    if isinstance(one, Record):
        return one.record_id.reveal(reason=WHY)
    if isinstance(one, Deleted):
        return f"-{one.record_id.reveal(reason=WHY)}"
    return f"!{one.rule}" if isinstance(one, Rejection) else "?"


def rules(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """What a check found, with its subjects."""
    return [(one.rule, one.subject) for one in findings]
