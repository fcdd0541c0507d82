"""Blind indexes: find a record by an exact identifier without storing the identifier.

1. Equal field, scope and value give equal indexes; another key ring gives others.
2. Only identifiers that are nearly unique are indexed. An index of a surname, a birth
   date, a city or a gender would show, to who steals the table, who shares one.
3. Every field has its own key, so an equal value in two fields gives two indexes.
"""

from types import MappingProxyType
from typing import NoReturn

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import NotIndexable
from cdp.vault.keyring import KeyRing

INDEX_BYTES = 16

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

    __slots__ = ("_started", "epoch")

    def __init__(self, keyring: KeyRing, epoch: int | None = None) -> None:
        self.epoch = keyring.current("blind-index") if epoch is None else epoch
        tree = keyring.secret("blind-index", self.epoch)
        self._started = {
            field: primitives.keyed_hash(primitives.expand(tree, _purpose(field, self.epoch)))
            for field in sorted(INDEXED_FIELDS)
        }

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

    def __repr__(self) -> str:
        return f"<blind indexer, epoch {self.epoch}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a blind indexer cannot be pickled; make one in each process")


def _purpose(field: str, epoch: int) -> bytes:
    # "exact" is the transform: the whole value, as normalised.
    return frame(b"kith/blind-index/1", field.encode(), b"exact", number(epoch))


def _refused(field: str) -> NotIndexable:
    if field in INDEXED_FIELDS:
        rule, step = "the value is empty or not text", "leave out the index of this field"
    else:
        reason = REFUSED_FIELDS.get(field, "it is not known to be nearly unique")
        rule = f"the field may not be indexed: {reason}"
        step = f"look people up by one of {', '.join(sorted(INDEXED_FIELDS))}"
    return NotIndexable(rule, step, field=field)
