"""Derive a record's keyed features from its canonical values.

Pure. ``identity.features`` declares which features exist; this, with ``name_features``, is
the only place that sees both a value and its features.

Invariants:
    1. Equal values give equal features under one key, and others under another key.
    2. Nothing leaves here but integers.
    3. Fillers, masked and privacy numbers, and preset dates give no features.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice

from cdp.ingest.name_features import (
    Features,
    Key,
    near_keys,
    near_names,
    of_given,
    of_surname,
    variants,
    visible,
    words_of,
)
from cdp.ingest.normalise.address import Address, Place
from cdp.ingest.normalise.date import BirthDate
from cdp.ingest.normalise.email import Email
from cdp.ingest.normalise.gender import Gender
from cdp.ingest.normalise.name_parts import Name, Script
from cdp.ingest.normalise.national_id import NationalId
from cdp.ingest.normalise.occupation import Occupation
from cdp.ingest.normalise.phone import Phone
from cdp.ingest.normalise.phonetic import latin_sound
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.normalise.result import Canonical
from cdp.ingest.values import Scoped, Values
from identity.catalogue import Catalogue, shipped
from identity.features import ascending
from identity.sharing import counted_key

Keys = Callable[[str, Collection[str]], list[int]]
Read = Mapping[str, Sequence[Scoped]]  # `Values.read`: of each cell at least one value

SHORTEST_LOCAL = 5  # characters; a shorter local part is shared by too many people
TAIL = 4  # digits of a phone that people read out and forms show
SUBSCRIBER = 7  # digits; what stands before them is country and area, give or take one
MAINLAND = "+861"  # mobiles go on with 3 to 9
# What one deriver remembers: about 40 MB when full.
NAMES, SURNAMES, DAYS, PLACES = 10_000, 5_000, 20_000, 5_000


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

    __slots__ = (
        *("_accounts", "_held_apart", "_key", "_keys"),
        *("_of_birth", "_of_given", "_of_name", "_of_near", "_of_surname"),
    )

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
        self._accounts = {name: known[name].most_people for name in known.feeding("accounts")}
        self._held_apart = frozenset(known.held_apart)
        self._of_name = lru_cache(NAMES)(self._whole_name)
        self._of_surname = lru_cache(SURNAMES)(lambda text: _kept(of_surname(text, key)))
        self._of_given = lru_cache(NAMES)(lambda text: _kept(of_given(text, key)))
        self._of_birth = lru_cache(DAYS)(lambda *day: _kept(_of_birth(day, key)))
        self._of_near = lru_cache(PLACES)(lambda name, text: ascending(near_keys(name, text, key)))

    def derive(self, values: Values) -> Features:
        """Derive and key all features of one record, as the function `derive` does."""
        return self.derive_all([values])[0]

    def derive_all(self, values: Sequence[Values]) -> list[Features]:
        """Derive and key all features of several records: one kind of all, then the next."""
        found: list[Features] = [{} for _ in values]
        rows = [(one.read, features) for one, features in zip(values, found, strict=True)]
        for step in (self._add_name, self._add_birth, self._add_identifiers, self._add_places):
            for read, features in rows:
                step(read, features)
        self._add_phones([row for row in rows if "phone" in row[0]])
        for kinds, add in (
            (self._accounts.keys(), self._add_accounts),
            (self._held_apart, self._add_unique),
        ):
            for read, features in rows:
                if not kinds.isdisjoint(read):
                    add(read, features)
        return found

    def _add_name(self, read: Read, features: Features) -> None:
        whole = _first(read, "name")
        if isinstance(whole, Name):
            features.update(self._of_name(whole))
        else:
            self._add_name_parts(read, features)

    def _add_birth(self, read: Read, features: Features) -> None:
        day = _birth(read)
        if day is not None:
            features.update(self._of_birth(*day))

    def _whole_name(self, whole: Name) -> Features:
        key, han = self._key, whole.script is Script.HAN
        features: Features = {"name": self._once("name", " ".join(whole.tokens))}
        heard = (
            sound(whole.full)
            if han
            else " ".join(sorted(latin_sound(" ".join(whole.tokens)).split()))
        )
        if heard:
            features["sound"] = key("sound", heard)
        self._add_parts(whole.surname, whole.given, features)
        if han and whole.given:
            features["given_length"] = key("given_length", str(len(whole.given)))
        features["name_near"] = self._keys("name_near", near_names(whole))
        words_of(whole, key, features)
        return _kept(features)

    def _add_name_parts(self, read: Read, features: Features) -> None:
        part = _first(read, "masked_name")
        if isinstance(part, Name):
            visible(part, self._key, features)
            words_of(part, self._key, features)
            return
        surname, given = _first(read, "surname"), _first(read, "given_name")
        self._add_parts(
            surname.full if isinstance(surname, Name) else None,
            given.full if isinstance(given, Name) else None,
            features,
        )

    def _add_parts(self, surname: str | None, given: str | None, features: Features) -> None:
        if surname:
            features.update(self._of_surname(surname))
        if given:
            features.update(self._of_given(given))

    def _add_phones(self, rows: Sequence[tuple[Read, Features]]) -> None:
        key = self._key
        held = [
            {phone.e164 for phone, _ in read["phone"] if isinstance(phone, Phone)}
            for read, _ in rows
        ]
        near = [
            [one for number in numbers for one in variants(number, _country(number))]
            for numbers in held
        ]
        whole, spelled = self._keyed("phones", held), self._keyed("phones_near", near)
        for at, ((_, features), numbers) in enumerate(zip(rows, held, strict=True)):
            if numbers:
                features["phones"], features["phones_near"] = whole[at], spelled[at]
                features["phone_tail"] = [key("phone_tail", number[-TAIL:]) for number in numbers]
                features["phone_head"] = [key("phone_head", _head(number)) for number in numbers]

    def _keyed(self, feature: str, texts: Sequence[Collection[str]]) -> list[list[int]]:
        """Key the texts of each record: all at once, because each time has a price of its own."""
        keyed = iter(self._keys(feature, list(chain.from_iterable(texts))))
        return [list(islice(keyed, len(some))) for some in texts]

    def _add_identifiers(self, read: Read, features: Features) -> None:
        once, keys, number = self._once, self._keys, _first(read, "national_id")
        mail, tax = _first(read, "email"), _first(read, "tax_number")
        if isinstance(mail, Email):
            features["email"] = once("email", mail.address)
            if len(mail.local) >= SHORTEST_LOCAL:
                features["email_local"] = once("email_local", mail.local)
        if isinstance(number, NationalId):
            features["national_id"] = once("national_id", number.value)
            features["national_id_near"] = keys("national_id_near", variants(number.value))
            features["id_region"] = self._key("id_region", number.value[:6])
        if tax is not None:
            features["tax_number"] = once("tax_number", tax.canonical)
            features["tax_number_near"] = keys("tax_number_near", variants(tax.canonical))
        for value, scope in read.get("unionid", ())[:1]:
            features["unionid"] = once("unionid", f"{scope or ''}|{value.canonical}")
        gender = _first(read, "gender")
        sex = gender.value if isinstance(gender, Gender) else None
        sex = sex or (number.sex if isinstance(number, NationalId) else None)
        sex = sex or _sex_told(read)
        if sex:
            features["gender"] = self._key("gender", sex)

    def _once(self, feature: str, text: str) -> int:
        """Key what is one person's: there is no use in remembering it."""
        return self._keys(feature, (text,))[0]

    def _add_accounts(self, read: Read, features: Features) -> None:
        """Each card or account in its scope: equal texts of two types or scopes never meet."""
        accounts: list[int] = []
        counted: list[int] = []
        for name, most_people in self._accounts.items():
            found = read.get(name)
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

    def _add_unique(self, read: Read, features: Features) -> None:
        """What nobody has two of, in its scope. A record with two of one speaks for neither."""
        held: dict[str, set[str]] = {}
        for name in self._held_apart & read.keys():
            for value, scope in read[name]:
                held.setdefault(f"{name}|{scope or ''}", set()).add(value.canonical)
        sole = {kind: min(texts) for kind, texts in held.items() if len(texts) == 1}
        if sole:
            features["unique_kinds"] = [self._key("unique_kinds", kind) for kind in sole]
            texts = [f"{kind}|{text}" for kind, text in sole.items()]
            features["unique_ids"] = self._keys("unique_ids", texts)

    def _add_places(self, read: Read, features: Features) -> None:
        for name, text in _places(read).items():
            if text:
                features[name] = self._key(name, text)
                if name in _SPELLED:
                    near = f"{name}_near"
                    features[near] = self._of_near(near, text)
        occupation = _first(read, "occupation")
        if isinstance(occupation, Occupation):
            features["occupation"] = self._key("occupation", occupation.words)


