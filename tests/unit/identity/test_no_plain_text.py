"""Law 6 of identity: it sees keyed features and nothing else."""

import ast
from pathlib import Path

import pyarrow as pa
import pytest

import identity
from identity.comparisons import COMPARISONS
from tests.unit.identity.tables import database, delivered, prepared

FILES = sorted(Path(identity.__file__).parent.glob("*.py"))
HOUSE = {"api", "cdp", "connectors", "policies"}
TYPES = {"BIGINT", "BIGINT[]", "INTEGER"}


def imported(tree):
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_identity_cannot_import_what_holds_a_raw_value(path):
    """No file of identity imports another package of the house, nor by a relative path."""
    names = list(imported(ast.parse(path.read_text(encoding="utf-8"))))
    assert not [name for name in names if name.split(".")[0] in HOUSE | {""}]


def test_no_column_of_a_feature_table_is_text():
    """What is unpacked holds integers and lists of integers."""
    kinds = {column.type for column in delivered([{"name": 1}, {}]).schema}
    assert kinds == {pa.int64(), pa.list_(pa.int64())}


def test_no_table_of_a_run_has_text(person, found):
    """The table that pairs are compared in, and its parts, hold integers alone."""
    prepared([{"name": 1, "phones": [2]}], table="tiny")
    for table in (person, "tiny"):
        columns = database().execute(f"DESCRIBE {table}").fetchall()
        assert {column[1] for column in columns} <= TYPES
        assert {f for c in COMPARISONS for f in c.features} <= {column[0] for column in columns}
    edges = found.resolution.edges
    assert {part.dtype.kind for part in (edges.low, edges.high, edges.levels)} == {"i"}
    assert {part.dtype.kind for part in (edges.weight, edges.bits)} == {"f"}
