"""A feed over lines of another tool: what every kind of message has in common.

Invariants, each named by a test in ``tests/unit/connectors/streams``:

1. A line that cannot be read is a rejection, and the next line is read.
2. Every line is a delivery, a mark, or a message that is no row: none is lost in between.
3. A state is given back as the sender wrote it.
4. Nothing here reads a descriptor, a clock or the environment: lines are an argument.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Final

from connectors.base import Deleted, Delivery, Finding, Mark, State
from connectors.cells import trim
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop
from connectors.feed_declaration import DeletedSpec
from connectors.feed_rows import UNCLEAR, FeedRows, order_of
from connectors.glimpse import Glimpse
from connectors.record import Record, Rejection
from connectors.sources.json_lines import LineRefused, cell_at, cells_of, parse_object
from connectors.sources.physical_lines import Line
from connectors.table import Table

FORM: Final = 1  # version of a state
_MARK: Final = DeletedSpec("(of the protocol)")
NOT_A_MESSAGE: Final = ("not_a_message", "Send one message of the protocol a line.")


class Messages(ABC):
    """Reads the messages of one protocol. Keeps what earlier messages said of later ones."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._declaration = declaration
        self._spec = declaration.feed
        self._rows = FeedRows(declaration)
        self._columns = (*declaration.columns(), *declaration.feed.columns())
        self._stream: str | None = None  # whose rows came, where the declaration names none
        self.glimpse = Glimpse()

    def of(self, position: int, text: str) -> Delivery | None:
        """What one line says; None: nothing of a row."""
        try:
            return self._of(position, parse_object(text), text)
        except LineRefused as refused:
            return self._rows.reject(position, refused.rule, refused.next_step, text)

    def refuse(self, position: int, problem: tuple[str, str], text: str) -> Rejection:
        """The rejection of a line that is no text."""
        return self._rows.reject(position, *problem, text)

    @abstractmethod
    def _of(self, position: int, message: dict[str, Any], text: str) -> Delivery | None:
        """What a message says. Raises ``LineRefused``."""

    def state_as_sent(self, state: State) -> str | None:
        """The line to give back for a state; None: it is none of the sender's."""
        sent = state.value.get("sent")
        return sent if isinstance(sent, str) else None

    def _row(
        self,
        position: int,
        row: object,
        text: str,
        *,
        order: int | None = None,
        load: int | None = None,
    ) -> Record | Deleted | Rejection:
        row = _object(row)
        self.glimpse.see(row)
        cells = cells_of(row, self._columns, text)
        return self._rows.row(
            position, cells, lambda: text, order=self._order(row, order), load=load
        )

    def _deleted(
        self, position: int, row: object, text: str, order: int | None = None
    ) -> Deleted | Rejection:
        cells = cells_of(_object(row), self._columns, text)
        return self._rows.deleted(position, cells, lambda: text, order=self._order(row, order))

    def _order(self, row: object, otherwise: int | None) -> int | None:
        """The order of a row: by the declared cursor, else what the protocol says."""
        if self._spec.cursor is None:
            return otherwise
        cell = cell_at(_object(row), self._spec.cursor)
        return order_of(trim(cell)) if isinstance(cell, str) else None

    def _is_mine(self, stream: object) -> bool:
        """Whether rows of a stream are of this source.

        Raises:
            LineRefused: no stream is named.
            Stop: several streams came, and the declaration names none.
        """
        name = word_of(stream)
        if not name:
            raise LineRefused(*NOT_A_MESSAGE)
        if self._spec.table is not None:
            return name == self._spec.table
        self._stream = self._stream or name
        if name != self._stream:
            step = "Several streams came: declare table: with the name of one."
            raise Stop(self._declaration.name, "several_streams", step, field="table")
        return True


class StreamFeed:
    """Lines of one sender, read once. What was sent before it began is the sender's to know."""

    def __init__(self, name: str, messages: Messages, lines: Iterable[Line | None]) -> None:
        """Make it over lines; None among them says that none came for a moment."""
        self._name = name
        self._messages = messages
        self._lines = lines
        self.passed_over = 0  # messages that are no row of this source

    @property
    def name(self) -> str:
        """The name of the source."""
        return self._name

    def check(self) -> list[Finding]:
        """Nothing can be looked at before it comes."""
        return []

    def count(self, state: State | None) -> int | None:
        """Nobody knows."""
        del state
        return None

    def glimpsed(self) -> Table:
        """The first rows that came, unmapped."""
        return self._messages.glimpse.table()

    def read(self, state: State | None) -> Iterator[Delivery]:
        """Give what the lines say, and a mark of where they are whenever none comes."""
        del state
        mark: Mark | None = None
        position = 0
        for line in self._lines:
            if line is None:
                yield mark or Mark(State({"version": FORM, "lines": position}))
                continue
            position += 1
            if not line.text.strip():
                continue
            one = self._of(position, line)
            if one is None:
                self.passed_over += 1
                continue
            mark = one if isinstance(one, Mark) else mark
            yield one

    def _of(self, position: int, line: Line) -> Delivery | None:
        problem = line.problem("utf-8")
        if problem:
            return self._messages.refuse(position, problem, line.text)
        return self._messages.of(position, line.text)


def marked(sent: object) -> Mark:
    """The mark of a state that is to be given back as it was sent."""
    return Mark(State({"version": FORM, "sent": json.dumps(sent, ensure_ascii=False)}))


def as_sent(text: str) -> Any:
    """A message again, its numbers as they were written."""
    return json.loads(text)


def _object(row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise LineRefused(*NOT_A_MESSAGE)
    return row


def word_of(value: object) -> str:
    """A word of the protocol; anything else is none."""
    return value if isinstance(value, str) else ""


def is_deleted(mark: object) -> bool:
    """Whether a protocol's own mark of a deletion, the time of it, says so.

    Raises:
        LineRefused: that is not clear.
    """
    if mark is None or isinstance(mark, bool):
        return bool(mark)
    says = _MARK.says(trim(mark)) if isinstance(mark, str) else None
    if says is None:
        raise LineRefused(UNCLEAR, "Send the time of the deletion, or null.")
    return says


def version_of(value: object) -> int | None:
    """A version that a message names: digits, as text."""
    whole = isinstance(value, str) and value.isdecimal()
    return order_of(value) if whole else None
