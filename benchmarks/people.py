"""Made-up retail records in any number: the same people as keyed features and as plain text.

Everything is drawn at once with numpy, from one seed. Frequencies are those of Chinese
retail data: few surnames hold most people, given names follow Zipf's law, about 2.4 records
a person, phones that a family shares, dates with slips, a unionid on every third record.
A value is a small number here; ``keyed`` hides it behind a hash as ingest does, and ``text``
writes it out for a tool that reads text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from identity import features
from identity.columns import Columns, Lists

Ints = npt.NDArray[np.int64]

RECORDS_PER_PERSON = 2.4
SURNAMES = 400
CHARACTERS = 1500  # of given names; three in a row sound the same
CITIES = 300
PHONE_DIGITS = 11
_TAGS = {feature.name: tag for tag, feature in enumerate(features.FEATURES, 1)}


@dataclass(frozen=True, slots=True)
class Crowd:
    """What each record says; 0 where it says nothing. Each of shape (records,).

    Attributes:
        person: who it really is.
        surname, first, second: the name; ``second`` is 0 in a name of two characters.
        masked: whether only the surname and the last character can be seen.
        phone: eleven digits.
        birth: the date as YYYYMMDD.
        unionid, card, city, gender: numbers of values.
    """

    person: Ints
    surname: Ints
    first: Ints
    second: Ints
    masked: npt.NDArray[np.bool_]
    phone: Ints
    birth: Ints
    unionid: Ints
    card: Ints
    city: Ints
    gender: Ints

    def __len__(self) -> int:
        return len(self.person)


def draw(records: int, seed: int = 1) -> Crowd:
    """Draw ``records`` records, in random order."""
    generator = np.random.default_rng(seed)
    people = max(1, round(records / RECORDS_PER_PERSON))
    person = generator.integers(0, people, records)

    def some(values: Ints, share: float) -> Ints:
        return np.where(generator.random(records) < share, values, 0)

    def slip(values: Ints, other: Ints, share: float) -> Ints:
        return np.where((values != 0) & (generator.random(records) < share), other, values)

    surname = _zipf(generator, SURNAMES, people, 0.9)[person]
    first = _zipf(generator, CHARACTERS, people, 0.8)[person]
    short = (generator.random(people) < 0.2)[person]
    second = np.where(short, 0, _zipf(generator, CHARACTERS, people, 0.8)[person])
    first = slip(first, (first - 1) // 3 * 3 + generator.integers(1, 4, records), 0.03)
    second = slip(second, generator.integers(1, CHARACTERS + 1, records), 0.01)
    named = generator.random(records) < 0.9
    home = person // 3  # three people of a family share a line
    own = generator.random(records)
    line = np.where(own < 0.93, person * 2, np.where(own < 0.97, person * 2 + 1, -1 - home))
    birth = _dates(generator, people)[person]
    return Crowd(
        person,
        np.where(named, surname, 0),
        np.where(named, first, 0),
        np.where(named, second, 0),
        named & (generator.random(records) < 0.08),
        some(13_000_000_000 + _spread(line, 7) % 6_999_999_999, 0.8),
        slip(some(birth, 0.5), _dates(generator, records), 0.02),
        some(person + 1, 0.35),
        some(person + 1, 0.3),
        some(_zipf(generator, CITIES, people, 0.8)[person], 0.6),
        some((generator.random(people) < 0.5).astype(np.int64)[person] + 1, 0.7),
    )


def keyed(crowd: Crowd) -> pa.Table:
    """The features of every record, as ``identity.features.unpack`` gives them."""
    return keyed_columns(crowd).table()


def keyed_columns(crowd: Crowd) -> Columns:
    """The features of every record; its id is its place, counted from 1."""
    count = len(crowd)
    singles = dict.fromkeys(features.SINGLE, np.zeros(count, np.int64))
    nothing = Lists(np.zeros(count + 1, np.int64), np.zeros(0, np.int64))
    lists = dict.fromkeys(features.MULTIPLE, nothing)
    _name(crowd, singles, lists)
    _birth(crowd, singles, lists)
    for feature in ("unionid", "city", "gender"):
        singles[feature] = _key(feature, getattr(crowd, feature))
    lists["accounts"] = _lists(_key("accounts", crowd.card)[:, None])
    phone = crowd.phone
    lists["phones"] = _lists(_key("phones", phone)[:, None])
    lists["phones_near"] = _near("phones_near", phone, PHONE_DIGITS)
    lists["phone_tail"] = _lists(
        _key("phone_tail", np.where(phone, phone % 10_000 + 1, 0))[:, None]
    )
    lists["phone_head"] = _lists(_key("phone_head", phone // 10_000)[:, None])
    return Columns(np.arange(1, count + 1), singles, lists)


def packed(columns: Columns) -> list[bytes]:
    """Each record's features as they are stored."""
    singles = {name: keys.tolist() for name, keys in columns.singles.items() if keys.any()}
    lists = {
        name: (held.starts.tolist(), held.keys.tolist())
        for name, held in columns.lists.items()
        if len(held.keys)
    }
    return [
        features.pack(
            {name: keys[row] for name, keys in singles.items()}
            | {name: keys[starts[row] : starts[row + 1]] for name, (starts, keys) in lists.items()}
        )
        for row in range(len(columns))
    ]


