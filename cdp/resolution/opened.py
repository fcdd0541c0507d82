"""The features of a few records, opened in memory and read once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.resolution.feature_keys import brought_up
from cdp.storage.statements import Statement, array, ask
from cdp.vault.envelope import WrappedKey
from cdp.vault.errors import CellGarbled, CellRefused, WrappedKeyRefused
from cdp.vault.keyed import FIRST
from cdp.vault.vault import CONTACT, Vault
from connectors.record import Raw
from identity import features
from identity.columns import Columns, Ints
from identity.errors import FeatureVersionError
from identity.plain import Plain

_ROWS = Statement(
    "open_records",
    ("bigint[]", "text"),
    """
    SELECT r.id, r.revision, r.dirty, r.key, r.features, r.feature_key, k.key_version, k.wrapped
    FROM unnest($1) AS x(id)
    JOIN kith.record r ON r.id = x.id
    LEFT JOIN kith_keys.data_key k ON k.record_id = r.id AND k.tier = $2
    """,
)


class Keyless(Stop):
    """A record's data key is gone: who is one person with it cannot be said any more."""


UNREADABLE = (Keyless, CellGarbled, CellRefused, WrappedKeyRefused, FeatureVersionError)
"""What is raised where one record's features cannot be read, whatever becomes of others."""


def keyless(record: int) -> Keyless:
    """The error of a record without its data key."""
    return Keyless(
        "its data key is missing",
        "restore the key table of the same backup, or forget the record: cdp vault shred",
        record=record,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A record whose features are known already: it was made in this transaction.

    Attributes:
        revision: its revision.
        dirty: whether it is to be looked at again.
        key: its record key.
        features: packed.
    """

    revision: int
    dirty: bool
    key: bytes
    features: bytes = field(repr=False)


@dataclass(slots=True)
class Opened(Raw):
    """A growing set of opened records, by record id."""

    vault: Vault
    records: dict[int, Told] = field(default_factory=dict, repr=False)
    feature_key: int = FIRST  # version of the key that all features are brought under
    _plain: dict[int, Plain] = field(default_factory=dict, repr=False)
    # All of them; records are added and never changed, so that their number tells which.
    _whole: Columns = field(default_factory=lambda: features.unpack_columns([], []), repr=False)

    def open(self, connection: sa.Connection, ids: Iterable[int]) -> None:
        """Open those of ``ids`` that are not open yet; ids that do not exist are passed over.

        Raises:
            Keyless, and the others of `UNREADABLE`: a record is there without its data key,
                its features were altered, or they are of another format.
            KeyMissing: the ring lacks a version.
        """
        wanted = set(ids) - self.records.keys()
        if not wanted:
            return
        rows = ask(connection, _ROWS, array(sorted(wanted)), CONTACT)
        for record, *_, wrapped in rows:
            if wrapped is None:
                raise keyless(record)
        blobs = self.vault.open_features_many(
            (record, revision, WrappedKey(version, bytes(wrapped)), bytes(sealed))
            for record, revision, _, _, sealed, _, version, wrapped in rows
        )
        blobs = brought_up(
            self.vault.layers, self.feature_key, [(row[0], row[5]) for row in rows], blobs
        )
        for (record, revision, dirty, key, *_), blob in zip(rows, blobs, strict=True):
            self.records[record] = Told(revision, dirty, bytes(key), blob)

    def of(self, ids: Collection[int]) -> Columns:
        """The open ones of ``ids``, ascending."""
        wanted = sorted(self.records.keys() & ids)
        if len(wanted) == len(self.records) == len(self._whole):
            return self._whole
        found = features.unpack_columns(wanted, [self.records[one].features for one in wanted])
        if len(wanted) == len(self.records):
            self._whole = found
        return found

    def plain(self, ids: Iterable[int]) -> dict[int, Plain]:
        """The open ones of ``ids``, ascending, one by one."""
        known, held = self._plain, self.records
        wanted = [one for one in sorted(ids) if one in held]
        for one in wanted:
            if one not in known:
                known[one] = features.unpack_one(one, held[one].features)
        return {one: known[one] for one in wanted}

    def keys_of(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The record keys of open records."""
        return {one: self.records[one].key for one in ids}

    def holds(self, revisions: Iterable[tuple[int, int]]) -> bool:
        """Whether these (record, revision) are what was seen, as far as the records are open."""
        known = self.records
        return all(one not in known or known[one].revision == now for one, now in revisions)

    def seen(self, ids: Ints) -> tuple[Ints, "np.typing.NDArray[np.bool_]"]:
        """The revisions of open records, and whether they were to be looked at again."""
        told = [self.records[one] for one in ids.tolist()]
        return (
            np.array([one.revision for one in told], np.int64),
            np.array([one.dirty for one in told], np.bool_),
        )
