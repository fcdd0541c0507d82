"""One sealed field: a cell that opens only in the place it was sealed for.

A cell is written as::

    format (1) | key version (2) | nonce (12) | AES-256-GCM ciphertext and tag (16)

The associated data is the place, each part after its length: workspace, tier, table,
field, record, revision, key version, format.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from cdp.errors import KithError
from cdp.vault.context import frame
from cdp.vault.envelope import DataKey
from cdp.vault.errors import CellGarbled, CellRefused
from cdp.vault.primitives import NONCE_BYTES, TAG_BYTES, InvalidTag

FORMAT = 1
MAX_RECORD = 2**63 - 1  # a bigint of the database
MAX_REVISION = 2**31 - 1  # an integer of the database
_HEAD = struct.Struct(">BH")
_NONCE = _HEAD.size
_BODY = _NONCE + NONCE_BYTES
MIN_BYTES = _BODY + TAG_BYTES
# record, revision, key version, format: each after its length, as `frame` would write it
_TAIL = struct.Struct(">IQIIIHIB")
_NEXT = "sync the record's source again, or restore its row of the vault"


class Place(NamedTuple):
    """Where a cell belongs. Two places differ as soon as one part differs."""

    workspace: UUID
    tier: str
    table: str
    field: str
    record: int
    revision: int


@lru_cache(maxsize=1024)
def column(workspace: UUID, tier: str, table: str, field: str) -> bytes:
    """Return the associated data that all cells of one column share."""
    return frame(workspace.bytes, tier.encode(), table.encode(), field.encode())


class Columns(dict[str, bytes]):
    """`column` of each field of one table, made when it is first asked for."""

    def __init__(self, workspace: UUID, tier: str) -> None:
        super().__init__()
        self._workspace = workspace
        self._tier = tier

    def __missing__(self, field: str) -> bytes:
        """Make what is not there yet: a handful of fields is asked for again and again."""
        made = self[field] = column(self._workspace, self._tier, self._tier, field)
        return made


def row(record: int, revision: int, key_version: int) -> bytes:
    """Return the associated data that all cells of one record and revision share."""
    return _TAIL.pack(8, record, 4, revision, 2, key_version, 1, FORMAT)


def head(key: DataKey) -> bytes:
    """Return the first bytes of every cell under ``key``."""
    return _HEAD.pack(FORMAT, key.version)


def bound(place: Place, key_version: int) -> bytes:
    """Return the whole associated data of a cell at ``place``."""
    shared = column(place.workspace, place.tier, place.table, place.field)
    return shared + row(place.record, place.revision, key_version)


def seal(key: DataKey, place: Place, plaintext: bytes, nonce: bytes) -> bytes:
    """Seal ``plaintext`` for ``place``. ``nonce`` is 12 random bytes, never used again."""
    sealed = key.cipher.encrypt(nonce, plaintext, bound(place, key.version))
    return head(key) + nonce + sealed


def seal_row(
    key: DataKey, columns: Iterable[bytes], tail: bytes, values: Iterable[bytes], nonces: bytes
) -> tuple[bytes, ...]:
    """Seal one row at once: what `seal` does, with the shared parts made once.

    Args:
        key: the record's data key.
        columns: `column` of each value.
        tail: `row` of the record.
        values: the plaintexts.
        nonces: 12 random bytes for each value, joined.
    """
    start, encrypt = head(key), key.cipher.encrypt
    places = range(0, len(nonces), NONCE_BYTES)
    return tuple(
        [
            start + (nonce := nonces[at : at + NONCE_BYTES]) + encrypt(nonce, value, shared + tail)
            for at, shared, value in zip(places, columns, values, strict=True)
        ]
    )


def open_row(
    key: DataKey, columns: Mapping[str, bytes], tail: bytes, sealed: Mapping[str, bytes]
) -> list[bytes] | None:
    """Open one row at once: what `open_cell` does, with the shared parts made once.

    Args:
        key: the record's data key.
        columns: `column` of each field.
        tail: `row` of the record.
        sealed: the cell of each field.

    Returns:
        The plaintexts; None where one does not open, and `open_cell` of it says why.
    """
    start, decrypt, opened = head(key), key.cipher.decrypt, []
    try:
        for field, cell in sealed.items():
            if cell[:3] != start:  # _HEAD
                return None
            opened.append(decrypt(cell[3:15], cell[15:], columns[field] + tail))  # _NONCE, _BODY
    except (InvalidTag, ValueError):  # the latter where it ends within the nonce
        return None
    return opened


def open_cell(key: DataKey, place: Place, cell: bytes) -> bytes:
    """Open a cell of ``place``.

    Raises:
        CellGarbled: too short, or of a format this release does not know.
        CellRefused: changed, extended, under another key or key version, or sealed for
            another place.
    """
    plaintext: bytes | None = None
    if len(cell) >= MIN_BYTES and cell[: _HEAD.size] == head(key):
        try:
            plaintext = key.cipher.decrypt(
                cell[_HEAD.size : _BODY], cell[_BODY:], bound(place, key.version)
            )
        except InvalidTag:
            plaintext = None
    if plaintext is None:
        raise _refused(key, place, cell)
    return plaintext


def _refused(key: DataKey, place: Place, cell: bytes) -> KithError:
    where = {"record": place.record, "revision": place.revision, "field": place.field}
    if len(cell) < MIN_BYTES:
        return CellGarbled("the cell is cut short", _NEXT, **where)
    if cell[0] != FORMAT:
        rule = f"the cell has format {cell[0]}, this release reads {FORMAT}"
        return CellGarbled(rule, "use the release that wrote it, or a newer one", **where)
    if cell[: _HEAD.size] != head(key):
        return CellRefused("the cell is of another key version than its data key", _NEXT, **where)
    return CellRefused("the cell was changed or was sealed for another place", _NEXT, **where)
