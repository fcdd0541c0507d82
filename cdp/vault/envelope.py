"""The data key of one record and tier, wrapped by the tier's key-encryption key.

A wrapped key is written as::

    format (1) | data key version (2) | nonce (12) | commitment (32) | wrapped key (32 + 16)

The data key version is the version of the key-encryption key at the data key's birth. It
is bound into every cell of the record and never changes. The version that wraps the key
today is stored beside it (`WrappedKey.version`) and changes when the key is wrapped anew:
so rotation touches wrapped keys and no cell.

From the data key HKDF-Extract (RFC 5869, SHA-512, public salt) gives two halves: the
commitment, stored in the clear, and the key that seals the cells. AES-GCM-SIV alone lets
somebody who knows two key-encryption keys make one blob that opens to a data key under
each. The commitment has 32 bytes, so that two data keys with one commitment cost 2**128
to find; it is compared, in constant time, before the cell key is used.
"""

import struct
from typing import NamedTuple, NoReturn
from uuid import UUID

from cdp.errors import KithError
from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import WrappedKeyRefused
from cdp.vault.primitives import NONCE_BYTES, FieldCipher, InvalidTag
from cdp.vault.secret import Secret

FORMAT = 1
_HEAD = struct.Struct(">BH")
_COMMITMENT_BYTES = 32
_HEAD_BYTES = _HEAD.size
_NONCE_END = _HEAD_BYTES + NONCE_BYTES
_COMMITMENT_END = _NONCE_END + _COMMITMENT_BYTES
WRAPPED_BYTES = _COMMITMENT_END + primitives.KEY_BYTES + primitives.TAG_BYTES
_LABEL = b"kith/data-key/wrap"
_SALT = b"kith/data-key/halves/1"
_NEXT = "sync the record's source again, or restore its row of the key table"


class WrappedKey(NamedTuple):
    """A wrapped data key as it is stored: safe to show, useless without the ring."""

    version: int  # of the key-encryption key that wraps it now
    wrapped: bytes


class DataKey:
    """An opened data key: the cipher of a record's cells, and the version bound into them."""

    __slots__ = ("cipher", "version")

    def __init__(self, cipher: FieldCipher, version: int) -> None:
        self.cipher = cipher
        self.version = version

    def __repr__(self) -> str:
        return f"<data key, version {self.version}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a data key cannot be pickled")


class Wrapping:
    """The key-encryption key of one tier and version, and whose keys it wraps."""

    __slots__ = ("_cipher", "_place", "tier", "version")

    def __init__(self, key: Secret, workspace: UUID, tier: str, version: int) -> None:
        self._cipher = primitives.key_cipher(key)
        self._place = frame(_LABEL, workspace.bytes, tier.encode(), number(version))
        self.tier = tier
        self.version = version

    def wrap(self, record: int, key: Secret, born: int, nonce: bytes) -> tuple[WrappedKey, DataKey]:
        """Wrap ``key``, a data key born at version ``born``, for ``record``.

        ``nonce`` is 12 random bytes. Returns what is stored, and the key opened for use.
        """
        commitment, cell_key = _halves(key)
        head = _HEAD.pack(FORMAT, born)
        bound = self._bound(record, head, commitment)
        sealed = self._cipher.encrypt(nonce, key.expose(), bound)
        stored = WrappedKey(self.version, head + nonce + commitment + sealed)
        return stored, DataKey(primitives.field_cipher(cell_key), born)

    def unwrap(self, record: int, wrapped: bytes) -> DataKey:
        """Open a wrapped data key.

        Raises:
            WrappedKeyRefused: wrong length or format, changed, of another place, or not
                the key that was committed to.
        """
        opened = self._key(record, wrapped)
        if opened is None:
            raise self._refused(record, wrapped)
        born: int = _HEAD.unpack_from(wrapped)[1]
        return DataKey(primitives.field_cipher(opened[1]), born)

    def handed_over(self, record: int, wrapped: bytes, to: "Wrapping", nonce: bytes) -> bytes:
        """Open a wrapped data key and wrap it under ``to``: the same key, for the same record.

        ``nonce`` is 12 random bytes. The version of its birth and its commitment stay.

        Raises:
            WrappedKeyRefused: as `unwrap`.
        """
        opened = self._key(record, wrapped)
        if opened is None:
            raise self._refused(record, wrapped)
        head, commitment = wrapped[: _HEAD.size], wrapped[_NONCE_END:_COMMITMENT_END]
        bound = to._bound(record, head, commitment)  # noqa: SLF001 - another of this class
        sealed = to._cipher.encrypt(nonce, opened[0].expose(), bound)  # noqa: SLF001
        return head + nonce + commitment + sealed

    def _key(self, record: int, wrapped: bytes) -> tuple[Secret, Secret] | None:
        """The data key and its half that seals cells, if it is the one that was committed to."""
        if len(wrapped) != WRAPPED_BYTES or wrapped[0] != FORMAT:
            return None
        stored = wrapped[_NONCE_END:_COMMITMENT_END]
        # What `_bound` gives, said at once: this is done for every record that is read.
        bound = self._place + record.to_bytes(8, "big") + wrapped[:_HEAD_BYTES] + stored
        try:
            opened = self._cipher.decrypt(
                wrapped[_HEAD_BYTES:_NONCE_END], wrapped[_COMMITMENT_END:], bound
            )
        except InvalidTag:
            return None
        key = Secret(opened)
        commitment, cell_key = _halves(key)
        return (key, cell_key) if primitives.same(commitment, stored) else None

    def _bound(self, record: int, head: bytes, commitment: bytes) -> bytes:
        # The first part is framed and the other three have fixed lengths.
        return self._place + number(record) + head + commitment

    def _refused(self, record: int, wrapped: bytes) -> KithError:
        if len(wrapped) != WRAPPED_BYTES:
            rule = "the wrapped key does not have the length of one"
        elif wrapped[0] != FORMAT:
            rule = f"the wrapped key has format {wrapped[0]}, this release reads {FORMAT}"
        else:
            rule = "the wrapped key was changed or belongs to another place"
        return WrappedKeyRefused(rule, _NEXT, record=record, tier=self.tier)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wrapping key cannot be pickled")

    def __repr__(self) -> str:
        return f"<wrapping of {self.tier} keys, version {self.version}>"


def _halves(key: Secret) -> tuple[bytes, Secret]:
    both = primitives.extract(_SALT, key)
    return both[:_COMMITMENT_BYTES], Secret(both[_COMMITMENT_BYTES:])
