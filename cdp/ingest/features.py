"""Derive a record's keyed features from its canonical values.

Pure. ``identity.features`` declares which features exist; this is the only place that
sees both a value and its features.

Invariants:
    1. Equal values give equal features under one key, and others under another key.
    2. Nothing leaves here but integers.
    3. Fillers, masked and privacy numbers, and preset dates give no features.
"""

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from itertools import combinations

from cdp.ingest.normalise.address import Address, Place
from cdp.ingest.normalise.date import BirthDate
from cdp.ingest.normalise.email import Email
from cdp.ingest.normalise.gender import Gender
from cdp.ingest.normalise.name_parts import Name, Script
from cdp.ingest.normalise.national_id import NationalId
from cdp.ingest.normalise.nicknames import formal_names
from cdp.ingest.normalise.occupation import Occupation
from cdp.ingest.normalise.phone import Phone
from cdp.ingest.normalise.phonetic import latin_sound
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.values import Values
from identity.catalogue import Catalogue, shipped
from identity.sharing import counted_key

Key = Callable[[str, str], int]
Keys = Callable[[str, Collection[str]], list[int]]
Features = dict[str, int | list[int]]

MOST_WORDS = 10  # of one name; every two of them make a feature
SHORTEST_LOCAL = 5  # characters; a shorter local part is shared by too many people
SHORTEST_NEAR = 4  # characters; below this, one deletion leaves too little to name anything
TAIL = 4  # digits of a phone that people read out and forms show
SUBSCRIBER = 7  # digits; what stands before them is country and area, give or take one
MAINLAND = "+861"  # mobiles go on with 3 to 9
# What one deriver remembers: about 40 MB when full.
NAMES, DAYS, PLACES = 10_000, 20_000, 5_000


def derive(values: Values, key: Key, identifiers: Catalogue | None = None) -> Features:
    """Derive and key all features of one record.

    Args:
        values: the canonical values of the record.
        key: (feature name, text) to a 63-bit integer.
        identifiers: which types feed which feature; None: the catalogue that ships.

    Returns:
        Features by name, as ``identity.features.pack`` takes them; missing ones left out.
    """
    return Deriver(key, None, identifiers).derive(values)


class Deriver:
    """Derives the features of many records; what names, dates and places give is remembered.

    Many people share those. A number or an account is one person's, and is keyed each time.
    """

    __slots__ = ("_accounts", "_held_apart", "_key", "_keys", "_of_birth", "_of_name", "_of_place")

    def __init__(
        self, key: Key, keys: Keys | None = None, identifiers: Catalogue | None = None
    ) -> None:
        """Make it for one key.

        Args:
            key: (feature name, text) to a 63-bit integer.
            keys: the same for several texts of one feature; None: one by one with ``key``.
            identifiers: which types feed which feature; None: the catalogue that ships.
        """
        known = identifiers or shipped()
        self._key = key
        self._keys = keys or (lambda feature, texts: [key(feature, text) for text in texts])
        self._accounts = [(name, known[name].most_people) for name in known.feeding("accounts")]
        self._held_apart = known.held_apart
        self._of_name = lru_cache(NAMES)(lambda name: _of_name(name, key))
        self._of_birth = lru_cache(DAYS)(lambda *day: _of_birth(day, key))
        self._of_place = lru_cache(PLACES)(lambda name, text: _of_place(name, text, key))

    def derive(self, values: Values) -> Features:
        """Derive and key all features of one record, as the function `derive` does."""
        features: Features = {}
        read, key, keys = values.read, self._key, self._keys
        whole = values.first("name")
        if isinstance(whole, Name):
            features.update(self._of_name(whole))
        else:
            _name_parts(values, key, features)
        if "phone" in read:
            _phones(values, key, keys, features)
        day = _birth(values)
        if day is not None:
            features.update(self._of_birth(*day))
        _identifiers(values, key, keys, features)
        self._add_accounts(values, features)
        self._add_unique(values, features)
        for name, text in _places(values).items():
            if text:
                features.update(self._of_place(name, text))
        occupation = values.first("occupation")
        if isinstance(occupation, Occupation):
            features["occupation"] = key("occupation", occupation.words)
        return features

    def _add_accounts(self, values: Values, features: Features) -> None:
        """Each card or account in its scope: equal texts of two types or scopes never meet."""
        accounts: list[int] = []
        counted: list[int] = []
        for name, most_people in self._accounts:
            found = values.read.get(name)
            if not found:
                continue
            texts = [f"{name}|{scope or ''}|{value.canonical}" for value, scope in found]
            keyed = self._keys("accounts", texts)
            if most_people is None:
                accounts += keyed
            else:
                counted += [counted_key(one, most_people) for one in keyed]
        if accounts:
            features["accounts"] = accounts
        if counted:
            features["counted"] = counted

    def _add_unique(self, values: Values, features: Features) -> None:
        """What nobody has two of, in its scope. A record with two of one speaks for neither."""
        held: dict[str, set[str]] = {}
        for name in self._held_apart:
            for value, scope in values.read.get(name, ()):
                held.setdefault(f"{name}|{scope or ''}", set()).add(value.canonical)
        sole = {kind: min(texts) for kind, texts in held.items() if len(texts) == 1}
        if sole:
            features["unique_kinds"] = [self._key("unique_kinds", kind) for kind in sole]
            texts = [f"{kind}|{text}" for kind, text in sole.items()]
            features["unique_ids"] = self._keys("unique_ids", texts)


