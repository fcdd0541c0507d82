"""Ten rows of a source, before and after, masked: enough to see whether a mapping is right."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import islice

from cdp.ingest.values import Reading, read_record
from connectors.base import Feed, Source
from connectors.record import Raw, Record, Rejection
from connectors.table import Sampled

REASON = "preview, masked"
Mask = Callable[[str, str], str]  # (field, text) to masked text


@dataclass(frozen=True, slots=True)
class PreviewRow(Raw):
    """One row: what was delivered and what was read, both masked, and what went wrong.

    Attributes:
        position: the row in the source.
        delivered: field to masked text as delivered.
        read: field to masked canonical text.
        problems: "field: rule; next step", or the rule that rejects the row.
    """

    position: int
    delivered: dict[str, str] = field(repr=False)
    read: dict[str, str] = field(repr=False)
    problems: list[str]


def preview(
    source: Source | Feed, reading: Reading, mask: Mask, rows: int = 10
) -> list[PreviewRow]:
    """Read the first rows of a source and store nothing.

    Of a feed those that a check looks at: some of a table, a page of an API, a topic's newest.
    """
    if isinstance(source, Feed) and isinstance(source, Sampled):
        return [_row(row, reading, mask) for row in source.first(rows)]
    given = source.read() if isinstance(source, Source) else source.read(None)
    try:
        shown = (row for row in given if isinstance(row, Record | Rejection))
        return [_row(row, reading, mask) for row in islice(shown, rows)]
    finally:
        if isinstance(given, Generator):
            given.close()


def _row(row: Record | Rejection, reading: Reading, mask: Mask) -> PreviewRow:
    if isinstance(row, Rejection):
        return PreviewRow(row.position, {}, {}, [f"row: {row.rule}; {row.next_step}"])
    values = read_record(row, reading)
    delivered = {
        name: ", ".join(mask(name, one.value.reveal(reason=REASON)) for one in given)
        for name, given in row.fields.items()
    }
    read = {
        name: ", ".join(mask(name, text) for text, _ in cell)
        for name, cell in values.cells().items()
    }
    problems = [f"{p.field}: {p.rule}; {p.next_step}" for p in values.problems]
    problems += [f"{b.subject}: {b.rule} ({b.action}); {b.next_step}" for b in row.breaches]
    return PreviewRow(row.position, delivered, read, problems)
