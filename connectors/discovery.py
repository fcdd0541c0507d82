"""Which of the declared columns a system has: for the check of a connector."""

from collections.abc import Collection
from typing import Final

from connectors.base import Finding, Level
from connectors.columns import file_columns
from connectors.declaration import SourceDeclaration

_SHOWN: Final = 30


def missing_columns(declaration: SourceDeclaration, there: Collection[str]) -> list[Finding]:
    """A finding for each declared column that is not there: an ERROR of the record id's.

    Args:
        declaration: of the source.
        there: the columns that the system has, or those of its first rows.
    """
    ids = file_columns(declaration.derived, declaration.record_id)
    names = ", ".join(sorted(there)[:_SHOWN])
    step = f"Correct the mapping. There are: {names}{', …' if len(there) > _SHOWN else ''}."
    wanted = dict.fromkeys((*declaration.columns(), *declaration.feed.columns()))
    return [
        Finding(
            Level.ERROR if column in ids else Level.WARNING,
            "column_missing",
            declaration.called(column),
            step,
        )
        for column in wanted
        if column not in there
    ]
