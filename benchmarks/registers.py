"""Public registers with a known truth: read by the product's own mapping, resolved unsupervised.

Nothing is stored: the key ring is drawn for one run and forgotten with it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from cdp.ingest.features import derive
from cdp.ingest.values import Reading, read_record
from cdp.vault.keyed import FeatureKeyer, RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_document import RingDocument
from connectors.declaration import parse_source
from connectors.mapping import RowMapper
from connectors.record import Record
from identity import batch, evaluate, features
from identity.duckdb_engine import Limits
from identity.model import UNTRAINED

TODAY = dt.date(2026, 1, 1)  # of reading: the same rows are read alike in any year
LIMITS = Limits(memory_mb=4000, threads=2)
Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Register:
    """Rows of a register, and how a user would map them.

    Attributes:
        rows: one mapping of column to text a row.
        record_id: the column that names a row.
        fields: the mapping of a source in ``cdp.yaml``.
        oldest: years back that a date of birth may lie.
    """

    rows: Sequence[Row]
    record_id: str
    fields: Mapping[str, Any]
    oldest: int = 120


def people(register: Register, join_bits: float = UNTRAINED.join_bits) -> list[int]:
    """The person of each row, found in the keyed features alone.

    Args:
        register: what to resolve.
        join_bits: the threshold, see docs/howto/choose-thresholds.md.
    """
    table, order = keyed(register)
    start = replace(UNTRAINED, join_bits=join_bits)
    resolution, _ = batch.resolve(table, None, start, LIMITS)
    found = np.empty(len(order), np.int64)
    found[order] = resolution.anchors
    people: list[int] = found.tolist()
    return people


def keyed(register: Register) -> tuple[pa.Table, list[int]]:
    """The keyed features of every row under keys of this run's own, as a full run loads them.

    Returns:
        The features, in the order of record keys; and the row that each is of.
    """
    ring = KeyRing.of(RingDocument.fresh(uuid4(), system_randomness))
    key, records = FeatureKeyer(ring).key, RecordKeys(ring)
    source = parse_source(
        "register",
        {
            "connector": "csv",
            "location": "register.csv",
            "record_id": register.record_id,
            "fields": dict(register.fields),
        },
    )
    mapper = RowMapper(source)
    reading = Reading(TODAY, oldest=register.oldest)
    packed = []
    for position, row in enumerate(register.rows, start=1):
        record = mapper.map(position, row, str)
        if not isinstance(record, Record):
            raise TypeError(f"row {position} of the register gave no record: {record.rule}")
        name = records.record_key("register", record.record_id.reveal(reason="benchmark"))
        blob = features.pack(derive(read_record(record, reading), key))
        packed.append((name, position - 1, blob))
    packed.sort()
    table = features.unpack(range(len(packed)), [blob for _, _, blob in packed])
    return table, [row for _, row, _ in packed]


def measured(found: Sequence[Any], truth: Sequence[Any]) -> evaluate.Evaluation:
    """Hold the person found for each row against the true one."""
    return evaluate.evaluate_labels(found, truth)
