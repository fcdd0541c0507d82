"""Load every record's keyed features into memory, opened and ready to compare.

Identity breaks ties by the smaller number and draws its samples by place. So that neither
depends on the order in which records happened to arrive, it is given numbers of its own:
the places of the records in the order of their keys. ``Loaded.translated`` gives back
record ids.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from cdp.resolution.feature_keys import brought_up, in_force
from cdp.resolution.storing import Seen
from cdp.storage import schema
from cdp.storage.bulk import stream
from cdp.vault.envelope import WrappedKey
from cdp.vault.keyed import FIRST
from cdp.vault.vault import CONTACT, Vault
from identity import features
from identity.batch import Resolution
from identity.constraints import Constraints
from identity.pairs import Bools, Ints

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Loaded:
    """What was loaded, in the order of record keys.

    Attributes:
        ids: record ids.
        revisions: the revision seen of each.
        dirty: whether each was to be looked at again.
        table: their features; ``id`` is the place in ``ids``.
        feature_key: version of the key that all of them are keyed with.
    """

    ids: Ints
    revisions: Ints
    dirty: Bools
    table: pa.Table
    feature_key: int = FIRST

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _by_id(self) -> Ints:
        return np.argsort(self.ids)

    @property
    def seen(self) -> Seen:
        """The records in the order of their ids, as storing takes them."""
        order = self._by_id
        return Seen(self.ids[order], self.revisions[order], self.dirty[order])

    def numbered(self, constraints: Constraints) -> Constraints:
        """Constraints between record ids as constraints between places.

        One on a record that came or went after loading is left to the next run.
        """
        order = self._by_id
        known = constraints.within(self.ids[order])
        must = np.sort(order[np.stack((known.must_low, known.must_high))], axis=0)
        cannot = np.sort(order[np.stack((known.cannot_low, known.cannot_high))], axis=0)
        return Constraints(must[0], must[1], cannot[0], cannot[1])

    def translated(self, resolution: Resolution) -> Resolution:
        """The same resolution in record ids, ascending; an anchor is the oldest record."""
        ids = self.ids
        records, groups = ids[resolution.records], resolution.anchors
        oldest = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(oldest, groups, records)
        edges = resolution.edges
        one, other = ids[edges.low], ids[edges.high]
        order = np.argsort(records)
        return replace(
            resolution,
            records=records[order],
            anchors=oldest[groups][order],
            edges=replace(edges, low=np.minimum(one, other), high=np.maximum(one, other)),
        )


def load_features(
    connection: sa.Connection,
    vault: Vault,
    progress: Progress = lambda done: None,  # noqa: ARG005
) -> Loaded:
    """Open the features of all records, in the order of their keys.

    Raises:
        identity.errors.FeatureVersionError: a record was stored by another version.
        cdp.vault.errors.CellRefused: a record's features were altered.
    """
    record, key = schema.record, schema.data_key
    statement = (
        sa.select(
            record.c.id,
            record.c.revision,
            record.c.dirty,
            record.c.features,
            record.c.feature_key,
            key.c.key_version,
            key.c.wrapped,
        )
        .join(key, (key.c.record_id == record.c.id) & (key.c.tier == CONTACT))
        .order_by(record.c.key)
    )
    version = in_force(connection)
    seen: list[tuple[int, int, bool]] = []
    tables = [features.unpack([], [])]
    for rows in stream(connection, statement):
        blobs = vault.open_features_many(
            (row.id, row.revision, WrappedKey(row.key_version, row.wrapped), row.features)
            for row in rows
        )
        keyed = [(row.id, row.feature_key) for row in rows]
        blobs = brought_up(vault.layers, version, keyed, blobs)
        # Unpacked under record ids, so that an error names the record.
        named = features.unpack([row.id for row in rows], blobs)
        places = np.arange(len(seen), len(seen) + len(rows))
        tables.append(named.set_column(0, "id", pa.array(places)))
        seen.extend((row.id, row.revision, row.dirty) for row in rows)
        progress(len(seen))
    ids, revisions, dirty = np.array(seen, np.int64).reshape(-1, 3).T
    return Loaded(ids, revisions, dirty.astype(np.bool_), pa.concat_tables(tables), version)
