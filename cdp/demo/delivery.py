"""A record as a channel delivers it, and how people type what they were told.

`Delivered.evidence` lists what truly survives in the written row, after plain
normalisation, as (kind, value) pairs: the truth's linkable pairs come from it alone.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from cdp.demo.dice import Dice, Weighted
from cdp.demo.names import Name, extra_character, sound_alike
from cdp.demo.noise import DEFAULT_BIRTHDAYS, PLACEHOLDERS, Odds
from cdp.demo.numbers_cn import dress, drop_digit, slip, transpose
from cdp.demo.people import TODAY, Person
from connectors.record import Raw

# 13800138000 was China Mobile's top-up number; every till in the country knows it.
_PLACEHOLDERS = Weighted(zip(PLACEHOLDERS, (0.55, 0.3, 0.15), strict=True))

# How likely a record of each source still carries a number that is not the one in use.
# Old files were never updated; WeChat's own number is verified and recent.
_EXTRA_ODDS = {
    "second": {"pos": 0.25, "miniprogram": 0.20, "shop": 0.30, "wecom": 0.25, "legacy": 0.25},
    "former": {"pos": 0.35, "miniprogram": 0.04, "shop": 0.12, "wecom": 0.10, "legacy": 0.65},
    "family": {"pos": 0.30, "miniprogram": 0.02, "shop": 0.22, "wecom": 0.15, "legacy": 0.30},
}


@dataclass(slots=True, repr=False)
class Delivered(Raw):
    """One row of one source, with whose it is and what it gives away."""

    source: str
    record_id: str
    person: Person
    row: list[object] | dict[str, object]
    evidence: list[tuple[str, str]] = field(default_factory=list)

    def forget(self, kind: str) -> None:
        """Drop evidence of a kind, because the row no longer carries it."""
        self.evidence = [pair for pair in self.evidence if pair[0] != kind]


class Serials:
    """Hands out record ids, none twice and in no order that tells anything."""

    __slots__ = ("_dice", "_digits", "_prefix", "_taken")

    def __init__(self, dice: Dice, prefix: str, digits: int) -> None:
        self._dice = dice
        self._prefix = prefix
        self._digits = digits
        self._taken: set[str] = set()

    def draw(self) -> str:
        """Return the next record id."""
        while True:
            serial = self._prefix + self._dice.digits(self._digits)
            if serial not in self._taken:
                self._taken.add(serial)
                return serial


def usual_phone(dice: Dice, person: Person, source: str) -> str:
    """Return the number the person gives to a source."""
    for reason, number in person.extra:
        if dice.chance(_EXTRA_ODDS[reason][source]):
            return number
    return person.phone


def type_phone(odds: Odds, number: str, source: str) -> tuple[str, bool]:
    """Return the number as typed, and whether the value survives."""
    dice = odds.dice
    if odds.error("phone.placeholder", source):
        return dice.weighted(_PLACEHOLDERS), False
    if odds.error("phone.slip", source):
        return slip(dice, number), False
    if odds.error("phone.transposed", source):
        return transpose(dice, number), False
    if odds.error("phone.dropped_digit", source):
        return drop_digit(dice, number), False
    return (dress(dice, number) if odds.error("phone.formatted", source) else number), True


def type_name(odds: Odds, person: Person, source: str) -> tuple[str, bool]:
    """Return the full name as typed, and whether it survives."""
    dice = odds.dice
    full = person.name.full
    if odds.error("name.informal", source):
        return informal_name(dice, person), False
    if odds.error("name.homophone", source):
        typed = _mistype_by_sound(dice, full)
        return typed, typed == full
    if len(full) > 2 and odds.error("name.dropped_character", source):
        at = dice.between(1, len(full) - 1)
        return (full[:at] + full[at + 1 :]).strip(), False
    if odds.error("name.added_character", source):
        at = dice.between(1, len(full))
        return full[:at] + extra_character(dice) + full[at:], False
    if not full.isascii() and odds.error("name.spaced", source):
        return dice.pick((f"{full[0]} {full[1:]}", f"{full} ", f"{full[0]}　{full[1:]}")), True
    return full, True


def _mistype_by_sound(dice: Dice, full: str) -> str:
    """Replace one character by another of its sound; given names err more often."""
    spots = list(range(1, len(full))) * 3 + [0]
    for at in (dice.pick(spots) for _ in range(6)):
        other = sound_alike(dice, full[at])
        if other:
            return full[:at] + other + full[at + 1 :]
    return full


def informal_name(dice: Dice, person: Person) -> str:
    """Return how a clerk calls a customer: `张女士`, `小张`, `三姐`."""
    name: Name = person.name
    short = name.surname if name.surname and not name.surname.isascii() else name.full[:2]
    polite, familiar = ("先生", "哥") if person.gender == "M" else ("女士", "姐")
    forms = (
        f"{short}{polite}",
        f"{short}{polite}",
        f"小{short}",
        f"{short}{familiar}",
        f"{name.given[-1]}{familiar}",
    )
    return dice.pick(forms)


def type_birth(odds: Odds, person: Person, source: str) -> tuple[date, bool]:
    """Return the birth date as entered, and whether it survives."""
    dice, born = odds.dice, person.born
    if odds.error("birth.default", source):
        return date.fromisoformat(DEFAULT_BIRTHDAYS[1 if dice.chance(0.65) else 0]), False
    if born.day <= 12 and born.day != born.month and odds.error("birth.swapped", source):
        return born.replace(month=born.day, day=born.month), False
    if odds.error("birth.wrong_year", source):
        shift = dice.pick((-10, -3, -2, -1, 1, 2, 3, 10))
        year = min(born.year + shift, TODAY.year - 3)
        day = 28 if (born.month, born.day) == (2, 29) else born.day
        return date(year, born.month, day), year == born.year and day == born.day
    return born, born.isoformat() not in DEFAULT_BIRTHDAYS


def day_between(dice: Dice, first: date, last: date) -> date:
    """Return a day between two days, both included."""
    return first + timedelta(days=dice.below((last - first).days + 1)) if last > first else first
