"""From one delivered record to everything that is stored of it.

Pure but for keys: no database, no clock. Cheap work (key, content digest) is kept apart
from dear work (normalise, derive, seal), which only new and changed records need.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cdp.ingest.features import Deriver
from cdp.ingest.indexing import Cells, IndexRow, rows_of
from cdp.ingest.values import Reading, Values, is_known_store, read_records
from cdp.vault import plaintext
from cdp.vault.blind import BlindIndexes
from cdp.vault.forms import Forms
from cdp.vault.keyed import FIRST, FeatureKeyer, RecordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.vault import MASKED, NO_FORMS, SealedForms, SealedRecord, Vault
from connectors.declaration import SourceDeclaration
from connectors.digests import sha256_hex
from connectors.events.telling import KEPT_SENSITIVE
from connectors.record import FieldProblem, Record, Sensitive
from connectors.vocabulary import SENSITIVE_FIELDS
from identity import features

REASON = "ingest"
_SENSITIVE_CELLS = SENSITIVE_FIELDS | {f"masked_{name}" for name in SENSITIVE_FIELDS}
_SENSITIVE_KEPT = frozenset({KEPT_SENSITIVE})  # of what a source keeps of its own
AT_ONCE: Final = 250  # records that are prepared together; their values are in memory meanwhile
_CONTENT = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What tells whether a record is new, changed or known.

    Attributes:
        key: keyed hash of (source, record id).
        content: keyed hash of all that was delivered and of how it is read.
    """

    key: bytes
    content: bytes


class Revision(NamedTuple):
    """A record as it was delivered, and which revision of which record that is."""

    record: Record
    id: int
    number: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """One revision of a record, ready to be stored."""

    sealed: SealedRecord
    indexes: tuple[IndexRow, ...]  # each once
    epoch: int  # of the indexes
    problems: tuple[FieldProblem, ...]
    store: str | None  # of the organisation
    features: bytes = field(repr=False)  # packed, for whoever resolves the record at once
    feature_key: int = FIRST  # version of the key that they are keyed with
    masked: SealedForms = NO_FORMS
    masking: str | None = None  # version of the masks behind `masked`; None: no forms are made


def as_text(record: Record) -> Sensitive:
    """The whole delivered row as one text, to be kept sealed."""
    fields = {
        name: [one.value.reveal(reason=REASON) for one in values]
        for name, values in record.fields.items()
    }
    whole = {"record_id": record.record_id.reveal(reason=REASON), **fields}
    return Sensitive(json.dumps(whole | dict(record.attributes), ensure_ascii=False))


def deriver_of(keyring: KeyRing, reading: Reading) -> Deriver:
    """Make what derives features, under the first version of their key.

    What it remembers of values takes about 80 MB when full. It is the same for all sources of
    a workspace, so that a process that takes in several needs one.
    """
    keyer = FeatureKeyer(keyring, FIRST)
    return Deriver(keyer.key, keyer.keys, reading.identifiers)


