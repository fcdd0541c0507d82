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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from identity.errors import FeatureVersionError

VERSION = 1
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
    _one("city", "the city"),
    _several("phones", "every own phone, E.164; no placeholder, no privacy number"),
    _several("phones_near", "each phone and all its one-deletion neighbours"),
    _several("name_near", "the name and its one-deletion neighbours; the surname stays"),
    _several("given_near", "the given name and its one-deletion neighbours"),
    _several("surname_near", "the surname and its one-deletion neighbours"),
    _several("birth_near", "the birth date's digits and their one-deletion neighbours"),
    _several("national_id_near", "the ID number and its one-deletion neighbours"),
    _several("tax_number_near", "the tax number and its one-deletion neighbours"),
    _several("street_near", "the street and its one-deletion neighbours"),
    _several("district_near", "the district and its one-deletion neighbours"),
    _several("postcode_near", "the postal code and its one-deletion neighbours"),
    _several("accounts", "loyalty cards, openids, buyer ids and the like, each in its scope"),
)
SINGLE = tuple(feature.name for feature in FEATURES if not feature.several)
MULTIPLE = tuple(feature.name for feature in FEATURES if feature.several)

# Layout, little endian: version (1 byte), length of each list (1 byte each), each
# single feature (8 bytes, 0 for missing), the lists one after another (8 bytes each).
_HEAD = 1 + len(MULTIPLE)
_FIXED = _HEAD + 8 * len(SINGLE)

Values = Mapping[str, int | Sequence[int]]


def pack(values: Values) -> bytes:
    """Pack one record's features.

    Args:
        values: single features by name as int (0 < value < 2**63), list features as
            sequences of such ints. Missing ones are left out.
    """
    lists = [tuple(values.get(name, ())) for name in MULTIPLE]  # type: ignore[arg-type]
    lists = [tuple(sorted(set(keys)))[:MAX_KEYS] for keys in lists]
    flat = [key for keys in lists for key in keys]
    singles = [values.get(name, 0) for name in SINGLE]
    return struct.pack(
        f"<B{len(MULTIPLE)}B{len(SINGLE)}q{len(flat)}q",
        VERSION,
        *(len(keys) for keys in lists),
        *singles,
        *flat,
    )


def unpack(record_ids: Sequence[int], blobs: Sequence[bytes]) -> pa.Table:
    """Unpack many records at once.

    Args:
        record_ids: one id per record.
        blobs: the packed features, in the same order.

    Returns:
        A table of ``len(blobs)`` rows: ``id`` (int64), one nullable int64 column per
        single feature, one ``list<int64>`` column per list feature (empty, not null).

    Raises:
        FeatureVersionError: a blob was packed by another version, or is damaged.
    """
    if not blobs:
        return _table(
            record_ids, np.zeros((0, len(SINGLE)), np.int64), [_no_keys(0)] * len(MULTIPLE)
        )
    joined = np.frombuffer(b"".join(blobs), np.uint8)
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    _check(record_ids, joined, starts, lengths)
    counts = joined[starts[:, None] + np.arange(1, _HEAD)].astype(np.int64)
    if (lengths != _FIXED + 8 * counts.sum(axis=1)).any():
        raise FeatureVersionError(
            record_ids[int(np.argmax(lengths != _FIXED + 8 * counts.sum(axis=1)))]
        )
    singles = joined[starts[:, None] + np.arange(_HEAD, _FIXED)].copy().view("<i8")
    offsets = starts + _FIXED
    lists = []
    for column in range(len(MULTIPLE)):
        lists.append(_gather(joined, offsets, counts[:, column]))
        offsets = offsets + 8 * counts[:, column]
    return _table(record_ids, singles, lists)


def _check(
    record_ids: Sequence[int],
    joined: "np.ndarray[tuple[int], np.dtype[np.uint8]]",
    starts: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> None:
    short = lengths < _FIXED
    if short.any():
        raise FeatureVersionError(record_ids[int(np.argmax(short))])
    other = joined[starts] != VERSION
    if other.any():
        raise FeatureVersionError(record_ids[int(np.argmax(other))])


def _gather(
    joined: "np.ndarray[tuple[int], np.dtype[np.uint8]]",
    offsets: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    counts: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> pa.ListArray:
    """Read one list feature of every record: ``counts[i]`` integers from ``offsets[i]`` on."""
    ends = np.cumsum(counts)
    rank = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
    places = np.repeat(offsets, counts) + 8 * rank
    keys = joined[places[:, None] + np.arange(8)].copy().view("<i8").reshape(-1)
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate(([0], ends)).astype(np.int32)), pa.array(keys)
    )


def _no_keys(rows: int) -> pa.ListArray:
    return pa.array([[]] * rows, pa.list_(pa.int64()))


def _table(
    record_ids: Sequence[int],
    singles: "np.ndarray[tuple[int, int], np.dtype[np.int64]]",
    lists: Sequence[pa.ListArray],
) -> pa.Table:
    columns = {"id": pa.array(record_ids, pa.int64())}
    for place, name in enumerate(SINGLE):
        values = singles[:, place]
        columns[name] = pa.array(values, pa.int64(), mask=values == 0)
    columns.update(zip(MULTIPLE, lists, strict=True))
    return pa.table(columns)
