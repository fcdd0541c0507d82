"""One full run, from a table of features to people."""

import numpy as np
import pyarrow as pa

from identity import batch, duckdb_engine
from identity.evaluate import evaluate
from identity.model import UNTRAINED
from tests.unit.identity.tables import LIMITS


def resolve(table, model):
    """Resolve with an epoch at hand."""
    resolution, used = batch.resolve(table, model, UNTRAINED, LIMITS)
    assert used is model
    return resolution


def partition(resolution):
    """Record by record, who belongs together; names of groups do not count."""
    groups = {}
    for record, anchor in zip(resolution.records, resolution.anchors, strict=True):
        groups.setdefault(int(anchor), set()).add(int(record))
    return {frozenset(group) for group in groups.values()}


def test_a_run_finds_most_people(small, found):
    """The small world is resolved far better than by chance, and nobody is lost."""
    resolution = found.resolution
    assert resolution.records.tolist() == list(range(1, small.table.num_rows + 1))
    predicted = dict(zip(resolution.records.tolist(), resolution.anchors.tolist(), strict=True))
    measured = evaluate(predicted, small.person)
    assert measured.precision > 0.9
    assert measured.recall > 0.4


def test_an_anchor_is_the_smallest_record_of_its_person(found):
    """Every record's anchor is no larger than itself, and its own anchor."""
    resolution = found.resolution
    anchor = dict(zip(resolution.records.tolist(), resolution.anchors.tolist(), strict=True))
    assert all(a <= r and anchor[a] == a for r, a in anchor.items())


def test_edges_are_scored_once_and_not_below_the_floor(found):
    """Evidence is kept for each pair once, from even odds on, smaller id first."""
    edges = found.resolution.edges
    assert (edges.low < edges.high).all()
    assert (edges.weight >= batch.FLOOR_BITS).all()
    assert len(np.unique(np.stack((edges.low, edges.high)), axis=1).T) == len(edges)
    assert 0 < len(edges) <= found.resolution.compared


def test_the_order_of_records_changes_nobody(small, found):
    """Law 2 of identity: records in any order give the same people and the same edges."""
    before = resolve(small.table, found.model)
    order = np.random.default_rng(1).permutation(small.table.num_rows)
    after = resolve(small.table.take(order), found.model)
    assert (after.records == before.records).all()
    assert (after.anchors == before.anchors).all()
    assert (after.edges.low == before.edges.low).all()
    assert (after.edges.high == before.edges.high).all()
    assert np.abs(after.edges.weight - before.edges.weight).max() < 1e-9
    assert partition(before) == partition(found.resolution)


def test_the_numbers_of_records_change_nobody(small, found):
    """Law 2 of identity: under one epoch, records numbered anew form the same people."""
    numbers = np.random.default_rng(2).permutation(small.table.num_rows) + 500
    moved = small.table.set_column(0, "id", pa.array(numbers))
    after = partition(resolve(moved, found.model))
    back = dict(zip(numbers.tolist(), small.table["id"].to_pylist(), strict=True))
    assert {frozenset(back[r] for r in group) for group in after} == partition(found.resolution)


def test_a_run_leaves_nothing_on_disk(small, found, tmp_path, monkeypatch):
    """Law 6 of identity: features are never spilled to a file."""
    monkeypatch.chdir(tmp_path)
    resolve(small.table, found.model)
    assert list(tmp_path.iterdir()) == []
    with duckdb_engine.open_memory(LIMITS) as connection:
        setting = "SELECT value FROM duckdb_settings() WHERE name = 'temp_directory'"
        assert connection.execute(setting).fetchall() == [("",)]


def test_a_run_names_its_steps(small, found):
    """Whoever waits is told what is being done."""
    steps = []
    batch.resolve(small.table, found.model, UNTRAINED, LIMITS, steps.append)
    assert steps == ["shared numbers", "comparing pairs", "judging components"]