def _variants(text: str, fixed: int = 0) -> set[str]:
    """The text and its one-deletion neighbours; the first ``fixed`` characters stay.

    Two texts one deletion, insertion, substitution or exchange of neighbours apart share
    at least one of these (Bocek, Hunt & Stiller 2007, "Fast Similarity Search").
    """
    variants = {text}
    if len(text) >= SHORTEST_NEAR:
        variants |= {text[:place] + text[place + 1 :] for place in range(fixed, len(text))}
    return variants


def _near(feature: str, text: str, key: Key) -> list[int]:
    return [key(feature, variant) for variant in _variants(text)]


# ── names ───────────────────────────────────────────────────────────────────


def _of_name(whole: Name, key: Key) -> Features:
    features: Features = {"name": key("name", " ".join(whole.tokens))}
    heard = (
        sound(whole.full)
        if whole.script is Script.HAN
        else " ".join(sorted(latin_sound(" ".join(whole.tokens)).split()))
    )
    if heard:
        features["sound"] = key("sound", heard)
    _parts(whole.surname, whole.given, key, features)
    if whole.script is Script.HAN and whole.given:
        features["given_length"] = key("given_length", str(len(whole.given)))
    features["name_near"] = _name_near(whole, key)
    _words(whole, key, features)
    return features


def _name_parts(values: Values, key: Key, features: Features) -> None:
    part = values.first("masked_name")
    if isinstance(part, Name):
        _visible(part, key, features)
        _words(part, key, features)
        return
    surname, given = values.first("surname"), values.first("given_name")
    _parts(
        surname.full if isinstance(surname, Name) else None,
        given.full if isinstance(given, Name) else None,
        key,
        features,
    )


def _visible(part: Name, key: Key, features: Features) -> None:
    """What shows of an incomplete name: 张** its surname, 张*三 also its end, 雨姐 only an end."""
    if part.surname:
        features["surname"] = key("surname", part.surname)
    # A mask ends where the name does, but for 阿*提·买买提, where the father's name follows.
    whole = part.masked and "·" not in part.full
    end = part.full[-1:] if whole else (part.given or "")[-1:]
    if part.script is Script.HAN and end and end != "*":
        features["given_end"] = key("given_end", end)


def _parts(surname: str | None, given: str | None, key: Key, features: Features) -> None:
    if surname:
        features["surname"] = key("surname", surname)
        features["surname_near"] = _near("surname_near", surname, key)
    if given:
        features["given"] = key("given", given)
        features["given_end"] = key("given_end", given[-1])
        features["given_near"] = near = _near("given_near", given, key)
        near += [key("given_near", formal) for formal in formal_names(given)]


def _words(whole: Name, key: Key, features: Features) -> None:
    """The words of a name in letters: people add titles and middle names, and leave them out."""
    if whole.script is Script.HAN or whole.masked:
        return
    words = sorted(set(whole.tokens))
    features["words"] = [key("words", word) for word in words]
    features["words_near"] = [k for word in words for k in _word_near(word, key)]
    pairs = combinations(words[:MOST_WORDS], 2)
    features["word_pairs"] = [key("word_pairs", " ".join(pair)) for pair in pairs]


def _word_near(word: str, key: Key) -> list[int]:
    near = _near("words_near", word, key)
    return near + [key("words_near", formal) for formal in formal_names(word)]


def _name_near(whole: Name, key: Key) -> list[int]:
    surname, given = whole.surname or "", whole.given or ""
    if whole.script is Script.HAN:
        # The surname stays: 张三 and 李三 are not one slip apart. A given name of one
        # character stays too, or every 张 would be near every other.
        variants = {whole.full}
        if len(given) > 1:
            variants |= {surname + given[:i] + given[i + 1 :] for i in range(len(given))}
        return [key("name_near", variant) for variant in variants]
    return [
        key("name_near", f"{near_given}|{near_surname}")
        for near_given, near_surname in _latin_variants(given, surname)
    ]


def _latin_variants(given: str, surname: str) -> Iterable[tuple[str, str]]:
    yield given, surname
    # Bill Smith has a key in common with William Smith, as if he were one slip away.
    yield from ((formal, surname) for formal in formal_names(given))
    if len(given) >= SHORTEST_NEAR:
        yield from {(given[:i] + given[i + 1 :], surname) for i in range(len(given))}
    if len(surname) >= SHORTEST_NEAR:
        yield from {(given, surname[:i] + surname[i + 1 :]) for i in range(len(surname))}


