"""Keyed forms of what must be compared or counted, but never read again.

1. Equal inputs give equal outputs; another key ring gives others.
2. Every kind of output, and every feature, has its own key: an equal value under two of
   them gives two unrelated outputs.
3. An empty value has no keyed form: it would make all unknowns look like one person.

The `records` key has one version for the life of a workspace: record keys and profile
ids derive from it and must stay what they are.
"""

import struct
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from cdp.vault import primitives
from cdp.vault.context import frame, number
from cdp.vault.errors import NotKeyable
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import KeyedHash
from cdp.vault.secret import Secret

DIGEST_BYTES = 16
_KEY_BYTES = 8  # of a hash, for a key of 63 bits
_FIRST = struct.Struct(f">Q{primitives.HASH_BYTES - _KEY_BYTES}x")  # those bytes of a hash
FIRST = 1  # version of the features key that values are keyed with
CACHED_FEATURES = 100_000  # values of one keyer; about 40 MB when full

# Crockford's base 32 without i, l, o and u: read aloud and typed back without mistakes.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARACTERS = 20
_ID_BITS = _ID_CHARACTERS * 5


class FeatureKeyer:
    """Turn feature values into integers of 63 bits under one version of the features key.

    Values repeat (names, prefixes, date parts), so the last ``cached`` answers are kept
    in this process's memory, for each keyer: make one and share it. `forget` drops them.
    """

    __slots__ = ("forget", "key", "keys", "version")

    key: Callable[[str, str], int]
    keys: Callable[[str, Collection[str]], list[int]]  # of several values, not remembered
    forget: Callable[[], None]

    def __init__(
        self, keyring: KeyRing, version: int | None = None, cached: int = CACHED_FEATURES
    ) -> None:
        self.version = keyring.current("features") if version is None else version
        tree = keyring.secret("features", self.version)
        started: dict[str, KeyedHash] = {}

        def start(feature: str) -> KeyedHash:
            info = frame(b"kith/feature/1", feature.encode(), number(self.version))
            begun = started[feature] = primitives.keyed_hash(primitives.expand(tree, info))
            return begun

        def compute(feature: str, value: str) -> int:
            begun = started.get(feature) or start(feature)
            try:
                text = value.encode()
            except UnicodeEncodeError:
                text = b""
            if not text:
                del value  # a traceback with locals must not show it
                raise NotKeyable(
                    "the value is empty or not text",
                    "leave the feature out",
                    feature=feature,
                )
            running = begun.copy()
            running.update(text)
            return int.from_bytes(running.finalize()[:_KEY_BYTES], "big") >> 1

        def several(feature: str, values: Collection[str]) -> list[int]:
            texts = _encoded(values)
            if texts is None:
                return [compute(feature, value) for value in values]  # says which rule
            return _integers(started.get(feature) or start(feature), texts)

        self.keys = several
        remembering = lru_cache(maxsize=cached)(compute)
        self.key = remembering
        self.forget = remembering.cache_clear

    def __repr__(self) -> str:
        return f"<feature keyer, version {self.version}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a feature keyer cannot be pickled; make one in each process")


def _encoded(values: Collection[str]) -> list[bytes] | None:
    """The bytes of each value; None if one of them has no keyed form."""
    try:
        texts = [value.encode() for value in values]
    except UnicodeEncodeError:
        return None
    return texts if all(texts) else None


def _integers(begun: KeyedHash, texts: list[bytes]) -> list[int]:
    """The first 63 bits of each text's hash."""
    copy, found = begun.copy, []
    for text in texts:
        running = copy()
        running.update(text)
        found.append(running.finalize())
    return [first >> 1 for (first,) in _FIRST.iter_unpack(b"".join(found))]


