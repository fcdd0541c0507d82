"""How much memory a run takes: bounded, known before, and without a say in the answer."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import people
from identity import batch, memory
from identity.candidates import candidates
from identity.columns import Columns
from identity.constraints import Constraints
from identity.duckdb_engine import Limits
from identity.errors import NotEnoughMemoryError
from identity.model import UNTRAINED
from identity.sharing import count_use, judged

LOOSE = Limits(memory_mb=4000, threads=2)
RECORDS = 8_000
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def crowd():
    """Several thousand records."""
    return people.keyed(people.draw(RECORDS, seed=5))


@pytest.fixture(scope="module")
def learnt(crowd):
    """What a run without a tight limit finds, and the epoch it learns."""
    return batch.resolve(crowd, None, UNTRAINED, LOOSE)


def tightest(crowd, model):
    """The smallest limit that a run does not refuse."""
    limits = replace(LOOSE, memory_mb=1)
    while True:
        try:
            return limits, batch.resolve(crowd, model, UNTRAINED, limits)
        except NotEnoughMemoryError as error:
            limits = replace(limits, memory_mb=max(error.needed_mb, limits.memory_mb + 1))


def same(one, other):
    """Whether two runs found the same, to the last bit."""
    arrays = [
        (run.records, run.anchors, run.direct, run.edges.low, run.edges.high, run.edges.weight,
         run.edges.levels, run.edges.bits)
        for run in (one, other)
    ]  # fmt: skip
    return one.compared == other.compared and all(
        np.array_equal(mine, theirs) for mine, theirs in zip(*arrays, strict=True)
    )


def test_a_tight_limit_finds_what_a_loose_one_finds(crowd, learnt):
    """Slices are smaller, people and evidence the same to the last bit."""
    loose, model = learnt
    limits, (tight, _) = tightest(crowd, model)
    assert limits.memory_mb < 60
    columns = Columns.of(crowd)
    room = memory.Room.beside(crowd, columns, limits)
    assert room.pairs_at_once(loose.compared) < 20_000  # so that there are several slices
    assert same(tight, loose)


def test_learning_under_a_tight_limit_learns_the_same(crowd, learnt):
    """An epoch does not depend on memory either."""
    loose, model = learnt
    limits, (tight, again) = tightest(crowd, None)
    assert limits.memory_mb < 300
    assert again.to_text() == model.to_text()
    assert same(tight, loose)


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_people_nor_epoch_depend_on_threads(crowd, learnt, threads):
    """What is worked at side by side is put together in one order."""
    loose, model = learnt
    other, again = batch.resolve(crowd, None, UNTRAINED, replace(LOOSE, threads=threads))
    assert again.to_text() == model.to_text()
    assert same(other, loose)


@pytest.mark.parametrize(
    ("memory_mb", "threads", "rules", "each"),
    [
        (4000, 2, 2, Limits(1940, 1)),
        (4000, 5, 5, Limits(704, 1)),
        (4000, 1, 1, Limits(4000, 1)),
        (240, 2, 2, Limits(60, 1)),  # twice 60 for EM, and 120 for the pairs of a second rule
        (239, 2, 1, Limits(239, 2)),
        (60, 2, 1, Limits(60, 2)),
        (420, 5, 3, Limits(60, 1)),
    ],
)
def test_no_more_rules_are_learnt_at_once_than_fit(memory_mb, threads, rules, each):
    """Each has what one needs; threads that no rule takes go to the others."""
    assert memory.side_by_side(Limits(memory_mb, threads)) == (rules, each)


def test_what_numpy_takes_stays_under_the_limit(crowd, learnt):
    """Arrays and the table that was handed over, at every moment of the tightest run."""
    limits, _ = tightest(crowd, learnt[1])
    tracemalloc.start()
    try:
        batch.resolve(crowd, learnt[1], UNTRAINED, limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert crowd.nbytes < crowd.nbytes + peak < limits.memory_mb * memory.MB


def test_the_process_stays_under_the_limit():
    """Everything counted, by the operating system: 20,000 records under their tightest limit."""
    command = [sys.executable, "-m", "tests.unit.identity.tight_run", "20000"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    limit, taken = map(int, done.stdout.split()[-2:])
    assert 0 < taken < limit


def test_what_does_not_fit_is_refused_before_a_pair_is_compared(crowd, learnt):
    """The error names the limit, the need and the next step, and no step was begun."""
    steps = []
    with pytest.raises(NotEnoughMemoryError, match="raise CDP_MEMORY_MB, or") as refused:
        batch.resolve(crowd, learnt[1], UNTRAINED, Limits(8, 1), steps.append)
    assert steps == []
    assert refused.value.limit_mb == 8 < refused.value.needed_mb
    assert refused.value.needed_mb >= crowd.nbytes // memory.MB


def test_learning_is_refused_where_it_does_not_fit(crowd):
    """EM has its share of the limit: what the pairs leave, and no less than it needs."""
    found = batch.gather(crowd, UNTRAINED.most_people, LOOSE)
    rest = found.room.for_learning(len(found.compared))
    assert memory.EM < rest.memory_mb * memory.MB < LOOSE.memory_mb * memory.MB - memory.LEARNING
    small = replace(found, room=memory.Room(Limits(100, 1), 0))
    with pytest.raises(NotEnoughMemoryError):
        batch.conclude(small, None, UNTRAINED, LOOSE)


@pytest.mark.parametrize("keys_at_once", [300, 1_999, None])
def test_candidates_do_not_depend_on_how_keys_are_divided(crowd, keys_at_once):
    """No block is torn, and no pair is met twice."""
    columns = Columns.of(crowd.slice(0, 2_000))
    told = judged(columns, count_use(columns), 4)
    left, right = candidates(told, 1, keys_at_once)
    whole = candidates(told, 2)
    assert left.tolist() == whole[0].tolist()
    assert right.tolist() == whole[1].tolist()
    assert len(left) > 300


def test_nothing_is_compared_of_nobody():
    """No records, no pairs, no error."""
    nobody = people.keyed(people.draw(2, seed=1)).slice(0, 0)
    found = batch.gather(nobody, 4, LOOSE)
    assert len(found.compared) == 0


def test_a_must_link_brings_weak_candidates_back(crowd, learnt):
    """A weak pair has a say where a decision puts it inside a component."""
    loose, model = learnt
    found = batch.gather(crowd, model.most_people, LOOSE)
    weights = found.compared.weights(batch.Scorer(model))
    weak = np.flatnonzero(weights < batch.FLOOR_BITS)[:1]
    ends = found.compared.low[weak], found.compared.high[weak]
    must = replace(Constraints.none(), must_low=ends[0], must_high=ends[1])
    joined = batch.judge(found, model, LOOSE, constraints=must)
    anchor = dict(zip(joined.records.tolist(), joined.anchors.tolist(), strict=True))
    assert anchor[int(ends[0][0])] == anchor[int(ends[1][0])]
    assert joined.compared >= loose.compared
