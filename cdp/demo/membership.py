"""Which channels a person uses, how often twice, and which clerk typed their own number."""

from collections import defaultdict

import numpy as np

from cdp.demo.counter import LEGACY_PHONE, POS_PHONE, Counter
from cdp.demo.delivery import Delivered
from cdp.demo.noise import Odds
from cdp.demo.numbers_cn import Phones, dress
from cdp.demo.online import Online
from cdp.demo.people import Person

SOURCES = ("pos", "miniprogram", "shop", "wecom", "legacy")

# Share of members in each channel by age: the young on screens, the old on paper.
_YOUNG = {"pos": 0.52, "miniprogram": 0.63, "shop": 0.59, "wecom": 0.39, "legacy": 0.08}
_MIDDLE = {"pos": 0.65, "miniprogram": 0.52, "shop": 0.46, "wecom": 0.40, "legacy": 0.28}
_OLD = {"pos": 0.72, "miniprogram": 0.30, "shop": 0.22, "wecom": 0.32, "legacy": 0.52}

CLERKS_PER_PERSON = 12 / 20_000  # about one clerk a store who does this
CLERK_RECORDS = (10, 200)  # records that carry one clerk's number: fewest, most
_CLERK_LEGACY_SHARE = 0.25  # clerks filled in the old sheets, too


class Membership:
    """Turns people into delivered records."""

    def __init__(self, odds: Odds) -> None:
        self.odds = odds
        self.dice = odds.dice
        self._counter = Counter(odds)
        self._online = Online(odds)

    def deliver(self, people: list[Person]) -> list[Delivered]:
        """Return every record of every person; each person has at least one."""
        delivered: list[Delivered] = []
        for person in people:
            delivered += self._of(person)
        return delivered

    def _of(self, person: Person) -> list[Delivered]:
        dice = self.dice
        shares = _YOUNG if person.age < 30 else _MIDDLE if person.age < 55 else _OLD
        used = [source for source in SOURCES if dice.chance(shares[source])]
        rows: list[Delivered] = []
        for source in used or ["pos"]:
            card = next((row.record_id for row in rows if row.source == "pos"), None)
            rows += getattr(self, f"_{source}")(person, card)
        return rows

    def _pos(self, person: Person, _card: str | None) -> list[Delivered]:
        rows = [self._counter.pos(person)]
        if self.odds.fact("pos.second_card"):
            rows.append(self._counter.pos(person))
        if self.odds.fact("pos.retyped"):
            rows.append(self._counter.retype(rows[0]))
        return rows

    def _legacy(self, person: Person, card: str | None) -> list[Delivered]:
        rows = [self._counter.legacy(person, card)]
        if self.odds.fact("legacy.second_row"):
            rows.append(self._counter.legacy(person, None))
        if self.odds.fact("legacy.retyped"):
            rows.append(self._counter.retype(rows[0]))
        return rows

    def _miniprogram(self, person: Person, _card: str | None) -> list[Delivered]:
        rows = [self._online.miniprogram(person, second=False)]
        if self.odds.fact("miniprogram.second_account"):
            rows.append(self._online.miniprogram(person, second=True))
        return rows

    def _shop(self, person: Person, _card: str | None) -> list[Delivered]:
        rows = [self._online.shop(person)]
        while len(rows) < 5 and self.odds.fact("shop.second_account"):
            rows.append(self._online.shop(person))
        return rows

    def _wecom(self, person: Person, _card: str | None) -> list[Delivered]:
        rows = [self._online.wecom(person, second=False)]
        if self.odds.fact("wecom.second_account"):
            rows.append(self._online.wecom(person, second=True))
        return rows


def enter_clerks_numbers(
    odds: Odds, phones: Phones, delivered: list[Delivered], people: int
) -> dict[str, int]:
    """Overwrite phones with clerks' own; return clerk's number -> records that carry it.

    Sizes run evenly on a log scale from 10 to 200, so that a world has small groups,
    which look like families, and large ones, which do not.
    """
    dice = odds.dice
    count = max(1, round(people * CLERKS_PER_PERSON))
    sizes = [round(float(size)) for size in np.geomspace(*CLERK_RECORDS, count)]
    by_store: defaultdict[str, list[Delivered]] = defaultdict(list)
    for at in dice.order(len(delivered)):
        row = delivered[at]
        if row.source == "pos" or (row.source == "legacy" and dice.chance(_CLERK_LEGACY_SHARE)):
            by_store[row.person.home.store.code].append(row)
    stores = sorted(by_store)
    numbers: dict[str, int] = {}
    for turn, at in enumerate(dice.order(count)):
        rows = by_store[stores[turn % len(stores)]]
        size = min(sizes[at], len(rows) // 2)
        number = phones.draw()
        for row in rows[:size]:
            _overwrite(odds, row, number)
        del rows[:size]
        numbers[number] = size
        odds.note("clerk.records", size)
    return numbers


def _overwrite(odds: Odds, delivered: Delivered, number: str) -> None:
    row = delivered.row
    if not isinstance(row, list):
        raise TypeError("only rows typed at a counter carry a clerk's number")
    typed = dress(odds.dice, number) if odds.error("phone.formatted") else number
    row[POS_PHONE if delivered.source == "pos" else LEGACY_PHONE] = typed
    delivered.forget("phone")
