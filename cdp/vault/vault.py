"""The vault: records go in as fields and come out only where they belong.

What it promises. Each promise has a test in ``tests/unit/vault`` that names it.

1. A cell opens only in its own place: workspace, tier, table, field, record, revision,
   key version and format are all bound into it.
2. A changed, cut or extended cell, wrapped key or rejected row does not open, and nothing
   of it is returned.
3. Every revision of every record has its own random data key per tier. Without the
   wrapped key the cells open to nobody, the holder of the ring included.
4. A wrapped key opens to the one data key that was committed to, or to none.
5. A process without a tier's key works, and neither opens nor seals that tier.
6. The ring of another workspace is refused before anything is read.
7. Nothing shows: no ``repr``, error, traceback with locals or pickle of the vault holds
   key material or a plaintext.
8. Equal values seal to different bytes. Only what is keyed on purpose (indexes, features,
   record keys) is equal for equal values, under keys of its own.
9. Wrapping a data key under a newer key-encryption key leaves its cells as they are.
10. Everything stored carries its format and its key version.
11. The masked tier opens with the `masked` key alone, and that key opens nothing else: who
    shows masked forms needs no key that opens a clear value.

It is pure: no database, no files, no clock. Randomness is an argument.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, NoReturn
from uuid import UUID

from cdp.errors import KithError
from cdp.vault import cells, primitives, rejects
from cdp.vault.cells import Columns, Place
from cdp.vault.envelope import DataKey, WrappedKey, Wrapping
from cdp.vault.errors import CellGarbled, NotSealable
from cdp.vault.keyed import FeatureLayers, WordKeys
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import KEY_BYTES, NONCE_BYTES, KeyCipher, Randomness
from cdp.vault.rejects import RejectPlace
from cdp.vault.secret import Secret
from connectors.record import Sensitive, decoded

CONTACT, SENSITIVE = "contact", "sensitive"
MASKED = "masked"  # what may be shown without opening the value: `cdp.vault.forms`
TIERS = (CONTACT, SENSITIVE, MASKED)
# Where features live: the record table, under the record's contact key.
FEATURES_TABLE, FEATURES_FIELD = "record", "features"
_FIRST_NONCES = KEY_BYTES + NONCE_BYTES


class SealedForms(NamedTuple):
    """The masked forms of one revision of a record, sealed; without forms there is no key."""

    fields: tuple[str, ...] = ()
    cells: tuple[bytes, ...] = ()
    key: WrappedKey | None = None


NO_FORMS = SealedForms()


class SealedRecord(NamedTuple):
    """One revision of a record, sealed: fields beside their cells, position by position."""

    contact_fields: tuple[str, ...]
    contact_cells: tuple[bytes, ...]
    sensitive_fields: tuple[str, ...]
    sensitive_cells: tuple[bytes, ...]
    contact_key: WrappedKey
    sensitive_key: WrappedKey | None  # None: no sensitive field
    features: bytes


class Vault:
    """Seal and open the records of one workspace with the keys of its ring."""

    __slots__ = (
        "_columns",
        "_feature_column",
        "_keyring",
        "_randomness",
        "_rejecting",
        "_words",
        "_wrappings",
        "layers",
        "workspace",
    )

    def __init__(
        self,
        keyring: KeyRing,
        workspace: UUID,
        randomness: Randomness = primitives.system_randomness,
    ) -> None:
        """Refuse the ring of another workspace (`OtherWorkspace`)."""
        keyring.require(workspace)
        self.workspace = workspace
        self._keyring = keyring
        self._randomness = randomness
        self.layers = FeatureLayers(keyring)
        self._wrappings: dict[tuple[str, int], Wrapping] = {}
        self._rejecting: dict[int, KeyCipher] = {}
        self._words: WordKeys | None = None  # not before: this process may lack its key
        self._columns = {tier: Columns(workspace, tier) for tier in TIERS}
        self._feature_column = cells.column(workspace, CONTACT, FEATURES_TABLE, FEATURES_FIELD)

    def holds(self, tier: str) -> bool:
        """Say whether this process can seal and open that tier."""
        return tier in TIERS and self._keyring.holds(tier)

    # ── records ─────────────────────────────────────────────────────────────

    def seal_record(
        self,
        record_id: int,
        revision: int,
        contact: Mapping[str, bytes],
        sensitive: Mapping[str, bytes],
        features: bytes,
    ) -> SealedRecord:
        """Seal one revision of a record under new data keys.

        The contact key is made even for a record without contact fields: it seals the
        features.

        Raises:
            KeyWithheld: there are sensitive fields and this process holds no such key.
            NotSealable: an id or revision out of range, or a value that is not bytes.
        """
        row = _Row(record_id, revision)
        ready = self._ready(row, (CONTACT, SENSITIVE) if sensitive else (CONTACT,))
        problem = _not_sealable(row, (*contact.values(), *sensitive.values(), features))
        if isinstance(ready, KithError) or problem is not None:
            del contact, sensitive, features  # a traceback with locals must not show them
            raise ready if isinstance(ready, KithError) else problem  # type: ignore[misc]
        columns = (*self._shared(CONTACT, contact), self._feature_column)
        contact_key, contact_cells = self._seal(
            ready[0], row, columns, (*contact.values(), features)
        )
        sensitive_key, sensitive_cells = (
            self._seal(ready[1], row, self._shared(SENSITIVE, sensitive), sensitive.values())
            if sensitive
            else (None, ())
        )
        return SealedRecord(
            contact_fields=tuple(contact),
            contact_cells=contact_cells[:-1],
            sensitive_fields=tuple(sensitive),
            sensitive_cells=sensitive_cells,
            contact_key=contact_key,
            sensitive_key=sensitive_key,
            features=contact_cells[-1],
        )

    def seal_forms(self, record_id: int, revision: int, forms: Mapping[str, bytes]) -> SealedForms:
        """Seal the masked forms of one revision of a record under a new data key.

        Raises:
            KeyWithheld, KeyMissing: there are forms and this process holds no such key.
            NotSealable: as `seal_record`.
        """
        row, values = _Row(record_id, revision), tuple(forms.values())
        ready = self._ready(row, (MASKED,) if forms else ())
        problem = _not_sealable(row, values)
        if isinstance(ready, KithError) or problem is not None:
            del forms, values  # as above
            raise ready if isinstance(ready, KithError) else problem  # type: ignore[misc]
        if not forms:
            return NO_FORMS
        key, sealed = self._seal(ready[0], row, self._shared(MASKED, forms), values)
        return SealedForms(tuple(forms), sealed, key)

    def open_cell(
        self,
        tier: str,
        field: str,
        record_id: int,
        revision: int,
        wrapped: WrappedKey,
        cell: bytes,
    ) -> Sensitive:
        """Open one field of a record.

        Raises:
            KeyWithheld, KeyMissing: no key for that tier, or not that version of it.
            WrappedKeyRefused, CellRefused, CellGarbled: changed, or not of this place.
        """
        return self.open_cells(tier, record_id, revision, wrapped, {field: cell})[field]

    def open_cells(
        self,
        tier: str,
        record_id: int,
        revision: int,
        wrapped: WrappedKey,
        sealed: Mapping[str, bytes],
    ) -> dict[str, Sensitive]:
        """Open several fields of one record; its data key is unwrapped once.

        ``sealed`` has the cell of each field. Errors are those of `open_cell`; one cell
        that does not open refuses all.
        """
        key = self._unwrap(tier, record_id, wrapped)
        tail = cells.row(record_id, revision, key.version)
        opened = cells.open_row(key, self._columns[tier], tail, sealed)
        if opened is not None:
            try:
                return dict(zip(sealed, decoded(opened), strict=True))
            except UnicodeDecodeError:
                opened = None  # a traceback with locals must not show it
        # One of them does not open, or holds no text: find it, and say which.
        places = [Place(self.workspace, tier, tier, n, record_id, revision) for n in sealed]
        return {
            place.field: _text(cells.open_cell(key, place, cell), place)
            for place, cell in zip(places, sealed.values(), strict=True)
        }

    def open_features(
        self, record_id: int, revision: int, wrapped: WrappedKey, blob: bytes
    ) -> bytes:
        """Open the sealed features of one record. Errors are those of `open_cell`."""
        key = self._unwrap(CONTACT, record_id, wrapped)
        return cells.open_cell(key, self._features_place(record_id, revision), blob)

    def seal_features(
        self, record_id: int, revision: int, wrapped: WrappedKey, packed: bytes
    ) -> bytes:
        """Seal other features of one record, under the data key that it has.

        Raises:
            KeyWithheld, KeyMissing, WrappedKeyRefused: as `open_cell`.
        """
        try:
            key = self._unwrap(CONTACT, record_id, wrapped)
        except KithError as error:
            del packed  # a traceback with locals must not show it
            raise error.at() from None
        nonce = self._randomness(NONCE_BYTES)
        return cells.seal(key, self._features_place(record_id, revision), packed, nonce)

    def open_features_many(self, rows: Iterable[tuple[int, int, WrappedKey, bytes]]) -> list[bytes]:
        """Open the features of many records: (record id, revision, wrapped key, blob) each.

        Returns them in the order of ``rows``. The first that does not open ends the call
        with an error that names its record.
        """
        return [self.open_features(*row) for row in rows]

    # ── rejected rows ───────────────────────────────────────────────────────

    def seal_reject(self, place: RejectPlace, raw: Sensitive) -> bytes:
        """Seal a rejected row or value for its place.

        Text that is not valid Unicode (a lone surrogate) is kept with that character
        replaced, so that the row is listed rather than lost.
        """
        version = self._keyring.current("rejects")
        text = raw.reveal(reason="seal a rejected row").encode(errors="replace")
        nonce = self._randomness(NONCE_BYTES)
        cipher = self._reject_cipher(version)
        return rejects.seal(cipher, version, self.workspace, place, (nonce, text))

    def open_reject(self, place: RejectPlace, sealed: bytes) -> Sensitive:
        """Open a rejected row or value.

        Raises:
            KeyWithheld, KeyMissing: the ring has no key, or not that version of it.
            CellGarbled, CellRefused: cut short, changed, or not of this place.
        """
        cipher = self._reject_cipher(rejects.key_version(place, sealed))
        return Sensitive(rejects.open_sealed(cipher, self.workspace, place, sealed).decode())

    def reseal_reject(self, place: RejectPlace, sealed: bytes) -> bytes:
        """Seal a rejected row under the newest key. Errors are those of `open_reject`."""
        return self.seal_reject(place, self.open_reject(place, sealed))

    def reject_words(self, source: str, words: Collection[str]) -> list[int]:
        """Return what tells that a rejected row of a source has none of some words in it.

        Raises:
            KeyWithheld: this process lacks the key that records are named with.
        """
        if self._words is None:
            self._words = WordKeys(self._keyring)
        return self._words.numbers(source, words)

    # ── inside ──────────────────────────────────────────────────────────────

    def _seal(
        self, wrapping: Wrapping, row: "_Row", columns: tuple[bytes, ...], values: Iterable[bytes]
    ) -> tuple[WrappedKey, tuple[bytes, ...]]:
        # One draw for the key and all nonces: asking the system is the slow part. It is
        # not kept beyond this record: a copy of this process must never reuse it.
        drawn = self._randomness(KEY_BYTES + NONCE_BYTES * (1 + len(columns)))
        fresh = Secret(drawn[:KEY_BYTES])
        nonce, nonces = drawn[KEY_BYTES:_FIRST_NONCES], drawn[_FIRST_NONCES:]
        del drawn
        wrapped, key = wrapping.wrap(row.record, fresh, wrapping.version, nonce)
        tail = cells.row(row.record, row.revision, key.version)
        return wrapped, cells.seal_row(key, columns, tail, values, nonces)

    def _unwrap(self, tier: str, record_id: int, wrapped: WrappedKey) -> DataKey:
        wrapping = self._wrappings.get((tier, wrapped.version))
        if wrapping is None:
            try:
                wrapping = self._wrapping(tier, wrapped.version)
            except KithError as error:
                raise error.at(record=record_id) from None
        return wrapping.unwrap(record_id, wrapped.wrapped)

    def _wrapping(self, tier: str, version: int) -> Wrapping:
        found = self._wrappings.get((tier, version))
        if found is not None:
            return found
        if tier not in TIERS:
            raise NotSealable("the vault has no such tier", f"name {' or '.join(TIERS)}", tier=tier)
        found = Wrapping(self._keyring.secret(tier, version), self.workspace, tier, version)
        self._wrappings[tier, version] = found
        return found

    def _reject_cipher(self, version: int) -> KeyCipher:
        found = self._rejecting.get(version)
        if found is None:
            found = primitives.key_cipher(self._keyring.secret("rejects", version))
            self._rejecting[version] = found
        return found

    def _shared(self, tier: str, fields: Iterable[str]) -> tuple[bytes, ...]:
        return tuple(map(self._columns[tier].__getitem__, fields))

    def _features_place(self, record_id: int, revision: int) -> Place:
        return Place(self.workspace, CONTACT, FEATURES_TABLE, FEATURES_FIELD, record_id, revision)

    def _ready(self, row: "_Row", tiers: tuple[str, ...]) -> list[Wrapping] | KithError:
        """What wraps the keys of these tiers now, or why one of them cannot be sealed."""
        # Returned, not raised: who holds the plaintexts drops them first.
        try:
            return [self._wrapping(tier, self._keyring.current(tier)) for tier in tiers]
        except KithError as error:
            return error.at(record=row.record)

    def __repr__(self) -> str:
        return f"<vault of {self.workspace}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault cannot be pickled; make one in each process")


class _Row(NamedTuple):
    record: int
    revision: int


def _not_sealable(row: _Row, values: tuple[bytes, ...]) -> KithError | None:
    if not (0 <= row.record <= cells.MAX_RECORD and 0 <= row.revision <= cells.MAX_REVISION):
        rule, step = "the record id or revision is out of range", "use the id the database gave"
    elif not {bytes}.issuperset(map(type, values)):
        rule, step = "a value is not bytes", "encode it before it is sealed"
    else:
        return None
    return NotSealable(rule, step, record=row.record)


def _text(plaintext: bytes, place: Place) -> Sensitive:
    try:
        return Sensitive(plaintext.decode())
    except UnicodeDecodeError:
        del plaintext  # a traceback with locals must not show it; nor may the decode error
    raise CellGarbled(
        "the cell opened, and does not hold text",
        "sync the record's source again",
        record=place.record,
        field=place.field,
    )
