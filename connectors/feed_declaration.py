"""How a source that is a feed is followed: table or query, cursor, and what means deleted."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.errors import DeclarationError

Mode = Literal["full", "incremental", "changes"]
TIME_LIMIT: Final = 300  # seconds that one statement may take at the source
SQL: Final = "sql"
PIPED: Final = "piped"  # on standard input: see cdp ingest

# What a column says of a deletion where nobody declared its values. Whatever is none of this is
# refused: a wrong guess would destroy people.
_YES: Final = frozenset({"true", "t", "yes", "y", "1", "是"})
_NO: Final = frozenset({"", "false", "f", "no", "n", "null", "none", "nil", "-", "否"})
_ZEROS: Final = re.compile(r"[-+]?0[0:. tz+-]*")  # 0, 0.0, and MySQL's 0000-00-00 00:00:00
_DAY: Final = re.compile(r"(\d{4})[-/.]\d{1,2}[-/.]\d{1,2}(?:[ t].*)?")
_EARLIEST, _LATEST = 1971, 2200  # years; 1900, 1970 and 9999 stand for never
_COUNT: Final = re.compile(r"[1-9]\d{8,19}")  # seconds since 1970, or parts of them


@dataclass(frozen=True, slots=True)
class DeletedSpec:
    """A row whose ``column`` holds one of ``values`` (case ignored) says: deleted.

    Without values, a time in the column says so, or a plain yes.
    """

    column: str
    values: tuple[str, ...] = ()

    def says(self, text: str) -> bool | None:
        """Whether a trimmed cell says that the record is deleted; None: that is not clear."""
        text = text.casefold()
        if self.values:
            return text in {value.strip().casefold() for value in self.values}
        if text in _NO or _ZEROS.fullmatch(text):
            return False
        day = _DAY.fullmatch(text)
        time = _EARLIEST <= int(day[1]) <= _LATEST if day else _COUNT.fullmatch(text)
        return True if text in _YES or time else None


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
        """What a state is a place in: another table, query or cursor voids it.

        So does another column of deletions: rows that were read said nothing of them.
        """
        place: list[Any] = [self.mode, self.table, self.query, self.cursor]
        if self.deleted is not None:
            place += [self.deleted.column, *sorted(self.deleted.values)]
        return json.dumps(place)

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
        deleted=_deleted(raw.get("deleted")),
        time_limit=raw.get("time_limit", TIME_LIMIT),
    )
    if raw["connector"] == SQL:
        _require_sql(source, spec)
    return spec


def _deleted(raw: object) -> DeletedSpec | None:
    """What a column says of a deletion; None: nothing, or something else does."""
    if not isinstance(raw, Mapping) or "column" not in raw:
        return None
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
