"""One row that nobody foresaw must not stop its source for ever: it is found and set aside.

A row that is wrong in a way that is known is a ``Rejection`` before it comes here. This is about
the others: a batch fails with an error that nobody foresaw, and would fail again at each sync.
It is tried in halves, in transactions that are rolled back, until the rows that fail alone are
found. They are kept as rejected rows, under one rule and with the number of the crash, and the
batch is stored without them in one transaction.

Invariants, each named by a test in ``tests/integration/running/test_parking.py``:

1. All other rows of the batch are stored, once, and the position or state behind them.
2. A fault of the database, of the disk or of memory is not the fault of a row: it stops the sync,
   which goes on from there. So does an error that is ours and typed.
3. A deletion is never set aside: its record would stay, unnoticed.
4. More than `MOST` rows of a batch, or a batch whose halves do not fail, are a fault of the
   program: the sync stops and nothing of the batch is stored.
5. What is told of a row is its position and the number; what it says is kept sealed.
6. Its cells and its order are kept with it, so that it can be replayed when the fault is mended.
   They are put into words for rows that fail, and for no others.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, cast

import sqlalchemy as sa

from cdp import crash, logs
from cdp.errors import KithError
from cdp.ingest.prepare import Preparer, Recognised, as_text
from cdp.ingest.storing import committed
from cdp.storage.schema import reject
from cdp.storage.statements import flush
from cdp.vault.errors import NotKeyable
from connectors.errors import ConnectorError
from connectors.kept_cells import kept_cells
from connectors.record import RAW_LIMIT, Record, Rejection, Sensitive

RULE: Final = "could not be processed"
MOST: Final = 20  # rows of one batch
# Of a value, and not of the database: data exceptions, constraints, limits of the program
# (PostgreSQL manual, appendix A). A key that somebody else stored first is not.
_OF_ROWS: Final = ("22", "23", "54")
_COLLISION: Final = "23505"
_log = logs.get_logger("kith.ingest")
Item = TypeVar("Item")
Stored = TypeVar("Stored")


def committed_but(
    engine: sa.Engine,
    rows: Sequence[Item],
    store: Callable[[sa.Connection, Sequence[Item]], Stored],
) -> Stored:
    """Store rows in one transaction, with those that cannot be processed set aside.

    Args:
        engine: of the workspace.
        rows: of a batch; a row may be a rejection.
        store: stores such rows; it may be called several times, and rolled back.

    Raises:
        What ``store`` raises, where no row alone is at fault.
    """
    try:
        return committed(engine, lambda connection: store(connection, rows))
    except Exception as error:  # noqa: BLE001 - raised again, where no row is at fault
        found = failing(engine, rows, error, store)
    kept = [_or_parked(one, found) for one in rows]
    return committed(engine, lambda connection: store(connection, kept))


def failing(
    engine: sa.Engine,
    rows: Sequence[Item],
    error: Exception,
    store: Callable[[sa.Connection, Sequence[Item]], object],
    source: str | None = None,
    *,
    most: int = MOST,
) -> dict[int, str]:
    """Return which rows fail alone, by identity, each with the number of its crash.

    Args:
        engine: of the workspace.
        rows: that failed together; each an object of its own.
        error: with which they did.
        store: stores such rows; it is called several times, and rolled back.
        source: of rows of any kind, each of which may be set aside; without it that holds of
            records and rejections alone.
        most: rows that may fail before the program is at fault.

    Raises:
        ``error``, or what ``store`` raises, where no row alone is at fault.
    """
    if not _may_be_of_a_row(error):
        raise error
    found = _Search(engine, store, source, most).found(rows)
    if not 0 < len(found) <= most:
        raise error
    return found


def next_step(number: str) -> str:
    """Return what to do about a row that was set aside with the number of a crash."""
    return f"report the number {number}, without data, as docs/SECURITY.md says"


def named_again(preparer: Preparer, row: Record) -> Recognised | None:
    """Name a record that was committed before; None where that is what failed."""
    try:
        return preparer.recognise(row)
    except Exception as error:
        if not _may_be_of_a_row(error):
            raise
        return None


def forget_parked(connection: sa.Connection, source: str, fingerprint: str) -> None:
    """Forget which rows of a content could not be processed: they are tried anew."""
    kept = reject.c
    connection.execute(
        sa.delete(reject).where(
            kept.source == source, kept.fingerprint == fingerprint, kept.rule == RULE
        )
    )


def _may_be_of_a_row(error: Exception) -> bool:
    """Whether a row may be at fault, and not the database, the machine or what was declared."""
    if isinstance(error, sa.exc.DBAPIError):
        code = getattr(error.orig, "pgcode", None) or ""
        return code.startswith(_OF_ROWS) and code != _COLLISION
    if isinstance(error, NotKeyable):
        return True
    typed = (KithError, ConnectorError, sa.exc.SQLAlchemyError)
    return not isinstance(error, (*typed, MemoryError, OSError))


class _Search(Generic[Item]):
    """Looks for the rows that fail alone."""

    def __init__(
        self,
        engine: sa.Engine,
        store: Callable[[sa.Connection, Sequence[Item]], object],
        source: str | None,
        most: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._source = source
        self._most = most
        self._found: dict[int, str] = {}

    def found(self, rows: Sequence[Item]) -> dict[int, str]:
        """The rows that fail alone, by identity, each with the number of its crash."""
        self._look(rows)
        return self._found

    def _look(self, rows: Sequence[Item]) -> None:
        if len(self._found) > self._most:
            return
        error = self._tried(rows)
        if error is None:
            return
        if len(rows) > 1:
            half = len(rows) // 2
            self._look(rows[:half])
            self._look(rows[half:])
            return
        source = rows[0].source if isinstance(rows[0], Record | Rejection) else self._source
        if source is None:
            raise error
        self._found[id(rows[0])] = crash.of(error).reference
        _log.error("row_parked", source=source, exc_info=error)

    def _tried(self, rows: Sequence[Item]) -> Exception | None:
        """What storing these alone raises; nothing is stored."""
        try:
            with self._engine.connect() as connection:
                self._store(connection, rows)
                flush(connection)  # what waits belongs to it
                connection.rollback()
        except Exception as error:
            if not _may_be_of_a_row(error):
                raise
            return error
        return None


def _or_parked(row: Item, found: dict[int, str]) -> Item:
    number = found.get(id(row))
    if number is None or not isinstance(row, Record | Rejection):
        return row
    return cast("Item", parked(row, number))


def parked(row: Record | Rejection, number: str) -> Rejection:
    """Return a row as it is set aside, with the number of its crash."""
    said = row.source, row.position, None, RULE, next_step(number), _raw(row), row.record_id
    return Rejection(*said, load=row.load, order=row.order, cells=_cells(row))


def _raw(row: Record | Rejection) -> Sensitive:
    """What the row says, for whoever looks into it; nothing where even that fails."""
    if isinstance(row, Rejection):
        return Sensitive("")
    try:
        text = as_text(row).reveal(reason="keep what was set aside, sealed")
    except Exception:  # noqa: BLE001 - it is a row that nobody foresaw
        return Sensitive("")
    return Sensitive(text[:RAW_LIMIT])


def _cells(row: Record | Rejection) -> Sensitive | None:
    """The cells of the row, for whoever replays it; None where they are too many, or fail too."""
    if isinstance(row, Rejection) or row.cells is None:
        return None
    try:
        return kept_cells(row.cells)
    except Exception:  # noqa: BLE001 - it is a row that nobody foresaw
        return None