def text(crowd: Crowd) -> pa.Table:
    """The same records in plain text: null where a record says nothing."""
    letters = pa.array([chr(0x4E00 + number) for number in range(3 * CHARACTERS)])
    nobody = crowd.surname == 0
    second = pc.if_else(pa.array(crowd.second == 0), "", letters.take(pa.array(crowd.second)))
    whole = pc.binary_join_element_wise(
        letters.take(pa.array(CHARACTERS + crowd.surname)),
        pc.if_else(pa.array(crowd.masked), "*", letters.take(pa.array(crowd.first))),
        second,
        "",
    )
    date = pc.utf8_slice_codeunits
    digits = pa.array(crowd.birth).cast(pa.string())
    birth = pc.binary_join_element_wise(
        date(digits, 0, 4), date(digits, 4, 6), date(digits, 6), "-"
    )
    return pa.table(
        {
            "unique_id": np.arange(1, len(crowd) + 1),
            "name": pc.if_else(pa.array(nobody), None, whole),
            "phone": _text(crowd.phone),
            "dob": pc.if_else(pa.array(crowd.birth == 0), None, birth),
            "unionid": _text(crowd.unionid),
            "card": _text(crowd.card),
            "city": _text(crowd.city),
            "gender": _text(crowd.gender),
        }
    )


def _text(values: Ints) -> pa.Array:
    return pa.array(values, mask=values == 0).cast(pa.string())


def _zipf(generator: np.random.Generator, kinds: int, size: int, steepness: float) -> Ints:
    """Numbers from 1 to ``kinds``; the n-th is 1/n**steepness as frequent as the first."""
    shares = np.cumsum(1.0 / np.arange(1, kinds + 1) ** steepness)
    drawn: Ints = np.searchsorted(shares, generator.random(size) * shares[-1]) + 1
    return np.minimum(drawn, kinds)


def _dates(generator: np.random.Generator, size: int) -> Ints:
    """Dates from 1950 to 2008; no month is longer than 28 days."""
    year, month = generator.integers(1950, 2009, size), generator.integers(1, 13, size)
    return year * 10_000 + month * 100 + generator.integers(1, 29, size)


def _name(crowd: Crowd, singles: dict[str, Ints], lists: dict[str, Lists]) -> None:
    whole = np.where(crowd.masked, 0, crowd.surname)
    first, second = crowd.first, crowd.second
    given = np.where(whole, _joined(first, second), 0)
    heard = _joined((first + 2) // 3, (second + 2) // 3)
    singles["surname"] = _key("surname", crowd.surname)
    singles["name"] = _key("name", np.where(whole, _joined(crowd.surname, given), 0))
    singles["given"] = _key("given", given)
    length = np.where(whole, 1 + (second != 0), 0)
    singles["given_length"] = _key("given_length", length)
    singles["sound"] = _key("sound", np.where(whole, _joined(crowd.surname, heard), 0))
    end = np.where(crowd.masked & (second != 0), second, 0)
    singles["given_end"] = _key("given_end", end)
    without = [np.where(second, _joined(kept, 0), 0) for kept in (first, second)]
    parts = [np.where(whole, one, 0) for one in (given, *without)]
    lists["given_near"] = _lists(np.stack([_key("given_near", one) for one in parts], axis=1))
    names = [np.where(one, _joined(crowd.surname, one), 0) for one in parts]
    lists["name_near"] = _lists(np.stack([_key("name_near", one) for one in names], axis=1))
    lists["surname_near"] = _lists(_key("surname_near", crowd.surname)[:, None])


def _birth(crowd: Crowd, singles: dict[str, Ints], lists: dict[str, Lists]) -> None:
    birth = crowd.birth
    year, month, day = birth // 10_000, birth // 100 % 100, birth % 100
    singles["birth"] = _key("birth", birth)
    swapped = np.where((day <= 12) & (day != month), year * 10_000 + day * 100 + month, 0)
    singles["birth_swapped"] = _key("birth", swapped)
    singles["birth_year"] = _key("birth_year", year)
    singles["birth_day"] = _key("birth_day", birth % 10_000)
    lists["birth_near"] = _near("birth_near", birth, 8)


def _near(feature: str, value: Ints, digits: int) -> Lists:
    """Keys of a number and of what is left when one digit is dropped."""
    powers = 10 ** np.arange(digits, dtype=np.int64)
    whole = np.where(value, value + 10**digits, 0)
    dropped = [np.where(value, value // (10 * p) * p + value % p + 1, 0) for p in powers]
    return _lists(np.stack([_key(feature, one) for one in (whole, *dropped)], axis=1))


def _lists(keys: Ints) -> Lists:
    """Flat lists of the keys in each row that are not 0, ascending and each once."""
    keys = np.sort(keys, axis=1)
    wanted = keys != 0
    wanted[:, 1:] &= keys[:, 1:] != keys[:, :-1]
    starts = np.concatenate(([0], np.cumsum(wanted.sum(axis=1))))
    return Lists(starts.astype(np.int64), keys[wanted])


def _joined(one: Ints, other: Ints | int) -> Ints:
    """One number out of two."""
    return one * 4_000_000 + other + 1


def _key(feature: str, values: Ints) -> Ints:
    """A hash of the value under its feature's name, 0 for none."""
    hashed = _spread(values, _TAGS[feature]) & np.int64(2**63 - 1)
    return np.where(values == 0, 0, np.maximum(hashed, 1))


def _spread(values: Ints, tag: int) -> Ints:
    """Mix 64 bits; the constants are those of SplitMix64 (Steele, Lea, Flood 2014)."""
    mixed = values.astype(np.uint64) + np.uint64(tag * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Ints = (mixed ^ (mixed >> np.uint64(31))).astype(np.int64)
    return spread
