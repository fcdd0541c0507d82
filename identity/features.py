"""The keyed features that identity compares, and how they are packed.

A feature is a keyed 63-bit integer (or a few of them) derived from one normalised
value or a useful part of it. ``cdp.ingest`` derives and keys them; this package
declares which exist and reads them. It never holds the text behind a number.

Invariants:
    1. Identity sees integers only: every column of a feature table is an integer, a
       list of integers or null.
    2. What is stored carries its version: a packed record of another version is
       refused, never guessed at.
    3. Packing is exact: unpacking gives back what was packed.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from identity.columns import Columns, Ints, Lists
from identity.errors import FeatureVersionError
from identity.sharing import LIMIT

VERSION = 3
MAX_KEYS = 255  # of one list feature in one record; more are noise, not evidence


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its name, and whether a record can hold several of it."""

    name: str
    several: bool
    about: str


def _one(name: str, about: str) -> Feature:
    return Feature(name, several=False, about=about)


def _several(name: str, about: str) -> Feature:
    return Feature(name, several=True, about=about)


FEATURES: tuple[Feature, ...] = (
    _one("name", "the complete name; word order does not count"),
    _one("sound", "how the complete name sounds: toneless pinyin, or a phonetic code"),
    _one("surname", "the surname, also of a masked name such as 张**"),
    _one("given", "the given name"),
    _one("given_end", "the last character of a masked given name such as 张*三"),
    _one("given_length", "how many characters a given name in Chinese characters has"),
    _one("birth", "the whole birth date"),
    _one("birth_swapped", "the birth date with day and month exchanged"),
    _one("birth_year", "the year of birth"),
    _one("birth_day", "month and day of birth"),
    _one("gender", "the gender"),
    _one("email", "the canonical mail address"),
    _one("email_local", "what stands before the @"),
    _one("national_id", "the whole ID number"),
    _one("unionid", "the WeChat unionid within its Open Platform account"),
    _one("tax_number", "a person-level tax or social security number"),
    _one("street", "the street without its number"),
    _one("street_number", "the house number"),
    _one("district", "district, suburb or county"),
    _one("postcode", "the postal code"),
    _one("postcode_area", "the postal code but for its last part"),
    _one("city", "the city"),
    _one("region", "state or province"),
    _one("id_region", "the county in an ID number: its first six digits"),
    _one("birth_place", "the place of birth"),
    _one("occupation", "the occupation, as registers write it"),
    _several("phones", "every own phone, E.164; no placeholder, no privacy number"),
    _several("phones_near", "each phone and all its one-deletion neighbours"),
    _several("phone_tail", "the last four digits of each phone"),
    _several("phone_head", "the first seven digits of each mobile; country and area elsewhere"),
    _several(
        "name_near",
        "the name, its one-deletion neighbours, the names it may be short for; same surname",
    ),
    _several(
        "given_near",
        "the given name, its one-deletion neighbours and the names it may be short for",
    ),
    _several("words", "every word of a name in letters"),
    _several("words_near", "each word, its one-deletion neighbours, the names it may be short for"),
    _several("word_pairs", "every two words of a name in letters, whatever their order"),
    _several("surname_near", "the surname and its one-deletion neighbours"),
    _several("birth_near", "the birth date's digits and their one-deletion neighbours"),
    _several("national_id_near", "the ID number and its one-deletion neighbours"),
    _several("tax_number_near", "the tax number and its one-deletion neighbours"),
    _several("street_near", "the street and its one-deletion neighbours"),
    _several("district_near", "the district and its one-deletion neighbours"),
    _several("postcode_near", "the postal code and its one-deletion neighbours"),
    _several("accounts", "openids, buyer ids and the like, each in its scope"),
    _several("counted", "accounts whose people are counted, such as loyalty cards; see sharing.py"),
    _several("unique_ids", "identifiers of which a person has one, each in its scope"),
    _several("unique_kinds", "of which types and scopes they are"),
)
SINGLE = tuple(feature.name for feature in FEATURES if not feature.several)
MULTIPLE = tuple(feature.name for feature in FEATURES if feature.several)