# ── phones, dates ───────────────────────────────────────────────────────────


def _phones(values: Values, key: Key, keys: Keys, features: Features) -> None:
    numbers = {p.e164 for p, _ in values.read["phone"] if isinstance(p, Phone)}
    if numbers:
        features["phones"] = keys("phones", numbers)
        near = [one for number in numbers for one in _variants(number, _country(number))]
        features["phones_near"] = keys("phones_near", near)
        features["phone_tail"] = [key("phone_tail", number[-TAIL:]) for number in numbers]
        features["phone_head"] = [key("phone_head", _head(number)) for number in numbers]


def _country(e164: str) -> int:
    """How many characters no slip of a finger touches: the plus sign and the country code."""
    return 3 if e164.startswith("+86") else 2  # codes have one to three digits


def _head(e164: str) -> str:
    """+861391234 of a mainland mobile: network and area; elsewhere country and area."""
    if e164.startswith(MAINLAND) and e164[4:5] >= "3":  # +8610 is Beijing's area
        return e164[:-TAIL]
    return e164[: max(len(e164) - SUBSCRIBER, 2)]


def _birth(values: Values) -> tuple[int, int, int] | None:
    """Year, month and day of birth."""
    born = values.first("birth_date")
    if not isinstance(born, BirthDate):
        number = values.first("national_id")
        # The ID number holds the date; used where the record gives no other.
        return (
            (number.birth.year, number.birth.month, number.birth.day)
            if isinstance(number, NationalId)
            else None
        )
    return born.year, born.month, born.day


def _of_birth(date: tuple[int, int, int], key: Key) -> Features:
    year, month, day = date
    text = f"{year:04}{month:02}{day:02}"
    features: Features = {
        "birth": key("birth", text),
        "birth_year": key("birth_year", f"{year:04}"),
        "birth_day": key("birth_day", f"{month:02}{day:02}"),
        "birth_near": _near("birth_near", text, key),
    }
    if day <= 12 and day != month:
        features["birth_swapped"] = key("birth", f"{year:04}{day:02}{month:02}")
    return features


# ── identifiers, places ─────────────────────────────────────────────────────


def _identifiers(values: Values, key: Key, keys: Keys, features: Features) -> None:
    mail, number = values.first("email"), values.first("national_id")
    if isinstance(mail, Email):
        features["email"] = key("email", mail.address)
        if len(mail.local) >= SHORTEST_LOCAL:
            features["email_local"] = key("email_local", mail.local)
    if isinstance(number, NationalId):
        features["national_id"] = key("national_id", number.value)
        features["national_id_near"] = keys("national_id_near", _variants(number.value))
        features["id_region"] = key("id_region", number.value[:6])
    tax = values.first("tax_number")
    if tax is not None:
        features["tax_number"] = key("tax_number", tax.canonical)
        features["tax_number_near"] = keys("tax_number_near", _variants(tax.canonical))
    for value, scope in values.read.get("unionid", ())[:1]:
        features["unionid"] = key("unionid", f"{scope or ''}|{value.canonical}")
    gender = values.first("gender")
    sex = gender.value if isinstance(gender, Gender) else None
    sex = sex or (number.sex if isinstance(number, NationalId) else None)
    sex = sex or _sex_told(values)
    if sex:
        features["gender"] = key("gender", sex)


def _sex_told(values: Values) -> str | None:
    """The sex that a form of address told: 张女士."""
    names = (values.first("name"), values.first("masked_name"))
    return next((name.sex for name in names if isinstance(name, Name) and name.sex), None)


def _area(postcode: str) -> str:
    """TQ13 of TQ13 8DF, K1A of K1A 0B1, 335 of 3356: the last part names a few streets."""
    return postcode[: -1 if postcode.isdigit() else -3]


def _places(values: Values) -> dict[str, str | None]:
    """What tells where somebody lives or was born, by feature."""
    address = values.first("address")
    parts: dict[str, str | None] = {}
    if isinstance(address, Address):
        parts = {
            "region": address.province,
            "city": address.city,
            "district": address.district,
            "street": address.road,
            "street_number": address.number,
        }
    for name in ("region", "city", "district", "street_number", "birth_place"):
        place = values.first(name)
        if isinstance(place, Place):
            parts[name] = place.name
    postcode = values.first("postcode")
    if postcode is not None:
        parts["postcode"] = postcode.canonical
        parts["postcode_area"] = _area(postcode.canonical)
    return parts


def _of_place(name: str, text: str, key: Key) -> Features:
    features: Features = {name: key(name, text)}
    if name in {"street", "district", "postcode"}:
        features[f"{name}_near"] = _near(f"{name}_near", text, key)
    return features
