"""The rows in a sender's body, each as the text that it was sent as.

Nothing is parsed into values here: a row is cut out, and what it says is read where every
row of a source is read, by one strict reader.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from api.errors import Problem

JSON: Final = "application/json"
LINES: Final = frozenset({"application/x-ndjson", "application/jsonl", "application/jsonlines"})
_BLANK: Final = " \t\n\r"
_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def rows_of(media_type: str, body: bytes, most: int) -> list[str]:
    """Cut a body into rows: one JSON object, a list of them, or JSON lines.

    Args:
        media_type: the Content-Type, as sent.
        body: UTF-8.
        most: rows at the most.

    Raises:
        Problem: 415, 400, 413, or 422 where there is no row at all; none repeats the body.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if kind != JSON and kind not in LINES:
        raise Problem(
            415, "unsupported_media_type", "Send application/json or application/x-ndjson."
        )
    try:
        text = body.decode("utf-8")
        found = list(_first(_lines(text) if kind in LINES else _items(text), most))
    except (ValueError, RecursionError):  # of decoding and of JSON; both quote the text
        raise Problem(400, "malformed", "Send valid JSON in UTF-8.") from None
    if not found:
        raise Problem(422, "no_rows", "Send at least one record.")
    return found


def _first(rows: Iterator[str], most: int) -> Iterator[str]:
    for count, row in enumerate(rows, start=1):
        if count > most:
            raise Problem(413, "too_many_rows", f"Send at most {most} records at once.")
        yield row


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip(_BLANK))


def _items(text: str) -> Iterator[str]:
    """The items of a JSON list, or the one value that there is."""
    at = _skip(text, 0)
    if text[at : at + 1] == "[":
        yield from _listed(text, at + 1)
        return
    end = _end(text, at)
    if _skip(text, end) != len(text):
        raise ValueError("something follows")
    yield text[at:end]


def _listed(text: str, at: int) -> Iterator[str]:
    at = _skip(text, at)
    closed = text[at : at + 1] == "]"
    while not closed:
        end = _end(text, at)
        yield text[at:end]
        at = _skip(text, end)
        if text[at : at + 1] not in {",", "]"}:
            raise ValueError("the list does not go on")
        closed = text[at] == "]"
        at = at if closed else _skip(text, at + 1)
    if _skip(text, at + 1) != len(text):
        raise ValueError("something follows")


def _end(text: str, at: int) -> int:
    """Where the value that begins at ``at`` ends."""
    found: tuple[Any, int] = _SCANNER.raw_decode(text, at)
    return found[1]


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at
