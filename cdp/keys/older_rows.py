"""The rows under older versions of a key: data keys of a tier, rejected rows, states of feeds."""

from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from cdp.ingest.feed_state import place_of
from cdp.keys.rotating import Batch
from cdp.vault.errors import CellGarbled, CellRefused
from cdp.vault.rejects import RejectPlace
from cdp.vault.rewrapping import Rewrapper
from cdp.workspace import Workspace

REJECTS: Final = "rejects"
_NONE: Final = Batch(0, -1, 0, {})


class DataKeys:
    """The data keys of one tier, to be wrapped under the newest key of the tier."""

    def __init__(self, workspace: Workspace, tier: str) -> None:
        """Raise `KeyWithheld` or `KeyMissing` where the ring lacks the key of the tier."""
        self._rewrapper = Rewrapper(workspace.keyring, workspace.id, tier)
        self.purpose = tier
        self.version = self._rewrapper.version

    def left(self, connection: sa.Connection) -> int:
        """Count the data keys that are wrapped under older versions."""
        return int(connection.scalar(_KEYS_LEFT, self._given()) or 0)

    def make(self, connection: sa.Connection, after: int, most: int) -> Batch:
        """Wrap some of them anew; see `cdp.keys.rotating.Work`."""
        rows = connection.execute(_KEYS, self._given() | {"after": after, "most": most}).all()
        if not rows:
            return _NONE
        done = self._rewrapper.rewrap((number, was, bytes(held)) for number, was, held in rows)
        if done.records:
            given = {"ids": done.records, "made": done.wrapped}
            connection.execute(_WRAP, self._given() | given)
        return Batch(len(rows), rows[-1].record_id, len(done.records), done.refused)

    def _given(self) -> dict[str, Any]:
        return {"tier": self.purpose, "version": self.version}


@dataclass
class RejectedRows:
    """What was set aside, and the states of feeds, to be sealed under the newest reject key."""

    workspace: Workspace
    version: int = field(init=False)
    purpose: str = REJECTS

    def __post_init__(self) -> None:
        self.version = self.workspace.keyring.current(REJECTS)

    def left(self, connection: sa.Connection) -> int:
        """Count those that are sealed under older versions."""
        given = {"version": self.version}
        rows = int(connection.scalar(_REJECTS_LEFT, given) or 0)
        return rows + len(connection.execute(_STATES, given).all())

    def make(self, connection: sa.Connection, after: int, most: int) -> Batch:
        """Seal some of them anew; see `cdp.keys.rotating.Work`."""
        given = {"version": self.version, "after": after, "most": most}
        rows = connection.execute(_REJECTS, given).all()
        if not rows:
            states = self._states(connection)
            return Batch(states, after, states, {}) if states else _NONE
        made: dict[int, bytes] = {}
        refused: dict[int, str] = {}
        for row in rows:
            place = RejectPlace(row.source, row.fingerprint, row.position, row.field)
            try:
                made[row.id] = self.workspace.vault.reseal_reject(place, bytes(row.sealed))
            except (CellGarbled, CellRefused) as error:
                refused[row.id] = error.rule
        connection.execute(_SEAL, {"ids": list(made), "made": list(made.values())})
        return Batch(len(rows), rows[-1].id, len(made), refused)

    def _states(self, connection: sa.Connection) -> int:
        """Seal the states of feeds anew: there is one for a source at the most."""
        made = 0
        for row in connection.execute(_STATES, {"version": self.version}).all():
            try:
                sealed = self.workspace.vault.reseal_reject(place_of(row.source), bytes(row.sealed))
            except (CellGarbled, CellRefused):
                continue  # the next sync of the source says so, and how to go on
            connection.execute(_SEAL_STATE, {"source": row.source, "sealed": sealed})
            made += 1
        return made


def _wide(text: str) -> sa.TextClause:
    return sa.text(text).bindparams(
        sa.bindparam("ids", type_=ARRAY(sa.BigInteger)), sa.bindparam("made", type_=ARRAY(BYTEA))
    )


# Versions only grow, so that what a newer ring writes meanwhile is never taken back.
_OLDER: Final = "FROM kith_keys.data_key WHERE tier = :tier AND key_version < :version"
_KEYS_LEFT: Final = sa.text(f"SELECT count(*) {_OLDER}")
_KEYS: Final = sa.text(
    f"SELECT record_id, key_version, wrapped {_OLDER} AND record_id > :after "
    "ORDER BY record_id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED"
)
_WRAP: Final = _wide(
    "UPDATE kith_keys.data_key k SET key_version = :version, wrapped = x.wrapped "
    "FROM unnest(:ids, :made) AS x(id, wrapped) WHERE k.record_id = x.id AND k.tier = :tier"
)
_SEALED_BEFORE: Final = (
    "FROM kith.reject WHERE length(sealed) > 2 "
    "AND get_byte(sealed, 1) * 256 + get_byte(sealed, 2) < :version"
)
_REJECTS_LEFT: Final = sa.text(f"SELECT count(*) {_SEALED_BEFORE}")
_REJECTS: Final = sa.text(
    f"SELECT id, source, fingerprint, position, field, sealed {_SEALED_BEFORE} AND id > :after "
    "ORDER BY id LIMIT :most FOR NO KEY UPDATE SKIP LOCKED"
)
_STATES: Final = sa.text(
    "SELECT source, sealed FROM kith.source_state WHERE length(sealed) > 2 "
    "AND get_byte(sealed, 1) * 256 + get_byte(sealed, 2) < :version "
    "ORDER BY source FOR NO KEY UPDATE SKIP LOCKED"
)
_SEAL_STATE: Final = sa.text("UPDATE kith.source_state SET sealed = :sealed WHERE source = :source")
_SEAL: Final = _wide(
    "UPDATE kith.reject r SET sealed = x.sealed "
    "FROM unnest(:ids, :made) AS x(id, sealed) WHERE r.id = x.id"
)
