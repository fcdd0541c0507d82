"""Load every record's keyed features into memory, opened and ready to compare."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import sqlalchemy as sa

from cdp.storage import schema
from cdp.storage.bulk import stream
from cdp.vault.envelope import WrappedKey
from cdp.vault.vault import CONTACT, Vault
from identity import features

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded: record ids with the revision seen, and their features."""

    revisions: list[tuple[int, int]]
    table: pa.Table


def load_features(
    connection: sa.Connection,
    vault: Vault,
    progress: Progress = lambda done: None,  # noqa: ARG005
) -> Loaded:
    """Open the features of all records, in the order of their ids.

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
        .order_by(record.c.id)
    )
    revisions: list[tuple[int, int]] = []
    tables = [features.unpack([], [])]
    for rows in stream(connection, statement):
        blobs = vault.open_features_many(
            (row.id, row.revision, WrappedKey(row.key_version, row.wrapped), row.features)
            for row in rows
        )
        tables.append(features.unpack([row.id for row in rows], blobs))
        revisions.extend((row.id, row.revision) for row in rows)
        progress(len(revisions))
    return Loaded(revisions, pa.concat_tables(tables))
