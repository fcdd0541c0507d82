"""What goes to a Spark cluster and what is believed of its answer; `identity/remote.py`."""

import socket

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp.vault.fresh import FreshKeys
from identity import remote
from identity.comparisons import COMPARISONS
from identity.errors import SparkAnswerError, SparkLostError, SparkMissingError
from identity.remote import Cluster, OnSpark
from identity.spark_sql import LEVELS, READ
from tests.unit.identity.tables import LIMITS


def on(cluster):
    """Spark there, with keys of this run."""
    return OnSpark(cluster, FreshKeys().keys, LIMITS)


def integers(table):
    """Every integer of an exported table, without the numbers of the records."""
    columns = (table[name].combine_chunks() for name in table.column_names if name != "id")
    flat = (one.flatten() if pa.types.is_list(one.type) else one.drop_null() for one in columns)
    return np.concatenate([one.to_numpy(zero_copy_only=False) for one in flat])


def exported(judged, folder, keys=None):
    """What one run writes, and its places."""
    place = remote.export(judged, (keys or FreshKeys()).keys, folder)
    return pq.read_table(folder), place


def test_only_integers_leave_and_none_of_the_workspaces_own(judged, tmp_path):
    """Invariant 1: integers keyed afresh, in random order, and no feature that is not compared."""
    table, place = exported(judged, tmp_path / "out")
    assert set(table.column_names) == {"id", *READ}
    kinds = {getattr(column.type, "value_type", column.type) for column in table.schema}
    assert kinds == {pa.int64()}
    own = np.concatenate(
        [*judged.singles.values(), *(lists.keys for lists in judged.lists.values())]
    )
    left = integers(table)
    assert len(left)
    assert not np.isin(left, own[own != 0]).any()
    assert table["id"].to_pylist() == list(range(len(judged)))
    assert sorted(place.tolist()) == list(range(len(judged)))
    assert place.tolist() != sorted(place.tolist())
    assert not (tmp_path / "out").stat().st_mode & 0o077


def test_two_runs_have_nothing_in_common(judged, tmp_path):
    """Invariant 1: what one run wrote cannot be held against what another wrote."""
    one, first = exported(judged, tmp_path / "one")
    other, second = exported(judged, tmp_path / "other")
    assert not np.isin(integers(one), integers(other)).any()
    assert first.tolist() != second.tolist()


def test_what_was_equal_stays_equal(judged, tmp_path):
    """Two records share a fresh key exactly if they shared the one behind it."""
    table, place = exported(judged, tmp_path / "out")
    for name in ("name", "birth"):
        fresh = table[name].fill_null(0).to_numpy()
        own = judged.singles[name][place]
        pairs = set(zip(fresh.tolist(), own.tolist(), strict=True))
        assert len(pairs) == len(set(fresh.tolist())) == len(set(own.tolist()))
        assert ((fresh == 0) == (own == 0)).all()


def answered(folder, **changed):
    """The answer of a cluster about four records, with some columns changed."""
    columns = {"low": [0, 1], "high": [2, 3]} | {name: [0, -1] for name in LEVELS} | changed
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "part.parquet")
    return remote.answer(folder, np.array([3, 1, 0, 2]))


def test_an_answer_is_put_back_in_order(tmp_path):
    """Invariant 2: pairs come back as places, smaller first, in the order of the places."""
    left, right, levels = answered(tmp_path / "compared")
    assert (left.tolist(), right.tolist()) == ([0, 1], [3, 2])
    assert levels.tolist() == [[0] * len(COMPARISONS), [-1] * len(COMPARISONS)]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"low": [2, 1]}, "not one of two records"),
        ({"low": [-1, 1]}, "not one of two records"),
        ({"high": [2, 4]}, "not one of two records"),
        ({"low": [0, 0], "high": [2, 2]}, "there twice"),
        ({LEVELS[0]: [0, 99]}, "none of the comparison's"),
        ({LEVELS[0]: [0, -2]}, "none of the comparison's"),
        ({LEVELS[0]: [0, None]}, "not the ones asked for"),
        ({LEVELS[0]: [0.5, 1.0]}, "not the ones asked for"),
        ({"more": [1, 1]}, "not the ones asked for"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(tmp_path, changed, rule):
    """Invariant 3: pairs of nobody, pairs twice, unknown levels and other columns are refused."""
    with pytest.raises(SparkAnswerError, match=rule):
        answered(tmp_path / "compared", **changed)


def test_a_wrong_level_is_noticed(judged, monkeypatch):
    """Invariant 3: pairs are compared again here, and a level that differs stops the run."""
    engine = on(Cluster("local[1]"))
    place = np.arange(len(judged))
    levels = np.full((2, len(COMPARISONS)), -1, np.int8)
    levels[:, 0] = len(COMPARISONS[0].levels) - 1
    differing = np.flatnonzero(judged.singles["name"] != judged.singles["name"][0])[:2]
    pairs = np.zeros(2, np.int64), differing, levels
    monkeypatch.setattr(remote, "find_spec", lambda name: name)
    monkeypatch.setattr(remote, "export", lambda *_: place)
    monkeypatch.setattr(remote, "_run", lambda *_: None)
    monkeypatch.setattr(remote, "answer", lambda *_: pairs)
    with pytest.raises(SparkAnswerError, match="levels differ"):
        engine.compared(judged)


def test_without_pyspark_the_error_says_how_to_get_it(judged, monkeypatch):
    """Asked for Spark without its package, a run stops and names the command that installs it."""
    monkeypatch.setattr(remote, "find_spec", lambda _: None)
    with pytest.raises(SparkMissingError, match=r"pip install 'kith\[spark\]'"):
        on(Cluster("local[2]")).compared(judged)


def test_a_master_that_is_not_there_is_named_at_once(judged, monkeypatch, tmp_path):
    """Nobody answers at the address: the error names it, and nothing was written."""
    monkeypatch.setattr(remote, "find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SparkLostError, match=rf"spark://127.0.0.1:{port} was lost: nobody"):
        on(Cluster(f"spark://127.0.0.1:{port}", tmp_path)).compared(judged)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_private_and_gone_whatever_happens(judged, monkeypatch, tmp_path):
    """Invariant 4: only its owner can open it, and an error in the middle leaves nothing."""
    modes = []

    def interrupted(cluster, folder, *_):
        modes.append(folder.stat().st_mode & 0o777)
        assert list(folder.rglob("*.parquet"))
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "find_spec", lambda name: name)
    monkeypatch.setattr(remote, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        on(Cluster("local[2]", tmp_path)).compared(judged)
    assert modes == [0o700]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("master", "here"),
    [
        ("local[2]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://localhost:7077", True),
        ("spark://spark.example.com:7077", False),
        ("spark://127.0.0.1:7077,spark.example.com:7077", False),
        ("yarn", False),
    ],
)
def test_only_a_cluster_on_this_machine_is_tied_to_the_loopback(master, here):
    """Executors elsewhere must be able to reach the process that drives them."""
    assert Cluster(master).here is here
