"""Learn an epoch and leave everything as it is: what it would change is looked at first."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.resolution import decisions, epochs
from cdp.resolution.loading import Loaded, load_features
from cdp.resolution.simulating import snapshot
from cdp.storage import schema
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity import batch, labels, training
from identity.constraints import Constraints
from identity.duckdb_engine import Limits
from identity.errors import ModelVersionError, TooFewRecordsError
from identity.model import UNTRAINED, Model
from identity.pairs import Levels

Progress = Callable[[str], None]
Pair = tuple[int, int]  # record ids, the lower one first
HEADER = ["source", "record_id", "source", "record_id", "same"]
_ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Labels:
    """Pairs of records that somebody judged.

    Attributes:
        same, different: pairs that are one person, and that are two.
        unknown: how many pairs name a record that is not there.
    """

    same: frozenset[Pair]
    different: frozenset[Pair]
    unknown: int = 0

    def and_also(self, judged: Sequence[tuple[int, int, bool]]) -> "Labels":
        """With what people decided about profiles, which outweighs a file."""
        same = {(low, high) for low, high, is_same in judged if is_same}
        different = {(low, high) for low, high, is_same in judged if not is_same}
        return replace(
            self,
            same=(self.same - different) | frozenset(same),
            different=(self.different - same) | frozenset(different),
        )


NO_LABELS = Labels(frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class Learnt:
    """A new epoch, and what it was taught."""

    model: Model
    labels: Labels


def learn(
    workspace: Workspace,
    labels_file: Path | None = None,
    *,
    decided: bool = False,
    progress: Progress = lambda _: None,
) -> Learnt:
    """Learn an epoch from all records; nothing is stored and none is switched.

    The thresholds are those in force; those of ``UNTRAINED`` if there are none.

    Args:
        workspace: whose records teach.
        labels_file: judged pairs, see ``read_labels``.
        decided: let the decisions of people teach too.
        progress: told the name of each step.

    Raises:
        Stop: fewer than two records, or the labels cannot be used.
        identity.errors.NotEnoughMemoryError: learning does not fit beside the pairs.
    """
    limits = Limits(workspace.settings.memory_mb, workspace.settings.threads)
    progress("opening features")
    with snapshot(workspace) as connection:
        start = _start(connection)
        judged = read_labels(connection, RecordKeys(workspace.keyring), labels_file)
        if decided:
            judged = judged.and_also(decisions.labels(connection))
        loaded = load_features(connection, workspace.vault)
    start = replace(start, feature_key=loaded.feature_key)
    gathered = batch.gather(loaded.table, start.most_people, limits, progress)
    taught = _levels(gathered, loaded, judged, limits)
    rest = gathered.room.for_learning(len(gathered.compared))
    try:
        model = training.train(
            gathered.judged, start, gathered.compared, rest, progress, labelled=taught
        )
    except TooFewRecordsError as error:
        raise Stop(
            "too_few_records",
            "bring in two records at least: cdp source sync",
            records=len(loaded),
        ) from error
    return Learnt(model, judged)


def _start(connection: sa.Connection) -> Model:
    try:
        active = epochs.active(connection)
    except ModelVersionError:  # of another version: its thresholds mean nothing here
        return UNTRAINED
    return active[1] if active else UNTRAINED


def _levels(
    gathered: batch.Gathered, loaded: Loaded, judged: Labels, limits: Limits
) -> Levels | None:
    """The levels of the judged matches, in the order of record keys."""
    if not judged.same:
        return None
    nobody = Constraints.none()
    low, high = np.array(sorted(judged.same), np.int64).T
    ends = loaded.numbered(replace(nobody, must_low=low, must_high=high))
    return labels.levels_of(gathered.judged, ends.must_low, ends.must_high, limits.threads)


def read_labels(connection: sa.Connection, keys: RecordKeys, path: Path | None) -> Labels:
    """Read a file of judged pairs: CSV with ``source,record_id,source,record_id,same``.

    ``same`` is yes or no. A pair that names an unknown record is counted and left out.

    Raises:
        Stop: the file is missing or has other columns, a row is incomplete, names one
            record twice or contradicts another one, or not one of its records is known.
    """
    if path is None:
        return NO_LABELS
    pairs = _pairs(path, keys)
    wanted = {key for pair in pairs for key in pair}
    record = schema.record.c
    rows = connection.execute(sa.select(record.id, record.key).where(record.key.in_(wanted)))
    ids = {bytes(row.key): int(row.id) for row in rows}
    same: set[Pair] = set()
    different: set[Pair] = set()
    for (one, other), is_same in pairs.items():
        if one in ids and other in ids:
            low, high = sorted((ids[one], ids[other]))
            (same if is_same else different).add((low, high))
    unknown = len(pairs) - len(same) - len(different)
    if unknown == len(pairs):
        raise Stop("labels_know_no_record", "name records as the sources name them", path=path)
    return Labels(frozenset(same), frozenset(different), unknown)


def _pairs(path: Path, keys: RecordKeys) -> dict[tuple[bytes, bytes], bool]:
    found: dict[tuple[bytes, bytes], bool] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != HEADER:
                step = f"begin the file with {','.join(HEADER)}"
                raise Stop("labels_columns_missing", step, path=path)
            for row in reader:
                pair, same = _judged(row, keys, path, reader.line_num)
                if found.setdefault(pair, same) is not same:
                    step = "keep one of the two answers about this pair"
                    raise Stop("labels_contradict", step, path=path, row=reader.line_num)
    except FileNotFoundError as error:
        raise Stop("labels_missing", "name an existing CSV file", path=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Stop("labels_unreadable", "save it as CSV in UTF-8", path=path) from error
    if not found:
        raise Stop("labels_empty", "write one judged pair a row", path=path)
    return found


def _judged(
    row: list[str], keys: RecordKeys, path: Path, line: int
) -> tuple[tuple[bytes, bytes], bool]:
    same = _ANSWERS.get(row[-1].strip().lower()) if row else None
    if len(row) != len(HEADER) or not all(row[:4]) or same is None:
        step = "give every row two sources, two record ids, and yes or no"
        raise Stop("labels_row_incomplete", step, path=path, row=line)
    one, other = sorted((keys.record_key(*row[:2]), keys.record_key(*row[2:4])))
    if one == other:
        raise Stop("labels_row_names_one_record", "name two records", path=path, row=line)
    return (one, other), same