class Preparer:
    """Prepare the records of one source."""

    def __init__(
        self,
        keyring: KeyRing,
        vault: Vault,
        source: SourceDeclaration,
        reading: Reading,
        forms: Forms | None = None,
    ) -> None:
        """Make it for one source.

        Without ``forms``, or with a ring of an earlier release, no masked forms are made:
        `cdp vault remask` does it later.
        """
        self._vault = vault
        self._forms = forms if vault.holds(MASKED) else None
        self._source = source
        self._reading = reading
        self._records = RecordKeys(keyring)
        self._indexes = BlindIndexes(keyring)
        # Values are keyed with the first version, and what comes out with every later one.
        self._deriver = deriver_of(keyring, reading)
        self._layers = vault.layers
        # Read again whatever was read in another way: a new mapping, new features, another
        # country, other blocked values, and, where remarks name stores, another store.
        labels = reading.labels if "remark" in source.fields else ()
        stores = sorted(reading.stores or ()) if source.store else []
        known = reading.identifiers
        types = [known[name].reading() for name in sorted(source.fields) if name in known]
        how = [source.digest(), features.VERSION, reading.region, *labels, *stores, types]
        self._read_as = json.dumps(how).encode()

    def share(self, deriver: Deriver) -> None:
        """Derive with what other sources of the workspace derive with: see ``deriver_of``."""
        self._deriver = deriver

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
        parts = [
            delivered,
            dict(record.attributes),
            record.store,
            sorted(record.opted_out),
            problems,
        ]
        if record.unstated or record.kept:
            kept = {name: one.reveal(reason=REASON) for name, one in record.kept.items()}
            parts += [sorted(record.unstated), kept]
        content = _CONTENT.encode(parts).encode()
        return Recognised(
            self._records.record_key(self._source.name, record_id),
            self._records.content_digest(self._source.name, self._read_as + content),
        )

    def prepare(
        self, record: Record, record_id: int, revision: int, feature_key: int = FIRST
    ) -> Prepared:
        """Read, derive, key and seal one revision; see ``prepare_all``.

        Raises:
            KeyMissing: as there.
        """
        return self.prepare_all([Revision(record, record_id, revision)], feature_key)[0]

    def prepare_all(
        self, revisions: Sequence[Revision], feature_key: int = FIRST
    ) -> list[Prepared]:
        """Read, derive, key and seal revisions.

        Args:
            revisions: in any number; no more than ``AT_ONCE`` are worked on at a time.
            feature_key: version that their features are brought under.

        Raises:
            KeyMissing: the ring lacks that version.
        """
        starts = range(0, len(revisions), AT_ONCE)
        some = (revisions[start : start + AT_ONCE] for start in starts)
        return [one for together in some for one in self._together(together, feature_key)]

    def _together(self, revisions: Sequence[Revision], feature_key: int) -> list[Prepared]:
        """One step for all of them, then the next one.

        A step that is repeated stays in the processor's caches: record by record, all steps
        together take a third longer.
        """
        values = read_records([one.record for one in revisions], self._reading)
        cells = [one.cells() for one in values]
        packed = self._packed(revisions, values, feature_key)
        indexer, compounds = self._indexes.newest, self._reading.indexes
        indexes = [rows_of(indexer, compounds, one) for one in cells]
        tiers = [self._tiers(one.record, its) for one, its in zip(revisions, cells, strict=True)]
        sealed = [
            self._vault.seal_record(one.id, one.number, contact, sensitive, keys)
            for one, (contact, sensitive), keys in zip(revisions, tiers, packed, strict=True)
        ]
        masked = [
            self._masked(one.id, one.number, its) for one, its in zip(revisions, cells, strict=True)
        ]
        masking = self._forms.version if self._forms else None
        return [
            Prepared(
                sealed[at],
                indexes[at],
                indexer.epoch,
                tuple(values[at].problems),
                one.record.store if is_known_store(one.record.store, self._reading) else None,
                packed[at],
                feature_key,
                masked[at],
                masking,
            )
            for at, one in enumerate(revisions)
        ]

    def _packed(
        self, revisions: Sequence[Revision], values: Sequence[Values], feature_key: int
    ) -> list[bytes]:
        packed = [features.pack(one) for one in self._deriver.derive_all(values)]
        if feature_key == FIRST:
            return packed
        ids = [one.id for one in revisions]
        return features.rekeyed(ids, packed, self._layers.over(FIRST, feature_key))

    def _masked(self, record_id: int, revision: int, cells: Cells) -> SealedForms:
        """Seal the masked form of each field's first value, which is what is shown of it."""
        if self._forms is None:
            return NO_FORMS
        made: dict[str, bytes] = {}
        for name, values in cells.items():
            form = self._forms.form(name, values[0][0])
            if form is not None:
                made[name] = form.encode()
        return self._vault.seal_forms(record_id, revision, made)

    def _tiers(
        self, record: Record, cells: Cells
    ) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
        contact = {
            # The source's own name for the record, so that an export can give it back.
            "record_id": plaintext.encode([(record.record_id.reveal(reason=REASON), None)])
        }
        sensitive: dict[str, bytes] = {}
        for name, cell in cells.items():
            tier = sensitive if name in _SENSITIVE_CELLS else contact
            tier[name] = plaintext.encode(cell)
        for name, text in record.kept.items():
            tier = sensitive if name in _SENSITIVE_KEPT else contact
            tier[name] = plaintext.encode([(text.reveal(reason=REASON), None)])
        return contact, sensitive
