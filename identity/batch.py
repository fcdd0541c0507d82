"""One full run: a table of keyed features in, people out.

Nothing is read from or written to disk, and the answer depends on the features and the
epoch alone. Records are sorted and compared as numpy arrays, which is several times faster
than a query engine. Memory grows with the number of records and of candidate pairs, and is
bounded: pairs are worked at in slices, those that decide nothing are let go, and a run that
does not fit is refused before it compares a pair (``identity.memory``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from identity import sharing, training
from identity.all_pairs import AllPairs, compare_pairs
from identity.candidates import candidates
from identity.clusters import Constraints, Pairs, Rules, decide
from identity.columns import Bools, Columns, Ints
from identity.comparisons import COMPARISONS
from identity.components import connected
from identity.duckdb_engine import Limits
from identity.memory import Room
from identity.model import Model
from identity.pairs import places
from identity.scorer import Scorer, compare_all
from identity.sharing import PhoneUse

FLOOR_BITS = 0.0  # even odds: weaker pairs neither make components nor are kept as edges
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a run found.

    Attributes:
        records: every record id, ascending. Shape (records,).
        anchors: the smallest record id of each record's cluster. Shape (records,).
        edges: the scored pairs of at least ``FLOOR_BITS``.
        direct: which edges a blocking rule made; the others were scored only because
            both records are of one component. Shape (edges,).
        compared: how many pairs were scored.
        judged: the features that were compared, in the order of ``records``.
        use: the numbers that several people use.
    """

    records: Ints
    anchors: Ints
    edges: Pairs
    direct: Bools
    compared: int
    judged: Columns
    use: PhoneUse


def _quiet(step: str) -> None:
    del step


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything about the records that does not depend on weights: compared, not judged.

    Attributes:
        judged: the features that are compared, by record id ascending.
        use: the numbers that several people use.
        compared: the candidate pairs.
        room: for what is left to do.
    """

    judged: Columns
    use: PhoneUse
    compared: AllPairs
    room: Room


class Engine(Protocol):
    """Finds the candidate pairs of all records and compares them, here or elsewhere."""

    def compared(self, judged: Columns, room: Room | None = None) -> AllPairs:
        """Every candidate pair, in the order of its records.

        Raises:
            NotEnoughMemoryError: they do not fit in the room.
        """
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """The engine that is always there: this process."""

    limits: Limits

    def compared(self, judged: Columns, room: Room | None = None) -> AllPairs:
        """Every candidate pair, in the order of its records.

        Raises:
            NotEnoughMemoryError: they do not fit in the room.
        """
        room, threads = room or Room(self.limits, 0), self.limits.threads
        left, right = candidates(judged, threads, room.keys_at_once())
        return compare_pairs(judged, left, right, threads, room.pairs_at_once(len(left)))


def resolve(
    features: pa.Table,
    model: Model | None,
    start: Model,
    limits: Limits,
    progress: Progress = _quiet,
    constraints: Constraints | None = None,
) -> tuple[Resolution, Model]:
    """Resolve all records at once.

    Args:
        features: as ``identity.features.unpack`` gives them.
        model: the epoch to use; None learns a new one.
        start: thresholds and limits of a new epoch.
        limits: memory and threads.
        progress: told the name of each step.
        constraints: what people decided, between ids of ``features``.

    Returns:
        The people found, and the epoch they were found with.
    """
    found = gather(features, (model or start).most_people, limits, progress)
    return conclude(found, model, start, limits, progress, constraints)


def conclude(
    found: Gathered,
    model: Model | None,
    start: Model,
    limits: Limits,
    progress: Progress = _quiet,
    constraints: Constraints | None = None,
) -> tuple[Resolution, Model]:
    """The second half of ``resolve``: what is left once the pairs are compared."""
    if model is None:
        rest = found.room.for_learning(len(found.compared))
        model = training.train(found.judged, start, found.compared, rest, progress)
    return judge(found, model, limits, progress, constraints), model


def gather(
    features: pa.Table,
    most_people: int,
    limits: Limits,
    progress: Progress = _quiet,
    engine: Engine | None = None,
) -> Gathered:
    """Find the candidates and compare them, here or on another ``engine``.

    The first half of ``resolve``; ``conclude`` is the second.

    Raises:
        NotEnoughMemoryError: records and candidates do not fit in ``limits``.
    """
    columns = Columns.of(features, limits.threads).ascending()
    room = Room.beside(features, columns, limits)
    room.keys_at_once()
    progress("shared numbers")
    use = sharing.count_use(columns)
    judged = sharing.judged(columns, use, most_people)
    del columns
    progress("comparing pairs")
    room = Room.beside(features, judged, limits)
    return Gathered(judged, use, (engine or Here(limits)).compared(judged, room), room)


def judge(
    gathered: Gathered,
    model: Model,
    limits: Limits,
    progress: Progress = _quiet,
    constraints: Constraints | None = None,
) -> Resolution:
    """Weigh the compared pairs under an epoch and decide who is one person."""
    judged, scorer = gathered.judged, Scorer(model)
    constraints = constraints or Constraints.none()
    found, chosen = gathered.compared, _deciding(gathered, scorer, constraints)
    kept = int(chosen.sum())
    gathered.room.require(len(found), kept)

    def score(low: Ints, high: Ints) -> Pairs:
        left, right = places(judged.ids, low), places(judged.ids, high)
        return scorer.weigh(compare_all(judged, left, right, limits.threads))

    progress("judging components")
    decided = decide(
        judged.ids,
        found.weighed(scorer, chosen),
        constraints,
        rules_of(model),
        score,
        FLOOR_BITS,
    )
    strong = np.flatnonzero(decided.pairs.weight >= FLOOR_BITS)
    return Resolution(
        records=judged.ids,
        anchors=decided.anchors,
        edges=decided.pairs.take(strong),
        direct=strong < kept,
        compared=len(found) + len(decided.pairs) - kept,
        judged=judged,
        use=gathered.use,
    )


def _deciding(gathered: Gathered, scorer: Scorer, constraints: Constraints) -> Bools:
    """Which candidates have a say: the strong ones, and the weak ones inside a component."""
    found, ids = gathered.compared, gathered.judged.ids
    strong = found.weights(scorer) >= FLOOR_BITS
    must = constraints.within(ids)
    home = connected(
        len(ids),
        np.concatenate((found.left[strong], must.must_low)),
        np.concatenate((found.right[strong], must.must_high)),
    )
    inside: Bools = home[found.left] == home[found.right]
    return inside


def rules_of(model: Model) -> Rules:
    """What clustering needs to know of an epoch."""
    return Rules(
        tuple(comparison.several for comparison in COMPARISONS),
        tuple(comparison.exclusive for comparison in COMPARISONS),
        model.prior_bits,
        model.join_bits,
        tuple(
            (place, comparison.level_number(at))
            for place, comparison in enumerate(COMPARISONS)
            for at, level in enumerate(comparison.levels)
            if level.partial
        ),
    )
