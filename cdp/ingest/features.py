"""Derive a record's keyed features from its canonical values.

Pure. ``identity.features`` declares which features exist; this is the only place that
sees both a value and its features.

Invariants:
    1. Equal values give equal features under one key, and others under another key.
    2. Nothing leaves here but integers.
    3. Fillers, masked and privacy numbers, and preset dates give no features.
"""

from collections.abc import Callable, Iterable

from cdp.ingest.normalise.address import Address, Place
from cdp.ingest.normalise.date import BirthDate
from cdp.ingest.normalise.email import Email
from cdp.ingest.normalise.gender import Gender
from cdp.ingest.normalise.name_parts import Name, Script
from cdp.ingest.normalise.national_id import NationalId
from cdp.ingest.normalise.phone import Phone
from cdp.ingest.normalise.phonetic import latin_sound
from cdp.ingest.normalise.pinyin import sound
from cdp.ingest.values import Values

Key = Callable[[str, str], int]
Features = dict[str, int | list[int]]

ACCOUNTS = ("loyalty_card", "buyer_id", "openid", "external_userid")
SHORTEST_LOCAL = 5  # characters; a shorter local part is shared by too many people
SHORTEST_NEAR = 4  # characters; below this, one deletion leaves too little to name anything


def derive(values: Values, key: Key) -> Features:
    """Derive and key all features of one record.

    Args:
        values: the canonical values of the record.
        key: (feature name, text) to a 63-bit integer.

    Returns:
        Features by name, as ``identity.features.pack`` takes them; missing ones left out.
    """
    features: Features = {}
    _name(values, key, features)
    _phones(values, key, features)
    _birth(values, key, features)
    _identifiers(values, key, features)
    _places(values, key, features)
    return features


def _near(feature: str, text: str, key: Key) -> list[int]:
    """The text and its one-deletion neighbours.

    Two texts one deletion, insertion, substitution or exchange of neighbours apart share
    at least one of these (Bocek, Hunt & Stiller 2007, "Fast Similarity Search").
    """
    variants = {text}
    if len(text) >= SHORTEST_NEAR:
        variants |= {text[:place] + text[place + 1 :] for place in range(len(text))}
    return [key(feature, variant) for variant in variants]


# ── names ───────────────────────────────────────────────────────────────────


def _name(values: Values, key: Key, features: Features) -> None:
    whole = values.first("name")
    if isinstance(whole, Name):
        features["name"] = key("name", " ".join(whole.tokens))
        heard = (
            sound(whole.full)
            if whole.script is Script.HAN
            else " ".join(sorted(latin_sound(" ".join(whole.tokens)).split()))
        )
        if heard:
            features["sound"] = key("sound", heard)
        _parts(whole.surname, whole.given, key, features)
        features["name_near"] = _name_near(whole, key)
        return
    part = values.first("masked_name")
    if isinstance(part, Name):
        _visible(part, key, features)
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
    end = part.full[-1:] if part.masked else (part.given or "")[-1:]
    if part.script is Script.HAN and end and end != "*":
        features["given_end"] = key("given_end", end)


def _parts(surname: str | None, given: str | None, key: Key, features: Features) -> None:
    if surname:
        features["surname"] = key("surname", surname)
        features["surname_near"] = _near("surname_near", surname, key)
    if given:
        features["given"] = key("given", given)
        features["given_end"] = key("given_end", given[-1])
        features["given_near"] = _near("given_near", given, key)


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
    if len(given) >= SHORTEST_NEAR:
        yield from {(given[:i] + given[i + 1 :], surname) for i in range(len(given))}
    if len(surname) >= SHORTEST_NEAR:
        yield from {(given, surname[:i] + surname[i + 1 :]) for i in range(len(surname))}


# ── phones, dates ───────────────────────────────────────────────────────────


def _phones(values: Values, key: Key, features: Features) -> None:
    numbers = {p.e164 for p, _ in values.read.get("phone", ()) if isinstance(p, Phone)}
    if numbers:
        features["phones"] = [key("phones", number) for number in numbers]
        features["phones_near"] = [k for n in numbers for k in _near("phones_near", n, key)]


def _birth(values: Values, key: Key, features: Features) -> None:
    born, number = values.first("birth_date"), values.first("national_id")
    if isinstance(born, BirthDate):
        year, month, day = born.year, born.month, born.day
    elif isinstance(number, NationalId):
        # The ID number holds the date; used where the record gives no other.
        year, month, day = number.birth.year, number.birth.month, number.birth.day
    else:
        return
    text = f"{year:04}{month:02}{day:02}"
    features["birth"] = key("birth", text)
    features["birth_year"] = key("birth_year", f"{year:04}")
    features["birth_day"] = key("birth_day", f"{month:02}{day:02}")
    features["birth_near"] = _near("birth_near", text, key)
    if day <= 12 and day != month:
        features["birth_swapped"] = key("birth", f"{year:04}{day:02}{month:02}")


# ── identifiers, places ─────────────────────────────────────────────────────


def _identifiers(values: Values, key: Key, features: Features) -> None:
    mail, number = values.first("email"), values.first("national_id")
    if isinstance(mail, Email):
        features["email"] = key("email", mail.address)
        if len(mail.local) >= SHORTEST_LOCAL:
            features["email_local"] = key("email_local", mail.local)
    if isinstance(number, NationalId):
        features["national_id"] = key("national_id", number.value)
        features["national_id_near"] = _near("national_id_near", number.value, key)
    tax = values.first("tax_number")
    if tax is not None:
        features["tax_number"] = key("tax_number", tax.canonical)
        features["tax_number_near"] = _near("tax_number_near", tax.canonical, key)
    for value, scope in values.read.get("unionid", ())[:1]:
        features["unionid"] = key("unionid", f"{scope or ''}|{value.canonical}")
    accounts = [
        key("accounts", f"{name}|{scope or ''}|{value.canonical}")
        for name in ACCOUNTS
        for value, scope in values.read.get(name, ())
    ]
    if accounts:
        features["accounts"] = accounts
    gender = values.first("gender")
    sex = gender.value if isinstance(gender, Gender) else None
    sex = sex or (number.sex if isinstance(number, NationalId) else None)
    if sex:
        features["gender"] = key("gender", sex)


def _places(values: Values, key: Key, features: Features) -> None:
    address = values.first("address")
    parts: dict[str, str | None] = {}
    if isinstance(address, Address):
        parts = {
            "city": address.city,
            "district": address.district,
            "street": address.road,
            "street_number": address.number,
        }
    for name in ("city", "district", "street_number"):
        place = values.first(name)
        if isinstance(place, Place):
            parts[name] = place.name
    postcode = values.first("postcode")
    if postcode is not None:
        parts["postcode"] = postcode.canonical
    for name, text in parts.items():
        if text:
            features[name] = key(name, text)
            if name in {"street", "district", "postcode"}:
                features[f"{name}_near"] = _near(f"{name}_near", text, key)
