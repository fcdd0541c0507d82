"""How two records are compared: one comparison per kind of evidence, each with levels.

A level is a condition over the features of two records (``identity.conditions``). The
first level that holds is the pair's level. A comparison whose *missing* condition holds
says nothing at all: absence of evidence is not evidence.

Invariants:
    1. A condition is symmetric: exchanging left and right gives the same level.
    2. Levels are numbered from the best (highest) down to 0, "differs"; -1 is missing.
    3. Two features that say the same thing stand in one comparison, so that no
       evidence counts twice.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity import identifiers
from identity.conditions import (
    Condition,
    Dialect,
    Sides,
    both,
    crossed,
    either,
    equal,
    every,
    lacking,
    negated,
    outnumbered,
    shared,
    unequal,
    unless_told,
)

MISSING = -1
Levels = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Level:
    """One degree of agreement."""

    label: str
    condition: Condition | None  # None for "differs"
    frequency_of: str | None = None  # the feature whose value frequency sharpens this level
    partial: bool = False  # only a part could be compared: in a group, complete values outweigh it
    neutral: bool = False  # says nothing, whatever was learnt: it comes with what says it all


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of evidence.

    Attributes:
        name: a short name, shown to people.
        missing: holds when there is nothing to compare.
        levels: from the best down; the last is "differs".
        several: whether a person can rightly hold several values (phones, mail
            addresses). Then a second value is no contradiction, and a cluster keeps the
            best agreement instead of the mean.
    """

    name: str
    missing: Condition
    levels: tuple[Level, ...]
    several: bool = False

    @property
    def exclusive(self) -> bool:
        """Whether two values that differ prove two people: so says the catalogue."""
        return self.name in identifiers.exclusive()

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that the conditions read, each once."""
        conditions = [self.missing, *(one.condition for one in self.levels if one.condition)]
        return tuple(dict.fromkeys(f for condition in conditions for f in condition.features()))

    @property
    def sharpened(self) -> bool:
        """Whether some level weighs a rare value more than a common one."""
        return any(level.frequency_of for level in self.levels)

    def level_number(self, place: int) -> int:
        """The number of the level at ``place`` in ``levels`` (best first)."""
        return len(self.levels) - 1 - place

    def label(self, number: int) -> str:
        """The label of level ``number``; "not given" for missing."""
        return (
            "not given" if number == MISSING else self.levels[len(self.levels) - 1 - number].label
        )


_DIFFERS = Level("differs", None)


def _value(name: str, feature: str, *, near: bool = False, frequency: bool = False) -> Comparison:
    """Equal, optionally one slip apart, or different."""
    levels = [Level("equal", equal(feature), feature if frequency else None)]
    if near:
        levels.append(Level("one slip apart", shared(f"{feature}_near")))
    return Comparison(name, lacking(feature), (*levels, _DIFFERS))


# A character lost or added is a slip. Two given names in Chinese characters of one length that
# neither are equal nor sound the same are not: whoever types pinyin and picks the wrong
# character has one that sounds the same, but brothers and sisters share a character of their
# generation (建国, 建军), and with it often the family's phone. In letters there is no such rule.
_NAME_SLIP = every(shared("name_near"), negated(equal("given_length")))

NAME = Comparison(
    "name",
    # A surname on one side and the end of a given name on the other: nothing to compare.
    negated(either(both("name"), both("words"), both("surname"), both("given_end"))),
    (
        Level("equal", equal("name"), "name"),
        Level("sounds the same", equal("sound"), "sound"),
        Level("one slip apart", _NAME_SLIP),
        Level(
            "same surname, two words in common",
            every(equal("surname"), shared("word_pairs")),
            "surname",
        ),
        Level(
            "both parts one slip apart or other way round",
            either(
                every(
                    shared("given_near"),
                    shared("surname_near"),
                    negated(equal("given_length")),
                ),
                crossed("given", "surname"),
            ),
        ),
        Level("two words in common", shared("word_pairs")),
        Level("same given name", equal("given"), "given"),
        Level(
            "what is visible agrees",
            every(
                lacking("name"),
                lacking("words"),
                unless_told("surname"),
                unless_told("given_end"),
            ),
            "surname",
            partial=True,
        ),
        # One record gives a single word, and it is a word of the other's name.
        Level("the only word agrees", every(lacking("name"), shared("words"))),
        Level("same surname only", every(equal("surname"), both("name")), "surname"),
        Level("surname one slip apart", every(both("name"), shared("surname_near"))),
        Level("a word in common or a slip apart", shared("words_near")),
        _DIFFERS,
    ),
)

# Two names that nothing reconciles. On a number of several people they say "family", and
# everything else a family shares (the address) would otherwise say "match".
_NAMES_CONTRADICT = either(
    every(unequal("name"), unequal("sound"), negated(_NAME_SLIP)),
    every(lacking("name"), either(unequal("surname"), unequal("given_end"))),
)

PHONE = Comparison(
    "phone",
    lacking("phones_own", "phones_shared"),
    (
        Level("same number, of one person", shared("phones_own")),
        # 张三, 王五 and a masked 张** on one number: the masked one is 张三.
        Level(
            "same number, of several people whom the visible name tells apart",
            every(
                shared("phones_shared"),
                equal("surname"),
                # With 张明 and 张丽 on the number, 张*丽 is known as well.
                either(shared("phones_apart"), every(lacking("name"), equal("given_end"))),
                negated(_NAMES_CONTRADICT),
            ),
        ),
        # Two people called 张 and a masked 张**: that the surname agrees, or is rare, says nothing.
        Level(
            "same number and surname, of several people so called",
            every(
                shared("phones_shared"),
                lacking("name"),
                equal("surname"),
                negated(_NAMES_CONTRADICT),
            ),
            neutral=True,
        ),
        Level(
            "same number, used by several people",
            every(shared("phones_shared"), negated(_NAMES_CONTRADICT)),
        ),
        Level("one slip apart", every(shared("phones_near"), negated(shared("phones_shared")))),
        # A family: a likely number, but also a likely address. Neither makes them one person.
        Level("same number under another name", shared("phones_shared"), neutral=True),
        _DIFFERS,
    ),
    several=True,
)

BIRTH = Comparison(
    "birth date",
    # An ID number contains the date: where it is equal, the date says nothing new.
    either(lacking("birth"), equal("national_id")),
    (
        # Where only a year is known, registers write its first day.
        Level("equal", equal("birth"), "birth"),
        Level("day and month exchanged", crossed("birth", "birth_swapped")),
        Level(
            "one slip apart in the year",
            every(shared("birth_near"), equal("birth_day")),
            "birth_day",
        ),
        Level("one slip apart in the day", shared("birth_near")),
        Level("same day, other year", equal("birth_day"), "birth_day"),
        Level("same year only", equal("birth_year")),
        _DIFFERS,
    ),
)

EMAIL = Comparison(
    "e-mail",
    lacking("email_own"),
    (
        Level("equal", equal("email_own")),
        Level("same name at another provider", equal("email_local")),
        _DIFFERS,
    ),
    several=True,
)

UNIONID = Comparison(
    "unionid", lacking("unionid"), (Level("equal", equal("unionid")), _DIFFERS), several=True
)

_SAME_ACCOUNT = either(shared("accounts"), shared("counted_own"))
# Of a type and scope that both records tell, and of which a person has one, two values.
_TWO_OF_ONE = outnumbered("unique_ids", "unique_kinds")

# A second card or account is no contradiction, so that only agreement says something: but
# for those that the catalogue calls unique, and then nothing else counts.
ACCOUNTS = Comparison(
    "account",
    negated(either(_SAME_ACCOUNT, _TWO_OF_ONE)),
    (Level("same card or account", every(_SAME_ACCOUNT, negated(_TWO_OF_ONE))), _DIFFERS),
    several=True,
)

# Two ID numbers one slip apart may be one that was typed wrongly.
NATIONAL_ID = Comparison(
    "ID number",
    lacking("national_id"),
    (
        Level("equal", equal("national_id")),
        Level("one slip apart", shared("national_id_near")),
        _DIFFERS,
    ),
)

GENDER = Comparison(
    "gender",
    # An ID number contains the gender as well.
    either(lacking("gender"), equal("national_id")),
    (Level("equal", equal("gender")), _DIFFERS),
)

_LOCALITY = either(equal("district"), equal("postcode"))
_LOCALITY_NEAR = either(shared("district_near"), shared("postcode_near"))

# One comparison: whoever moves house changes street, number and district together.
ADDRESS = Comparison(
    "address",
    # Who share a number share a home: on a number of several people, that the address is the
    # same says nothing about which of them it is.
    either(
        every(lacking("street"), lacking("district"), lacking("postcode")),
        shared("phones_shared"),
    ),
    (
        Level(
            "same house",
            every(
                equal("street"),
                equal("street_number"),
                either(_LOCALITY, _LOCALITY_NEAR, every(lacking("district"), lacking("postcode"))),
            ),
        ),
        Level(
            "same house but for a slip",
            either(
                every(shared("street_near"), unless_told("street_number")),
                every(equal("street_number"), _LOCALITY),
            ),
        ),
        Level(
            "same street or same district and postcode",
            either(shared("street_near"), every(equal("district"), equal("postcode"))),
        ),
        Level("same district or postcode", _LOCALITY),
        Level("district or postcode one slip apart", _LOCALITY_NEAR),
        Level("same postcode area", equal("postcode_area")),
        _DIFFERS,
    ),
    several=True,
)

# A second occupation is no contradiction.
OCCUPATION = Comparison(
    "occupation",
    lacking("occupation"),
    (Level("equal", equal("occupation"), "occupation"), _DIFFERS),
    several=True,
)

COMPARISONS: tuple[Comparison, ...] = (
    NAME,
    PHONE,
    BIRTH,
    UNIONID,
    EMAIL,
    NATIONAL_ID,
    _value("tax number", "tax_number", near=True),
    ACCOUNTS,
    GENDER,
    _value("city", "city", frequency=True),
    _value("birth place", "birth_place", frequency=True),
    OCCUPATION,
    ADDRESS,
)
SHARPENED = tuple(place for place, one in enumerate(COMPARISONS) if one.sharpened)


def level_sql(comparison: Comparison, dialect: Dialect = Dialect.DUCKDB) -> str:
    """One SQL expression that gives the level number of a pair."""
    cases = [f"WHEN {comparison.missing.sql(dialect)} THEN {MISSING}"]
    cases += [
        f"WHEN {level.condition.sql(dialect)} THEN {comparison.level_number(place)}"
        for place, level in enumerate(comparison.levels)
        if level.condition
    ]
    return f"CASE {' '.join(cases)} ELSE 0 END"


def level_numbers(comparison: Comparison, sides: Sides) -> Levels:
    """The level number of every pair. Shape (pairs,)."""
    numbers = np.zeros(len(sides), np.int8)
    missing = sides.known(comparison.missing)
    numbers[missing] = MISSING
    undecided = ~missing
    for place, level in enumerate(comparison.levels):
        if level.condition is None or not undecided.any():
            break
        here = undecided & level.condition.holds(sides, undecided)
        numbers[here] = comparison.level_number(place)
        undecided &= ~here
    return numbers


def frequency_keys(comparison: Comparison, numbers: Levels, sides: Sides) -> npt.NDArray[np.int64]:
    """The value whose frequency sharpens each pair's level; 0 for none. Shape (pairs,)."""
    keys = np.zeros(len(sides), np.int64)
    for place, level in enumerate(comparison.levels):
        if level.frequency_of:
            here = np.flatnonzero(numbers == comparison.level_number(place))
            if not len(here):
                continue
            left, right = sides.single(level.frequency_of)
            keys[here] = np.where(left != 0, left, right)[here]
    return keys
