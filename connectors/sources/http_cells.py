"""From a row of an API to its cells, as JSON Lines makes them. Pure.

A column that only a derived column with ``path`` reads may hold an object or a list: its cell is
then JSON text, for the path to go into.
"""

from collections.abc import Mapping
from typing import Any, Final

from connectors.cells import Cell
from connectors.declaration import SourceDeclaration
from connectors.sources.http_pages import text_of
from connectors.sources.json_lines import cells_of

_ROUGH: Final = "\\u"  # a text that has it is looked at closely: see cells_of


class RowCells:
    """Makes the cells of one declaration."""

    def __init__(self, declaration: SourceDeclaration) -> None:
        self._columns = tuple(dict.fromkeys((*declaration.columns(), *declaration.feed.columns())))
        ways = [(one.operation, name) for one in declaration.derived for name in one.inputs]
        derived = {one.name for one in declaration.derived}
        others = {name for operation, name in ways if operation != "path"}
        others |= set(declaration.used_columns()) | set(declaration.feed.columns()) | derived
        self._documents = {name for operation, name in ways if operation == "path"} - others

    def of(self, row: dict[str, Any], *, is_rough: bool) -> dict[str, Cell]:
        """The cells of a row; its texts are looked at more closely where they may be rough.

        Raises:
            LineRefused: half a surrogate pair, or a value that is too large.
        """
        whole = dict(row) if self._documents else row
        for name in self._documents:
            found = _at(row, name)
            if isinstance(found, dict | list):
                whole[name] = text_of(found)
        return cells_of(whole, self._columns, _ROUGH if is_rough else "")


def _at(row: Mapping[str, Any], column: str) -> Any:
    """What stands at a column: the key itself, or else the path its dots make."""
    if column in row:
        return row[column]
    node: Any = row
    for key in column.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(key)
    return node