# Layout, little endian: version (1 byte), which single features are there (1 bit each), the
# length of each list (1 byte each), zeros up to the next multiple of 8; then the single
# features that are there, then the lists one after another, 8 bytes a key.
_FLAGS = -(-len(SINGLE) // 8)
_LENGTHS = 1 + _FLAGS
_HEAD = -(-(_LENGTHS + len(MULTIPLE)) // 8) * 8
_SINGLES = (1 << len(SINGLE)) - 1
_EMPTY_HEAD = bytes([VERSION]) + bytes(_HEAD - 1)
_FLAG_OF = tuple((name, 1 << place) for place, name in enumerate(SINGLE))
_LENGTH_OF = tuple((name, place) for place, name in enumerate(MULTIPLE, _LENGTHS))


class Ascending(list[int]):
    """Keys of a list feature, each once and ascending, no more than are kept; see `ascending`."""

    __slots__ = ()


Values = Mapping[str, int | Sequence[int]]
Bytes = npt.NDArray[np.uint8]


def pack(values: Values) -> bytes:
    """Pack one record's features.

    Args:
        values: single features by name as int (0 < value < 2**63), list features as
            sequences of such ints. Missing ones are left out.
    """
    flags, keys = 0, []
    for name, flag in _FLAG_OF:
        if name in values and (key := values[name]):
            flags |= flag
            keys.append(key)
    head = bytearray(_EMPTY_HEAD)
    head[1:_LENGTHS] = flags.to_bytes(_FLAGS, "little")
    for name, place in _LENGTH_OF:
        if name in values:
            several: Sequence[int] = values[name]  # type: ignore[assignment]
            if len(several) > 1 and type(several) is not Ascending:
                several = sorted(set(several))[:MAX_KEYS]
            head[place] = len(several)
            keys += several
    return bytes(head) + _words(len(keys)).pack(*keys)


def ascending(several: Iterable[int]) -> Ascending:
    """The keys of a list feature as they are packed, for those that are packed again and again."""
    return Ascending(sorted(set(several))[:MAX_KEYS])


@lru_cache(maxsize=512)
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}q")


def unpack(record_ids: Sequence[int], blobs: Sequence[bytes]) -> pa.Table:
    """Unpack many records at once, as ``unpack_columns`` does.

    Returns:
        A table of ``len(blobs)`` rows: ``id`` (int64), one nullable int64 column per
        single feature, one ``list<int64>`` column per list feature (empty, not null).

    Raises:
        FeatureVersionError: a blob was packed by another version, or is damaged.
    """
    return unpack_columns(record_ids, blobs).table()


def unpack_columns(record_ids: Sequence[int], blobs: Sequence[bytes]) -> Columns:
    """Unpack many records at once.

    Args:
        record_ids: one id per record.
        blobs: the packed features, in the same order.

    Raises:
        FeatureVersionError: a blob was packed by another version, or is damaged.
    """
    ids = np.array(record_ids, np.int64)
    if not blobs:
        none = np.zeros(0, np.int64)
        nothing = Lists(np.zeros(1, np.int64), none)
        return Columns(ids, dict.fromkeys(SINGLE, none), dict.fromkeys(MULTIPLE, nothing))
    joined = np.frombuffer(b"".join(blobs), np.uint8)
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    _refuse(record_ids, lengths < _HEAD)
    _refuse(record_ids, joined[starts] != VERSION)
    flags = joined[starts[:, None] + np.arange(1, _LENGTHS)]
    bits = np.unpackbits(flags, axis=1, count=len(SINGLE), bitorder="little")
    lengths_of = joined[starts[:, None] + np.arange(_LENGTHS, _LENGTHS + len(MULTIPLE))]
    there, counts = bits.astype(np.int64), lengths_of.astype(np.int64)
    _refuse(record_ids, lengths != _HEAD + 8 * (there.sum(axis=1) + counts.sum(axis=1)))
    # Every length is a multiple of 8 by now, so the keys lie where an integer can be read.
    keys, first = joined.view("<i8"), (starts + _HEAD) // 8
    after = first[:, None] + np.cumsum(there, axis=1)
    # A row without the feature reads some other key, which the product drops.
    single = keys[np.minimum(after - there, len(keys) - 1)] * there
    ends = after[:, -1:] + np.cumsum(counts, axis=1)
    nothing = Lists(np.zeros(len(ids) + 1, np.int64), keys[:0])
    told: list[int] = counts.sum(axis=0).tolist()
    return Columns(
        ids,
        {name: single[:, column] for column, name in enumerate(SINGLE)},
        {
            name: _gather(keys, ends[:, column] - counts[:, column], counts[:, column])
            if told[column]
            else nothing
            for column, name in enumerate(MULTIPLE)
        },
    )


def rekeyed(
    record_ids: Sequence[int], blobs: Sequence[bytes], change: Callable[[Ints], Ints]
) -> list[bytes]:
    """Put another key in the place of every key of packed features.

    Who has a key in common with whom stays as it was, and so does which keys are kept of a
    list: those are chosen once, when the record is packed.

    Args:
        record_ids: one id per record, to be named in errors.
        blobs: the packed features, in the same order.
        change: a one-to-one function of keys. The last bits of a counted key say a limit,
            see ``identity.sharing``; they stay.

    Raises:
        FeatureVersionError: a blob was packed by another version, or is damaged.
    """
    if not blobs:
        return []
    unpack_columns(record_ids, blobs)  # refuses what it cannot read
    joined = np.frombuffer(b"".join(blobs), "<i8")
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs)) // 8
    starts = np.cumsum(lengths) - lengths
    raw = joined.view(np.uint8)
    heads = raw[8 * starts[:, None] + np.arange(_LENGTHS + len(MULTIPLE))]
    flags = np.unpackbits(heads[:, 1:_LENGTHS], axis=1, count=len(SINGLE), bitorder="little")
    # How many words each part of each record takes: the head's words one by one, each single
    # feature, each list.
    sizes = np.hstack([np.ones((len(blobs), _HEAD // 8), np.int64), flags, heads[:, _LENGTHS:]])
    part = np.repeat(np.tile(np.arange(sizes.shape[1]), len(blobs)), sizes.ravel())
    segment = np.repeat(np.arange(sizes.size), sizes.ravel())
    words = joined.astype(np.int64)
    keys = part >= _HEAD // 8
    words[keys] = change(words[keys])
    counted = part == _HEAD // 8 + len(SINGLE) + MULTIPLE.index("counted")
    words[counted] = (words[counted] & ~LIMIT) | (joined[counted] & LIMIT)
    words = words[np.lexsort((words, segment))]  # keys of a list stand ascending
    told = words.astype("<i8").tobytes()
    places = zip((8 * starts).tolist(), (8 * (starts + lengths)).tolist(), strict=True)
    return [told[start:end] for start, end in places]


def unpack_one(record_id: int, blob: bytes) -> dict[str, Any]:
    """Unpack one record: 0 for a missing single feature, and the keys of each list feature.

    Raises:
        FeatureVersionError: it was packed by another version, or is damaged.
    """
    if len(blob) < _HEAD or blob[0] != VERSION or len(blob) % 8:
        raise FeatureVersionError(record_id)
    flags = int.from_bytes(blob[1:_LENGTHS], "little") & _SINGLES
    lengths = blob[_LENGTHS : _LENGTHS + len(MULTIPLE)]
    keys = struct.unpack_from(f"<{(len(blob) - _HEAD) // 8}q", blob, _HEAD)
    at = flags.bit_count()
    if len(keys) != at + sum(lengths):
        raise FeatureVersionError(record_id)
    single = iter(keys)
    found: dict[str, Any] = {
        name: next(single) if flags >> place & 1 else 0 for place, name in enumerate(SINGLE)
    }
    for name, length in zip(MULTIPLE, lengths, strict=True):
        found[name] = keys[at : at + length]
        at += length
    return found


def _refuse(record_ids: Sequence[int], wrong: npt.NDArray[np.bool_]) -> None:
    if wrong.any():
        raise FeatureVersionError(record_ids[int(np.argmax(wrong))])


def _gather(keys: Ints, places: Ints, counts: Ints) -> Lists:
    """Read one list feature of every record: ``counts[i]`` integers from ``places[i]`` on."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    rank = np.arange(starts[-1]) + np.repeat(places - starts[:-1], counts)
    return Lists(starts, keys[rank])
