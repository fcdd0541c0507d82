"""How two records are compared: one comparison per kind of evidence, each with levels.

A level is a condition over the features of a left (``x_l``) and a right (``x_r``)
record, in SQL that DuckDB and Spark both read. The first level that holds is the
pair's level. A comparison whose *missing* condition holds says nothing at all:
absence of evidence is not evidence.

Invariants:
    1. A condition is symmetric: exchanging left and right gives the same level.
    2. Levels are numbered from the best (highest) down to 0, "differs"; -1 is missing.
    3. Two features that say the same thing stand in one comparison, so that no
       evidence counts twice.
"""

from dataclasses import dataclass

MISSING = -1


@dataclass(frozen=True, slots=True)
class Level:
    """One degree of agreement."""

    label: str
    condition: str  # SQL over columns with _l and _r; empty for "differs"
    frequency_of: str | None = None  # the feature whose value frequency sharpens this level


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of evidence.

    Attributes:
        name: a short name, shown to people.
        features: the columns the conditions read.
        missing: SQL that holds when one side has nothing to compare.
        levels: from the best down; the last is "differs".
        several: whether a person can rightly hold several values (phones, mail
            addresses). Then a second value is no contradiction, and a cluster keeps the
            best agreement instead of the mean.
        contradicts: whether "differs" may count against a match at all.
    """

    name: str
    features: tuple[str, ...]
    missing: str
    levels: tuple[Level, ...]
    several: bool = False
    contradicts: bool = True

    def level_number(self, place: int) -> int:
        """The number of the level at ``place`` in ``levels`` (best first)."""
        return len(self.levels) - 1 - place

    def label(self, number: int) -> str:
        """The label of level ``number``; "not given" for missing."""
        return (
            "not given" if number == MISSING else self.levels[len(self.levels) - 1 - number].label
        )


def _missing(feature: str) -> str:
    return f"{feature}_l IS NULL OR {feature}_r IS NULL"


def _empty(feature: str) -> str:
    return f"len({feature}_l) = 0 OR len({feature}_r) = 0"


def _equal(feature: str) -> str:
    return f"{feature}_l = {feature}_r"


def _shared(feature: str) -> str:
    return f"list_has_any({feature}_l, {feature}_r)"


_DIFFERS = Level("differs", "")


def _value(name: str, feature: str, *, near: bool = False, frequency: bool = False) -> Comparison:
    """Equal, optionally one slip apart, or different."""
    levels = [Level("equal", _equal(feature), feature if frequency else None)]
    if near:
        levels.append(Level("one slip apart", _shared(f"{feature}_near")))
    features = (feature, f"{feature}_near") if near else (feature,)
    return Comparison(name, features, _missing(feature), (*levels, _DIFFERS))


NAME = Comparison(
    "name",
    ("name", "sound", "surname", "given", "given_end", "name_near", "given_near", "surname_near"),
    "coalesce(name_l, surname_l, given_end_l) IS NULL"
    " OR coalesce(name_r, surname_r, given_end_r) IS NULL"
    # A surname on one side and the end of a given name on the other: nothing to compare.
    " OR coalesce(name_l - name_r, surname_l - surname_r, given_end_l - given_end_r) IS NULL",
    (
        Level("equal", _equal("name"), "name"),
        Level("sounds the same", _equal("sound"), "sound"),
        Level("one slip apart", _shared("name_near")),
        Level(
            "same given name, surname one slip apart or other way round",
            f"{_equal('given')} OR ({_shared('given_near')} AND {_shared('surname_near')})"
            " OR (given_l = surname_r AND given_r = surname_l)",
        ),
        Level(
            "what is visible agrees",
            f"(name_l IS NULL OR name_r IS NULL) AND coalesce({_equal('surname')}, TRUE)"
            f" AND coalesce({_equal('given_end')}, TRUE)",
            "surname",
        ),
        Level(
            "same surname only",
            f"{_equal('surname')} AND name_l IS NOT NULL AND name_r IS NOT NULL",
        ),
        _DIFFERS,
    ),
)

# Two names that nothing reconciles. On a number of several people they say "family", and
# everything else a family shares (the address) would otherwise say "match".
_NAMES_CONTRADICT = (
    "(coalesce(name_l <> name_r AND sound_l <> sound_r"
    " AND NOT list_has_any(name_near_l, name_near_r), FALSE)"
    " OR coalesce((name_l IS NULL OR name_r IS NULL) AND surname_l <> surname_r, FALSE))"
)

PHONE = Comparison(
    "phone",
    ("phones_own", "phones_shared", "phones_near", "name", "sound", "surname", "name_near"),
    "len(phones_own_l) + len(phones_shared_l) = 0 OR len(phones_own_r) + len(phones_shared_r) = 0",
    (
        Level("same number, of one person", _shared("phones_own")),
        Level(
            "same number, used by several people",
            f"{_shared('phones_shared')} AND NOT {_NAMES_CONTRADICT}",
        ),
        Level("one slip apart", f"{_shared('phones_near')} AND NOT {_shared('phones_shared')}"),
        Level("same number under another name", _shared("phones_shared")),
        _DIFFERS,
    ),
    several=True,
)

BIRTH = Comparison(
    "birth date",
    ("birth", "birth_swapped", "birth_year", "birth_day", "birth_near"),
    _missing("birth"),
    (
        Level("equal", _equal("birth")),
        Level("day and month exchanged", "birth_l = birth_swapped_r"),
        Level("one slip apart", _shared("birth_near")),
        Level("same day, other year", _equal("birth_day")),
        Level("same year only", _equal("birth_year")),
        _DIFFERS,
    ),
)

EMAIL = Comparison(
    "e-mail",
    ("email", "email_local"),
    _missing("email"),
    (
        Level("equal", _equal("email")),
        Level("same name at another provider", _equal("email_local")),
        _DIFFERS,
    ),
    several=True,
)

UNIONID = Comparison(
    "unionid",
    ("unionid",),
    _missing("unionid"),
    (Level("equal", _equal("unionid")), _DIFFERS),
    several=True,
)

ACCOUNTS = Comparison(
    "account",
    ("accounts",),
    "NOT list_has_any(accounts_l, accounts_r)",
    (Level("same card or account", _shared("accounts")), _DIFFERS),
    several=True,
    contradicts=False,
)

_STREET_AND_NUMBER = f"{_equal('street')} AND {_equal('street_number')}"
_LOCALITY = f"({_equal('district')} OR {_equal('postcode')})"
_LOCALITY_NEAR = f"({_shared('district_near')} OR {_shared('postcode_near')})"
_STREET_NEAR = _shared("street_near")

# One comparison: whoever moves house changes street, number and district together.
ADDRESS = Comparison(
    "address",
    (
        "street",
        "street_number",
        "district",
        "postcode",
        "street_near",
        "district_near",
        "postcode_near",
    ),
    "(street_l IS NULL OR street_r IS NULL) AND (district_l IS NULL OR district_r IS NULL)"
    " AND (postcode_l IS NULL OR postcode_r IS NULL)",
    (
        Level(
            "same house",
            f"{_STREET_AND_NUMBER} AND coalesce({_LOCALITY} OR {_LOCALITY_NEAR}, TRUE)",
        ),
        Level(
            "same house but for a slip",
            f"({_STREET_NEAR} AND coalesce({_equal('street_number')}, TRUE))"
            f" OR ({_equal('street_number')} AND {_LOCALITY})",
        ),
        Level(
            "same street or same district and postcode",
            f"{_STREET_NEAR} OR ({_equal('district')} AND {_equal('postcode')})",
        ),
        Level("same district or postcode", f"{_LOCALITY} OR {_LOCALITY_NEAR}"),
        _DIFFERS,
    ),
    several=True,
)

COMPARISONS: tuple[Comparison, ...] = (
    NAME,
    PHONE,
    BIRTH,
    UNIONID,
    EMAIL,
    _value("ID number", "national_id", near=True),
    _value("tax number", "tax_number", near=True),
    ACCOUNTS,
    _value("gender", "gender"),
    _value("city", "city", frequency=True),
    ADDRESS,
)


def level_sql(comparison: Comparison) -> str:
    """One SQL expression that gives the level number of a pair."""
    cases = [f"WHEN {comparison.missing} THEN {MISSING}"]
    cases += [
        f"WHEN {level.condition} THEN {comparison.level_number(place)}"
        for place, level in enumerate(comparison.levels)
        if level.condition
    ]
    return f"CASE {' '.join(cases)} ELSE 0 END"
