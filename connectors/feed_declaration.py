"""How a source that is a feed is followed: table or query, cursor, and what means deleted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.errors import DeclarationError

Mode = Literal["full", "incremental", "changes"]
TIME_LIMIT: Final = 300  # seconds that one statement may take at the source
SQL: Final = "sql"
PIPED: Final = "piped"  # on standard input: see cdp ingest


@dataclass(frozen=True, slots=True)
class DeletedSpec:
    """A row whose ``column`` holds one of ``values`` (case ignored) says: deleted.

    Without values, anything in the column says so, such as the time of the deletion.
    """

    column: str
    values: tuple[str, ...] = ()

    def says(self, text: str) -> bool:
        """Whether a trimmed cell says that the record is deleted."""
        if not self.values:
            return bool(text)
        return text.casefold() in {value.strip().casefold() for value in self.values}


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """How a feed is followed. A file has none of it."""

    mode: Mode = "full"
    table: str | None = None  # or stream of a tap; with its schema before a dot
    query: str | None = None
    cursor: str | None = None  # column that grows with every change of a row
    overlap: int = 0  # how far below the last cursor is read again: seconds, or units of a number
    deleted: DeletedSpec | None = None
    time_limit: int = TIME_LIMIT

    def place(self) -> str:
        """What a state is a place in: another table, query or cursor voids it."""
        return json.dumps([self.mode, self.table, self.query, self.cursor])

    def columns(self) -> tuple[str, ...]:
        """The columns that are read beside those of the mapping."""
        named = (self.cursor, self.deleted.column if self.deleted else None)
        return tuple(dict.fromkeys(one for one in named if one))


NO_FEED: Final = FeedSpec()


def parse_feed(source: str, raw: Mapping[str, Any]) -> FeedSpec:
    """Read what the entry of a source says of how it is followed.

    Raises:
        DeclarationError: one key demands another, or excludes it.
    """
    written = raw.get("cursor")
    cursor: Mapping[str, Any] = {"column": written} if isinstance(written, str) else written or {}
    spec = FeedSpec(
        mode=raw.get("mode", "full"),
        table=raw.get("table"),
        query=raw.get("query"),
        cursor=cursor.get("column"),
        overlap=cursor.get("overlap", 0),
        deleted=_deleted(raw["deleted"]) if "deleted" in raw else None,
        time_limit=raw.get("time_limit", TIME_LIMIT),
    )
    if raw["connector"] == SQL:
        _require_sql(source, spec)
    return spec


def _deleted(raw: Mapping[str, Any]) -> DeletedSpec:
    return DeletedSpec(raw["column"], tuple(raw.get("values", ())))


def _require_sql(source: str, spec: FeedSpec) -> None:
    if (spec.table is None) == (spec.query is None):
        step = "Name a table, or write a query: one of the two."
        raise DeclarationError(source, "table_or_query", step, field="table")
    if spec.mode == "incremental" and spec.cursor is None:
        step = "Name the column that grows with every change, such as updated_at."
        raise DeclarationError(source, "cursor_missing", step, field="cursor")
    if spec.mode == "changes":
        step = "Write full or incremental; changes are piped in: cdp ingest debezium."
        raise DeclarationError(source, "mode_not_for_connector", step, field="mode")
