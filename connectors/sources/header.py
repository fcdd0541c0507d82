"""Match the heading of a file with the columns a declaration names.

The heading is the first row that has every declared column, among the first ``TITLE_ROWS`` that are
not empty: titles of a list, and headings of headings, may stand above it. Where no column is
declared yet it is the first that is as wide as most rows, and filled about as well.

A file without a heading has a person in its first row, so the first row is quoted in an error only
when at least one declared column is in it; never where nothing is declared yet.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from connectors.base import Finding, Level
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop

TITLE_ROWS = 20  # looked through for the heading
_WIDE = 0.6  # of the widest row, what a heading fills at the least
_SHOWN = 30  # columns listed in one message


def heading_among(rows: Sequence[Sequence[str]], wanted: Collection[str]) -> int:
    """The place of the heading among the first rows of a file, given as trimmed texts."""
    if wanted:
        fits = (place for place, one in enumerate(rows) if not set(wanted) - set(one))
    else:
        # Delimiters behind the last column that holds anything make no column.
        used = max((place + 1 for one in rows for place, cell in enumerate(one) if cell), default=0)
        widths = Counter(min(len(one), used) for one in rows)
        width = max(widths, key=lambda one: (widths[one], one), default=0)
        least = _WIDE * max((len(list(filter(None, one))) for one in rows), default=0)
        fits = (
            place
            for place, one in enumerate(rows)
            if min(len(one), used) == width and len(set(one) - {""}) >= least
        )
    return next(fits, 0)


def resolve_header(header: list[str], declaration: SourceDeclaration) -> list[str]:
    """Return ``header`` when it has every declared column and no name twice.

    Columns without a name are allowed; nothing can be mapped to them.

    Raises:
        Stop: ``column_missing`` or ``duplicate_column``.
    """
    wanted = declaration.columns()
    missing = [column for column in wanted if column not in header]
    if missing and len(missing) == len(wanted):
        raise Stop(
            declaration.name,
            "column_missing",
            f"None of the declared columns is among the {len(header)} cells of the first row: "
            "look whether the file has a heading, its delimiter and its encoding. "
            f"Declared: {_listed(wanted)}.",
        )
    if missing:
        there = [column for column in header if column]
        raise Stop(
            declaration.name,
            "column_missing",
            f"Missing: {_listed(list(map(declaration.called, missing)))}. "
            f"There: {_listed(there)}. Correct the mapping or the file.",
        )
    twice = [column for column, times in Counter(header).items() if column and times > 1]
    if twice:
        places = [str(header.index(one) + 1) for one in twice]
        which = f"Named twice: {_listed(twice)}" if wanted else f"Twice: column {_listed(places)}"
        step = f"Give each column a name of its own. {which}."
        raise Stop(declaration.name, "duplicate_column", step)
    return header


def nameless(header: list[str]) -> Iterator[Finding]:
    """A finding when the heading leaves a column without a name."""
    if "" in header:
        yield Finding(
            Level.WARNING,
            "column_without_name",
            f"column {header.index('') + 1}",
            "Name the column if its values matter: it cannot be mapped.",
        )


def _listed(columns: list[str] | tuple[str, ...]) -> str:
    more = len(columns) - _SHOWN
    return ", ".join(columns[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
