"""Made-up records as a source delivers them, and what is read and derived from them."""

import datetime as dt
from uuid import UUID

from cdp.ingest.features import derive
from cdp.ingest.values import Reading, read_record
from cdp.vault.keyed import FeatureKeyer
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from connectors.record import FieldValue, Record, Sensitive

WORKSPACE = UUID("00112233-4455-6677-8899-aabbccddeeff")
READING = Reading(dt.date(2026, 1, 31), labels=("朝阳店", "南山店"))
SCOPES = {"loyalty_card": "kith", "buyer_id": "kith-shop", "openid": "wx1", "unionid": "kith"}


def ring(fill=7):
    """A key ring whose every key is the byte ``fill``, 32 times."""
    return KeyRing.of(RingDocument.fresh(WORKSPACE, lambda size: bytes([fill]) * size))


KEY = FeatureKeyer(ring()).key
OTHER_KEY = FeatureKeyer(ring(8)).key


def field_values(name, text):
    """One text, or a list of texts, as the values of a field; a pair gives text and scope."""
    texts = text if isinstance(text, list) else [text]
    pairs = [(one, SCOPES.get(name)) if isinstance(one, str) else one for one in texts]
    return tuple(FieldValue(Sensitive(value), scope) for value, scope in pairs)


def record(*, record_id="1", **parts):
    """A record; every part that is no part of ``Record`` is a field."""
    known = {
        name: parts.pop(name)
        for name in ("attributes", "store", "opted_out", "problems", "position", "source")
        if name in parts
    }
    fields = {name: field_values(name, text) for name, text in parts.items()}
    return Record(
        **{"source": "pos", "position": 1, **known}, record_id=Sensitive(record_id), fields=fields
    )


def values(**fields):
    """The values read from a record of these fields."""
    return read_record(record(**fields), READING)


def features_of(key=KEY, **fields):
    """The features derived from a record of these fields."""
    return derive(values(**fields), key)