class FeatureLayers:
    """Feature keys of one version brought under a later one, without the value behind them.

    Version 1 keys a value (`FeatureKeyer`). Every later version keys what the one before gave:
    a keyed pseudonym of a keyed pseudonym. Whoever has all versions but the newest cannot try
    values against what is under it; and since nobody's value is opened to make it, equal stay
    equal and different stay different whatever the values were.
    """

    __slots__ = ("_keyring", "_known")

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._known: dict[int, Secret] = {}

    @property
    def newest(self) -> int:
        """The version that the ring has in force."""
        return self._keyring.current("features")

    def over(
        self, version: int, newer: int
    ) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
        """Return what brings keys of ``version`` under ``newer``; of the same, nothing changes.

        Two of a billion keys become one with a chance below 0.06, as when values are keyed.

        Raises:
            KeyMissing, KeyWithheld: the ring lacks one of the versions between.
        """
        layers = [self._layer(one) for one in range(version + 1, newer + 1)]

        def brought(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            for layer in layers:
                keys = _pseudonyms(layer, 0, keys)
            return keys

        return brought

    def _layer(self, version: int) -> Secret:
        found = self._known.get(version)
        if found is None:
            info = frame(b"kith/feature-layer/1", number(version))
            found = primitives.expand(self._keyring.secret("features", version), info)
            self._known[version] = found
        return found

    def __repr__(self) -> str:
        return "<feature layers>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("feature layers cannot be pickled; make them in each process")


class BlockKeyer:
    """Turn blocking keys into what may be stored of them: other integers of 63 bits.

    A blocking key is made of keyed features. Stored as it is, it could be held against a
    feature table that leaked from a process; under a key of its own it cannot. A keyer stays
    with its version of the index key: keys of two versions never meet, so that those of a
    database are all of the version that it names (``workspace.block_key``).
    """

    __slots__ = ("_keyring", "_secret", "version")

    def __init__(self, keyring: KeyRing, version: int | None = None) -> None:
        self._keyring = keyring
        self.version = keyring.current("blind-index") if version is None else version
        tree = keyring.secret("blind-index", self.version)
        self._secret = primitives.expand(tree, frame(b"kith/blocking-key/1"))

    def under(self, version: int) -> "BlockKeyer":
        """Return the keyer of that version of the index key.

        Raises:
            KeyMissing: the ring does not hold it.
        """
        return self if version == self.version else BlockKeyer(self._keyring, version)

    def keys(self, rules: npt.ArrayLike, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the stored form of ``keys``, each under its blocking rule. Shape (keys,)."""
        return _pseudonyms(self._secret, rules, keys)

    def __repr__(self) -> str:
        return "<blocking keyer>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a blocking keyer cannot be pickled; make one in each process")


class RecordKeys:
    """Name records, contents, profiles, messages and API keys without showing them."""

    __slots__ = ("_content", "_profile", "_published", "_record", "api_key_digest")

    api_key_digest: Callable[[str], bytes]  # of `ApiKeyDigests`

    def __init__(self, keyring: KeyRing) -> None:
        records = keyring.secret("records")
        self._record = _started(records, b"record")
        self._content = _started(records, b"content")
        self._profile = _started(records, b"profile")
        self._published = _started(keyring.secret("published"), b"published")
        self.api_key_digest = ApiKeyDigests(keyring).api_key_digest

    def record_key(self, source: str, record_id: str) -> bytes:
        """Return the name of a source's record, 16 bytes.

        Raises:
            NotKeyable: the id is empty or not text.
        """
        try:
            text = record_id.encode()
        except UnicodeEncodeError:
            text = b""
        if not text:
            del record_id  # a traceback with locals must not show it
            raise NotKeyable("the record id is empty or not text", "reject the row", source=source)
        return _digest(self._record, source.encode(), text)[:DIGEST_BYTES]

    def content_digest(self, source: str, payload: bytes) -> bytes:
        """Return what tells whether a record changed, 16 bytes."""
        return _digest(self._content, source.encode(), payload)[:DIGEST_BYTES]

    def profile_id(self, record_key: bytes) -> str:
        """Return the id of the profile anchored at that record: ``p`` and 20 characters.

        100 bits in Crockford's base 32, lower case: of a billion profiles two share an
        id with a chance below 10**-12.
        """
        bits = int.from_bytes(_digest(self._profile, record_key), "big") >> (256 - _ID_BITS)
        shifts = range(_ID_BITS - 5, -1, -5)
        return "p" + "".join(_ALPHABET[(bits >> shift) & 31] for shift in shifts)

    def published_digest(self, destination: str, body: bytes) -> bytes:
        """Return what tells whether a message to ``destination`` changed, 16 bytes."""
        return _digest(self._published, destination.encode(), body)[:DIGEST_BYTES]

    def __repr__(self) -> str:
        return "<record keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("record keys cannot be pickled; make them in each process")


class WordKeys:
    """Numbers of 16 bits for the words of rejected rows: few enough that chance is among them.

    Equal words of a source have equal numbers, and so have one in 65,536 of all others. So a
    number tells which rows need not be opened, and never whose one is.
    """

    __slots__ = ("_started",)

    def __init__(self, keyring: KeyRing) -> None:
        self._started = _started(keyring.secret("records"), b"reject-word")

    def numbers(self, source: str, words: Collection[str]) -> list[int]:
        """Return the numbers of some words, each once, from -32,768 to 32,767."""
        name = source.encode()
        digests = (_digest(self._started, name, one.encode(errors="replace")) for one in words)
        return sorted({int.from_bytes(one[:2], "big", signed=True) for one in digests})

    def __repr__(self) -> str:
        return "<word keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("word keys cannot be pickled; make them in each process")


def _pseudonyms(
    secret: Secret, rules: npt.ArrayLike, keys: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """AES-256 of (rule, key), cut to 63 bits. Shape (keys,)."""
    blocks = np.empty((len(keys), 2), "<i8")
    blocks[:, 0] = rules
    blocks[:, 1] = keys
    permuted = np.frombuffer(primitives.permuted(secret, blocks.tobytes()), "<u8")
    stored: npt.NDArray[np.int64] = (permuted[::2] >> np.uint64(1)).astype(np.int64)
    return stored


class ApiKeyDigests:
    """Recognise API keys: all that a process which only serves needs of the keyed forms.

    Under the version in force, also when another process puts a newer one in force: a rotation
    ends every API key in a process that goes on, as in one that starts after it.
    """

    __slots__ = ("_begun", "_keyring")

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        version = keyring.current("api-keys")
        self._begun = version, _api_keys_under(keyring, version)

    def api_key_digest(self, secret: str) -> bytes:
        """Return what is stored of an API key's secret half, 32 bytes.

        A plain keyed hash is enough, and fast, because the secret half is random.
        """
        version, begun = self._begun
        if (newest := self._keyring.current("api-keys")) != version:
            begun = _api_keys_under(self._keyring, newest)
            self._begun = newest, begun
        return _digest(begun, secret.encode(errors="surrogatepass"))

    def __repr__(self) -> str:
        return "<API key digests>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("API key digests cannot be pickled; make them in each process")


def _api_keys_under(keyring: KeyRing, version: int) -> KeyedHash:
    return _started(keyring.secret("api-keys", version), b"api-key")


def _started(tree: Secret, kind: bytes) -> KeyedHash:
    return primitives.keyed_hash(primitives.expand(tree, frame(b"kith/keyed/1", kind)))


def _digest(started: KeyedHash, *parts: bytes) -> bytes:
    running = started.copy()
    running.update(frame(*parts))
    return running.finalize()
