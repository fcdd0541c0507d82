"""Load every record's keyed features into memory, opened and ready to compare.

Identity breaks ties by the smaller number and draws its samples by place. So that neither
depends on the order in which records happened to arrive, it is given numbers of its own:
the places of the records in the order of their keys. ``Loaded.translated`` gives back
record ids.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from cdp.storage import schema
from cdp.storage.bulk import stream
from cdp.vault.envelope import WrappedKey
from cdp.vault.vault import CONTACT, Vault
from identity import features
from identity.batch import Resolution

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded, in the order of record keys.

    Attributes:
        revisions: (record id, revision seen) of each record.
        table: their features; ``id`` is the place in ``revisions``.
    """

    revisions: list[tuple[int, int]]
    table: pa.Table

    def translated(self, resolution: Resolution) -> Resolution:
        """The same resolution in record ids; a person's anchor is their oldest record."""
        ids = np.fromiter((record_id for record_id, _ in self.revisions), np.int64)
        records, groups = ids[resolution.records], resolution.anchors
        oldest = np.full(len(ids), np.iinfo(np.int64).max)
        np.minimum.at(oldest, groups, records)
        edges = resolution.edges
        one, other = ids[edges.low], ids[edges.high]
        return replace(
            resolution,
            records=records,
            anchors=oldest[groups],
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
            record.c.id, record.c.revision, record.c.features, key.c.key_version, key.c.wrapped
        )
        .join(key, (key.c.record_id == record.c.id) & (key.c.tier == CONTACT))
        .order_by(record.c.key)
    )
    revisions: list[tuple[int, int]] = []
    tables = [features.unpack([], [])]
    for rows in stream(connection, statement):
        blobs = vault.open_features_many(
            (row.id, row.revision, WrappedKey(row.key_version, row.wrapped), row.features)
            for row in rows
        )
        # Unpacked under record ids, so that an error names the record.
        named = features.unpack([row.id for row in rows], blobs)
        places = np.arange(len(revisions), len(revisions) + len(rows))
        tables.append(named.set_column(0, "id", pa.array(places)))
        revisions.extend((row.id, row.revision) for row in rows)
        progress(len(revisions))
    return Loaded(revisions, pa.concat_tables(tables))
