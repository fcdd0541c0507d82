"""The features of a few records, opened in memory and read once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from cdp.vault.envelope import WrappedKey
from cdp.vault.vault import CONTACT, Vault
from identity import features
from identity.columns import Columns, Ints

_ROWS = sa.text(
    """
    SELECT r.id, r.revision, r.dirty, r.key, r.features, k.key_version, k.wrapped
    FROM unnest(CAST(:ids AS bigint[])) AS x(id)
    JOIN kith.record r ON r.id = x.id
    JOIN kith_keys.data_key k ON k.record_id = r.id AND k.tier = :tier
    ORDER BY r.id
    """
)


@dataclass(slots=True)
class Opened:
    """A growing set of opened records.

    Attributes:
        revision: the revision seen, by record id.
        dirty: whether a record was to be looked at again, by record id.
        key: the record key, by record id.
    """

    vault: Vault
    revision: dict[int, int] = field(default_factory=dict)
    dirty: dict[int, bool] = field(default_factory=dict)
    key: dict[int, bytes] = field(default_factory=dict)
    _parts: list[Columns] = field(default_factory=list, repr=False)

    def open(self, connection: sa.Connection, ids: Iterable[int]) -> None:
        """Open those of ``ids`` that are not open yet; ids that do not exist are passed over.

        Raises:
            identity.errors.FeatureVersionError: a record was stored by another version.
            cdp.vault.errors.CellRefused: a record's features were altered.
        """
        wanted = sorted(set(ids) - self.revision.keys())
        if not wanted:
            return
        rows = connection.execute(_ROWS, {"ids": wanted, "tier": CONTACT}).all()
        blobs = self.vault.open_features_many(
            (
                row.id,
                row.revision,
                WrappedKey(row.key_version, bytes(row.wrapped)),
                bytes(row.features),
            )
            for row in rows
        )
        self._parts.append(features.unpack_columns([row.id for row in rows], blobs))
        for row in rows:
            self.revision[row.id] = row.revision
            self.dirty[row.id] = row.dirty
            self.key[row.id] = bytes(row.key)

    def columns(self) -> Columns:
        """Everything that is open, by record id ascending."""
        if len(self._parts) > 1:
            self._parts[:] = [Columns.joined(self._parts).ascending()]
        return self._parts[0] if self._parts else features.unpack_columns([], [])

    def of(self, ids: Sequence[int] | Ints) -> Columns:
        """The open ones of ``ids``, ascending."""
        whole = self.columns()
        return whole.take(np.flatnonzero(np.isin(whole.ids, np.asarray(ids, np.int64))))
