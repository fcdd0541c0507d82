"""Blind indexes: find a record by what somebody knows of it without storing what they know.

1. Equal field, scope and value give equal indexes; another key ring gives others.
2. Only identifiers that are nearly unique are indexed by themselves. An index of a surname,
   a birth date, a city or a gender would show, to who steals the table, who shares one.
3. Every field and every compound has its own key, so equal values in two give two indexes.
4. A look-up asks for the index of every epoch whose key the ring holds, the newest first;
   what is written is of the newest.
5. A truncated index keeps so many bits of the full one, and nothing else of it.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NoReturn

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import NotIndexable
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import KeyedHash
from cdp.vault.secret import Secret
from connectors.index_parts import IndexDefinition

INDEX_BYTES = 16
PURPOSE: Final = "blind-index"

INDEXED_FIELDS = frozenset(
    {
        "phone",
        "email",
        "national_id",
        "bank_card",
        "loyalty_card",
        "buyer_id",
        "openid",
        "unionid",
        "external_userid",
        "tax_number",
    }
)

# Why the fields that people ask for first are not on the list.
_SHARED = "so many people share one that its index would tell who they are"
REFUSED_FIELDS = MappingProxyType(
    dict.fromkeys(
        ("surname", "given_name", "name", "birth_date", "gender", "city", "district", "postcode"),
        _SHARED,
    )
)


class BlindIndexer:
    """Make blind indexes under one version of the blind-index key (its epoch)."""

    __slots__ = ("_compounds", "_started", "_tree", "epoch")

    _tree: Secret

    def __init__(self, keyring: KeyRing, epoch: int | None = None) -> None:
        self.epoch = keyring.current(PURPOSE) if epoch is None else epoch
        self._tree = keyring.secret(PURPOSE, self.epoch)
        self._started = {
            field: self._start(_purpose(field, b"exact", self.epoch))
            for field in sorted(INDEXED_FIELDS)
        }
        self._compounds: dict[str, KeyedHash] = {}

    def index(self, field: str, scope: str | None, value: str) -> bytes:
        """Return the index of a normalised ``value``, 16 bytes.

        ``scope`` tells apart identifiers that are unique only within something: the app
        of an openid, the platform account of a unionid. ``None`` is no scope.

        HMAC-SHA-256, cut to 128 bits: two of a billion values share one with a chance
        below 10**-20.

        Raises:
            NotIndexable: a field off the list, or an empty value or one that is not text.
        """
        started = self._started.get(field)
        try:
            within, text = (scope or "").encode(), value.encode()
        except UnicodeEncodeError:
            within = text = b""
        if started is None or not text:
            # A traceback with locals must not show them.
            del value, scope, within, text
            raise _refused(field)
        running = started.copy()
        running.update(frame(within, text))
        return running.finalize()[:INDEX_BYTES]

    def compound(self, definition: IndexDefinition, values: Sequence[str]) -> bytes:
        """Return the index of the parts of one person, as many bytes as hold its bits.

        Args:
            definition: of the index.
            values: canonical, in the order of ``definition.parts``.

        Raises:
            NotIndexable: a value is missing, empty or not text.
        """
        started = self._compounds.get(definition.label)
        if started is None:
            purpose = _purpose("compound", definition.label.encode(), self.epoch)
            started = self._compounds[definition.label] = self._start(purpose)
        try:
            texts = [value.encode() for value in values]
        except UnicodeEncodeError:
            texts = []
        if len(texts) != len(definition.parts) or not all(texts):
            # A traceback with locals must not show them.
            del values, texts
            rule, step = "a part is empty, missing or not text", "leave out the index"
            raise NotIndexable(rule, step, index=definition.name)
        running = started.copy()
        running.update(frame(*texts))
        return _kept(running.finalize(), definition.bits)

    def asked(self, field: str, scope: str | None, value: str) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, index) of an identifier, of this epoch alone."""
        return ((self.epoch, self.index(field, scope, value)),)

    def _start(self, purpose: bytes) -> KeyedHash:
        return primitives.keyed_hash(primitives.expand(self._tree, purpose))

    def __repr__(self) -> str:
        return f"<blind indexer, epoch {self.epoch}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a blind indexer cannot be pickled; make one in each process")


class BlindIndexes:
    """The indexers of every epoch whose key the ring holds; it follows the ring as it changes."""

    __slots__ = ("_keyring", "_known")

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._known: dict[int, BlindIndexer] = {}
        self._of(keyring.current(PURPOSE))

    @property
    def newest(self) -> BlindIndexer:
        """The indexer to write with, also when another process put its key in force."""
        return self._of(self._keyring.current(PURPOSE))

    def every(self) -> tuple[BlindIndexer, ...]:
        """The indexers to ask with, the one to write with first."""
        newest = self.newest
        held = sorted(self._keyring.versions(PURPOSE), reverse=True)
        return (newest, *(self._of(epoch) for epoch in held if epoch != newest.epoch))

    def asked(self, field: str, scope: str | None, value: str) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, index) of an identifier for every epoch, the newest first."""
        return tuple((one.epoch, one.index(field, scope, value)) for one in self.every())

    def asked_compound(
        self, definition: IndexDefinition, values: Sequence[str]
    ) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, index) of the parts for every epoch, the newest first."""
        return tuple((one.epoch, one.compound(definition, values)) for one in self.every())

    def _of(self, epoch: int) -> BlindIndexer:
        found = self._known.get(epoch)
        if found is None:
            found = self._known[epoch] = BlindIndexer(self._keyring, epoch)
        return found

    def __repr__(self) -> str:
        return "<blind indexers of every epoch>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("blind indexers cannot be pickled; make them in each process")


def _purpose(field: str, transform: bytes, epoch: int) -> bytes:
    # The transform: "exact" is the whole value, as normalised; else the compound's label.
    return frame(b"kith/blind-index/1", field.encode(), transform, number(epoch))


def _kept(digest: bytes, bits: int) -> bytes:
    """The first ``bits`` bits; the rest of the last byte is zero."""
    size = -(-bits // 8)
    kept = bytearray(digest[:size])
    kept[-1] &= 0xFF << (8 * size - bits) & 0xFF
    return bytes(kept)


def _refused(field: str) -> NotIndexable:
    if field in INDEXED_FIELDS:
        rule, step = "the value is empty or not text", "leave out the index of this field"
    else:
        reason = REFUSED_FIELDS.get(field, "it is not known to be nearly unique")
        rule = f"the field may not be indexed: {reason}"
        step = f"look people up by one of {', '.join(sorted(INDEXED_FIELDS))}"
    return NotIndexable(rule, step, field=field)