def _first(read: Read, name: str) -> Canonical | None:
    """The first value of that cell, if there is one."""
    return read[name][0][0] if name in read else None


def _kept(features: Features) -> Features:
    """What is remembered is packed many times: its lists are put in order once."""
    return {
        name: value if isinstance(value, int) else ascending(value)
        for name, value in features.items()
    }


# ── phones, dates ───────────────────────────────────────────────────────────


def _country(e164: str) -> int:
    """How many characters no slip of a finger touches: the plus sign and the country code."""
    return 3 if e164.startswith("+86") else 2  # codes have one to three digits


def _head(e164: str) -> str:
    """+861391234 of a mainland mobile: network and area; elsewhere country and area."""
    if e164.startswith(MAINLAND) and e164[4:5] >= "3":  # +8610 is Beijing's area
        return e164[:-TAIL]
    return e164[: max(len(e164) - SUBSCRIBER, 2)]


def _birth(read: Read) -> tuple[int, int, int] | None:
    """Year, month and day of birth."""
    born = _first(read, "birth_date")
    if not isinstance(born, BirthDate):
        number = _first(read, "national_id")
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
        "birth_near": near_keys("birth_near", text, key),
    }
    if day <= 12 and day != month:
        features["birth_swapped"] = key("birth", f"{year:04}{day:02}{month:02}")
    return features


# ── places ──────────────────────────────────────────────────────────────────

_PLACES = ("region", "city", "district", "street_number", "birth_place")
_SPELLED = frozenset({"street", "district", "postcode"})  # what people misspell


def _sex_told(read: Read) -> str | None:
    """The sex that a form of address told: 张女士."""
    names = (_first(read, "name"), _first(read, "masked_name"))
    return next((name.sex for name in names if isinstance(name, Name) and name.sex), None)


def _area(postcode: str) -> str:
    """TQ13 of TQ13 8DF, K1A of K1A 0B1, 335 of 3356: the last part names a few streets."""
    return postcode[: -1 if postcode.isdigit() else -3]


def _places(read: Read) -> dict[str, str | None]:
    """What tells where somebody lives or was born, by feature."""
    address = _first(read, "address")
    parts: dict[str, str | None] = {}
    if isinstance(address, Address):
        parts = {
            "region": address.province,
            "city": address.city,
            "district": address.district,
            "street": address.road,
            "street_number": address.number,
        }
    for name in _PLACES:
        if name in read:
            place = read[name][0][0]
            if isinstance(place, Place):
                parts[name] = place.name
    postcode = _first(read, "postcode")
    if postcode is not None:
        parts["postcode"] = postcode.canonical
        parts["postcode_area"] = _area(postcode.canonical)
    return parts
