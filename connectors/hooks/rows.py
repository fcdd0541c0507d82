"""From the body of a webhook to records, deletions and rejections. Pure.

Invariants, each named by a test in ``tests/unit/connectors/hooks/test_rows.py``:

1. Each row of a body is a record, a deletion or a rejection, in its order.
2. A message that was not asked for (``only``) gives no row, and that is told.
3. No error holds what was sent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.base import Deleted
from connectors.cells import trim
from connectors.declaration import SourceDeclaration
from connectors.events.body import BodyRefused, unpacked
from connectors.feed_rows import FeedRows, order_of
from connectors.hooks.declaration import HookSpec, SaidSpec, Steps
from connectors.record import Raw, Record, Rejection
from connectors.sources.json_lines import LineRefused, cells_of, parse_object

LIMIT: Final = 1024 * 1024  # bytes of a body, unpacked
MOST: Final = 100  # rows of one message
Row = Record | Deleted | Rejection
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Post(Raw):
    """One message as it was sent. Names of headers in lower case."""

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent(Raw):
    """One row of a message, and its text in ASCII, as it is kept where it is no record."""

    row: Row = field(repr=False)
    text: str = field(repr=False)


class HookRows:
    """Reads the messages of one source. Any number of threads may use it."""

    def __init__(self, declaration: SourceDeclaration, spec: HookSpec) -> None:
        self._spec = spec
        self._rows = FeedRows(declaration)
        self._columns = (*declaration.columns(), *declaration.feed.columns())
        self._cursor = declaration.feed.cursor

    def of(self, post: Post) -> list[Sent] | None:
        """The rows of a message; None: it is of a kind that was not asked for.

        Raises:
            BodyRefused: the body is no JSON, or too large, or has no rows where they should be.
        """
        try:
            body = _parsed(unpacked(post.body, LIMIT))
        except LineRefused as refused:
            raise BodyRefused(refused.rule, refused.next_step) from None
        spec = self._spec
        if spec.only is not None and not _says(spec.only, post, body):
            return None
        gone = spec.deleted is not None and _says(spec.deleted, post, body)
        return [
            self._sent(position, row, gone=gone)
            for position, row in enumerate(_listed(body, spec.rows), start=1)
        ]

    def _sent(self, position: int, row: Any, *, gone: bool) -> Sent:
        text = json.dumps(row)  # in ASCII: half of a surrogate pair stays an escape
        return Sent(self._row(position, row, text, gone=gone), text)

    def _row(self, position: int, row: Any, text: str, *, gone: bool) -> Row:
        try:
            cells = cells_of(_object(row), self._columns, text)
        except LineRefused as refused:
            return self._rows.reject(position, refused.rule, refused.next_step, text)
        cell = cells.get(self._cursor) if self._cursor else None
        order = order_of(trim(cell)) if isinstance(cell, str) else None
        if gone:
            return self._rows.deleted(position, cells, lambda: text, order=order)
        return self._rows.row(position, cells, lambda: text, order=order)


def _parsed(body: bytes) -> Any:
    """Any JSON value, read as strictly as a row.

    Raises:
        LineRefused: it is none.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    held = parse_object(f'{{"body":{text}}}')
    if len(held) != 1:  # it closed our object and went on
        raise LineRefused("not_json", "Send one JSON value.")
    return held["body"]


def _object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise LineRefused("not_an_object", "Send each row as a JSON object.")
    return row


def _listed(body: Any, path: Steps) -> list[Any]:
    found = _at(body, path)
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise BodyRefused("rows_missing", "Send an object or a list where rows says.")
    if len(found) > MOST:
        raise BodyRefused("too_many_rows", f"Send at most {MOST} rows at once.", too_large=True)
    return found


def _says(spec: SaidSpec, post: Post, body: Any) -> bool:
    found = post.headers.get(spec.header) if spec.header else _at(body, spec.path)
    if isinstance(found, bool):
        found = str(found)
    return isinstance(found, str) and found.strip().casefold() in spec.values


def _at(node: Any, path: Steps) -> Any:
    for step in path:
        if isinstance(step, str) and isinstance(node, dict):
            node = node.get(step, _ABSENT)
        elif isinstance(node, list) and str(step).isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return _ABSENT
    return node
