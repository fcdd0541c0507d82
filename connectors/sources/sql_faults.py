"""What an error of a database means, in our words: its own may quote an address or a value.

Told by SQLSTATE where the driver gives one, by the numbers of MySQL, and else by words that a
driver uses; what is unknown is named by its type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_DSN: Final = "credentials.dsn"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong, and what to do."""

    rule: str
    next_step: str
    field: str | None = None
    again: bool = False  # the same may go well later


WRONG_PASSWORD: Final = Fault(
    "wrong_password", "Correct the user or the password in the secret.", _DSN
)
NO_DATABASE: Final = Fault("database_missing", "Correct the database in the secret.", _DSN)
NO_TABLE: Final = Fault("table_missing", "Correct the table, or name its schema.", "table")
NO_COLUMN: Final = Fault("column_missing", "Correct the mapping, the cursor or the query.")
NOT_ALLOWED: Final = Fault(
    "not_allowed", "Allow the user to SELECT these columns, and nothing else.", "table"
)
TOO_LONG: Final = Fault(
    "time_limit", "Make an index on cursor and record id, or raise time_limit.", "time_limit"
)
UNREACHABLE: Final = Fault(
    "not_reachable", "See that the database runs and can be reached, then run it again.", again=True
)
NOT_READ: Final = Fault(
    "value_out_of_range",
    "A time is before the year 1 or after 9999: correct it, or name the columns in a query that "
    "leaves such times empty.",
)
NOT_TEXT: Final = Fault("not_decodable", "Correct the encoding of the database's text.")
WRONG_QUERY: Final = Fault("query_wrong", "Try the query in the database's own console.", "query")

_BY_STATE: Final[Mapping[str, Fault]] = {  # PostgreSQL manual, appendix A; SQL standard classes
    "28P01": WRONG_PASSWORD,
    "28000": WRONG_PASSWORD,
    "3D000": NO_DATABASE,
    "42P01": NO_TABLE,
    "3F000": NO_TABLE,
    "42703": NO_COLUMN,
    "42501": NOT_ALLOWED,
    "57014": TOO_LONG,
    "42601": WRONG_QUERY,
}
_BY_NUMBER: Final[Mapping[int, Fault]] = {  # MySQL manual, server error reference
    1045: WRONG_PASSWORD,
    1044: NOT_ALLOWED,
    1049: NO_DATABASE,
    1142: NOT_ALLOWED,
    1143: NOT_ALLOWED,
    1146: NO_TABLE,
    1054: NO_COLUMN,
    1064: WRONG_QUERY,
    3024: TOO_LONG,
    1969: TOO_LONG,
    2003: UNREACHABLE,
    2006: UNREACHABLE,
    2013: UNREACHABLE,
}
_BY_WORDS: Final = (  # of drivers that give neither, when a connection fails, and of SQLite
    ("password", WRONG_PASSWORD),
    ("role ", WRONG_PASSWORD),
    ("database ", NO_DATABASE),
    ("no such table", NO_TABLE),
    ("no such column", NO_COLUMN),
    ("syntax error", WRONG_QUERY),
    ("interrupted", TOO_LONG),
    ("could not", UNREACHABLE),
    ("connection", UNREACHABLE),
    ("not a database", NO_DATABASE),
)


class Unreadable(Exception):  # noqa: N818 - caught where the database is asked
    """The driver has no value for what a row holds. It says nothing of it."""


def fault_of(error: BaseException) -> Fault:
    """What an error means; nothing of its text is in the answer."""
    if isinstance(error, UnicodeError):
        return NOT_TEXT
    if isinstance(error, Unreadable):
        return NOT_READ
    origin: Any = getattr(error, "orig", None) or error
    state = getattr(origin, "pgcode", None) or getattr(origin, "sqlstate", None)
    if isinstance(state, str) and state in _BY_STATE:
        return _BY_STATE[state]
    first = origin.args[0] if getattr(origin, "args", ()) else None
    if isinstance(first, int) and first in _BY_NUMBER:
        return _BY_NUMBER[first]
    words = str(origin).lower()
    found = [(words.find(word), fault) for word, fault in _BY_WORDS if word in words]
    if found and state is None:
        return found[0][1]
    name = f"{type(origin).__name__}{f' {state}' if state else ''}"
    return Fault("database_failed", f"Look at the log of the database ({name}), then run it again.")
