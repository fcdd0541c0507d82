"""From one delivered record to everything that is stored of it.

Pure but for keys: no database, no clock. Cheap work (key, content digest) is kept apart
from dear work (normalise, derive, seal), which only new and changed records need.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from cdp.ingest.features import derive
from cdp.ingest.values import Reading, Values, is_known_store, read_record
from cdp.vault import plaintext
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexer
from cdp.vault.keyed import FeatureKeyer, RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.vault import SealedRecord, Vault
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.record import FieldProblem, Record, Sensitive
from connectors.vocabulary import SENSITIVE_FIELDS
from identity import features

REASON = "ingest"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What tells whether a record is new, changed or known.

    Attributes:
        key: keyed hash of (source, record id).
        content: keyed hash of all that was delivered and of how it is read.
    """

    key: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """One revision of a record, ready to be stored."""

    sealed: SealedRecord
    indexes: tuple[tuple[str, bytes], ...]  # (field, blind index), each once
    problems: tuple[FieldProblem, ...]
    store: str | None  # of the organisation


def as_text(record: Record) -> Sensitive:
    """The whole delivered row as one text, to be kept sealed."""
    fields = {
        name: [one.value.reveal(reason=REASON) for one in values]
        for name, values in record.fields.items()
    }
    whole = {"record_id": record.record_id.reveal(reason=REASON), **fields}
    return Sensitive(json.dumps(whole | dict(record.attributes), ensure_ascii=False))


class Preparer:
    """Prepare the records of one source."""

    def __init__(
        self, keyring: KeyRing, vault: Vault, source: SourceDeclaration, reading: Reading
    ) -> None:
        self._vault = vault
        self._source = source
        self._reading = reading
        self._records = RecordKeys(keyring)
        self._indexer = BlindIndexer(keyring)
        self._keyer = FeatureKeyer(keyring)
        # Read again whatever was read in another way: a new mapping, new features, another
        # country, other blocked values, and, where remarks name stores, another store.
        labels = reading.labels if "remark" in source.fields else ()
        stores = sorted(reading.stores or ()) if source.store else []
        known = reading.identifiers
        types = [known[name].reading() for name in sorted(source.fields) if name in known]
        how = [source.digest(), features.VERSION, reading.region, *labels, *stores, types]
        self._read_as = json.dumps(how).encode()

    @property
    def read_as(self) -> str:
        """Names the way of reading: equal only where equal rows give equal records."""
        return sha256_hex([self._read_as])

    def recognise(self, record: Record) -> Recognised:
        """Name the record and its content without reading the values."""
        record_id = record.record_id.reveal(reason=REASON)
        delivered = {
            name: [one.value.reveal(reason=REASON) for one in values]
            for name, values in record.fields.items()
        }
        problems = [
            (problem.field, problem.raw.reveal(reason=REASON)) for problem in record.problems
        ]
        content = json.dumps(
            [delivered, dict(record.attributes), record.store, sorted(record.opted_out), problems],
            sort_keys=True,
        ).encode()
        return Recognised(
            self._records.record_key(self._source.name, record_id),
            self._records.content_digest(self._source.name, self._read_as + content),
        )

    def prepare(self, record: Record, record_id: int, revision: int) -> Prepared:
        """Read, derive, key and seal one revision."""
        values = read_record(record, self._reading)
        contact, sensitive = self._cells(record, values)
        packed = features.pack(derive(values, self._keyer.key, self._reading.identifiers))
        return Prepared(
            self._vault.seal_record(record_id, revision, contact, sensitive, packed),
            self._indexes(values),
            tuple(values.problems),
            record.store if is_known_store(record.store, self._reading) else None,
        )

    def _cells(
        self, record: Record, values: Values
    ) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        contact = {
            # The source's own name for the record, so that an export can give it back.
            "record_id": plaintext.encode([(record.record_id.reveal(reason=REASON), None)])
        }
        sensitive: dict[str, bytes] = {}
        for name, cell in values.cells().items():
            tier = sensitive if name.removeprefix("masked_") in SENSITIVE_FIELDS else contact
            tier[name] = plaintext.encode(cell)
        return contact, sensitive

    def _indexes(self, values: Values) -> tuple[tuple[str, bytes], ...]:
        found = {
            (name, self._indexer.index(name, scope, value.canonical))
            for name, read in values.read.items()
            if name in INDEXED_FIELDS
            for value, scope in read
        }
        return tuple(sorted(found))
