"""How many people use a number: as stored, and counted anew where a repair touches it."""

from collections.abc import Collection, Mapping

import numpy as np
import sqlalchemy as sa

from cdp.resolution import block_rows, blocks
from cdp.resolution.blocks import HOLDER, Blocked
from cdp.resolution.neighbours import Neighbours
from cdp.resolution.opened import Opened
from cdp.vault.keyed import BlockKeyer
from identity import plain, sharing
from identity.columns import Columns, Ints, distinct
from identity.pairs import places
from identity.plain import Plain
from identity.sharing import MOST_HOLDERS, PhoneUse


class Numbers:
    """The people on numbers, by the stored form of a number. One repair's."""

    def __init__(self, connection: sa.Connection, keyer: BlockKeyer, most_people: int) -> None:
        self._connection = connection
        self._keyer = keyer
        self._most_people = most_people
        self._named: dict[int, int] = {}  # the stored form of keyed numbers
        self._stored: dict[int, int] = {}  # as they were read
        self._counted: dict[int, int] = {}  # those that this repair counted anew
        self.alone = True  # whether one person uses each number that was counted anew

    def judged(self, raw: Columns) -> Columns:
        """Sort numbers by how many people use them, asking for those not known yet."""
        keyed, stored = self._of(raw)
        self._learn(stored)
        people = np.array([self._people(key) for key in stored], np.int64)
        several = people != 1
        return sharing.judged(raw, PhoneUse(keyed[several], people[several]), self._most_people)

    def learn(self, raw: Columns) -> None:
        """Ask for all numbers of these records that are not known yet."""
        self._learn(self._of(raw)[1])

    def judged_few(self, raw: Mapping[int, Plain]) -> dict[int, Plain]:
        """``judged`` of records one by one, by id."""
        self.learn_few(raw)
        named, people, most = self._named, self._people, self._most_people
        return {
            one: plain.judged(record, lambda number: people(named[number]), most)
            for one, record in raw.items()
        }

    def learn_few(self, raw: Mapping[int, Plain]) -> None:
        """``learn`` of records one by one."""
        self._learn(self._names({one for record in raw.values() for one in plain.numbers(record)}))

    def _names(self, numbers: Collection[int]) -> list[int]:
        """The stored form of each number."""
        named = self._named
        if unknown := [one for one in numbers if one not in named]:
            stored = blocks.number_keys(self._keyer, np.array(unknown, np.int64)).tolist()
            named.update(zip(unknown, stored, strict=True))
        return [named[one] for one in numbers]

    def _of(self, raw: Columns) -> tuple[Ints, list[int]]:
        """The numbers of records, ascending, and the stored form of each."""
        keyed = distinct(sharing.numbers(raw)[1])
        return keyed, blocks.number_keys(self._keyer, keyed).tolist()

    def recount(
        self,
        raw: Columns | Mapping[int, Plain],
        named: Ints,
        old: Blocked,
        known: tuple[Neighbours, Opened],
    ) -> Ints:
        """Count the people on every number of these records.

        Args:
            raw: the records that stay, opened.
            named: all records that come, change or go, ascending.
            old: their stored keys.
            known: who has which key, and who is opened.

        Returns:
            The numbers of which something else counts now than before, ascending.
        """
        neighbours, opened = known
        ids, held = self._held(raw)
        numbers = distinct(np.concatenate((held, old.key[old.rule == HOLDER])))
        if not len(numbers):
            return numbers
        place, holder = neighbours.of(numbers, MOST_HOLDERS + len(named) + 1)
        others = places(named, holder) < 0
        place = np.concatenate((place[others], np.searchsorted(numbers, held)))
        holder = np.concatenate((holder[others], ids))
        holders = np.bincount(place, minlength=len(numbers))
        # A number that one record holds is one person's: nobody else is opened for it.
        asked = holder[(holders[place] > 1) & (holders[place] <= MOST_HOLDERS)].tolist()
        opened.open(self._connection, asked)
        people = np.ones(len(numbers), np.int64)
        if asked:
            stored, told = self._use(opened, set(asked))
            at = places(numbers, stored)
            # Holders of a number hold others too, whose other holders are not here.
            people[at[at >= 0]] = told[at >= 0]
        people[holders < 2] = 1
        people[holders > MOST_HOLDERS] = MOST_HOLDERS + 1
        self.alone = bool((people == 1).all())
        keys = numbers.tolist()
        self._learn(keys)
        self._counted = dict(zip(keys, people.tolist(), strict=True))
        turned = [
            key for key, now in self._counted.items()
            if self._kind(now) != self._kind(self._stored[key])
        ]  # fmt: skip
        return np.array(turned, np.int64)

    def _held(self, raw: Columns | Mapping[int, Plain]) -> tuple[Ints, Ints]:
        """Records and the stored form of each number that they hold."""
        if isinstance(raw, Columns):
            row, keyed = sharing.numbers(raw)
            return raw.ids[row], blocks.number_keys(self._keyer, keyed)
        held = [(one, number) for one, record in raw.items() for number in plain.numbers(record)]
        names = self._names([number for _, number in held])
        return np.array([one for one, _ in held], np.int64), np.array(names, np.int64)

    def _use(self, opened: Opened, records: set[int]) -> tuple[Ints, Ints]:
        """The numbers of these records that are not one person's, and how many people use each."""
        if len(records) > plain.MOST:
            use = sharing.count_use(opened.of(records))
            return blocks.number_keys(self._keyer, use.phones), use.people
        found = plain.count_use(opened.plain(records).values())
        return np.array(self._names(found), np.int64), np.array([*found.values()], np.int64)

    def still_hold(self) -> bool:
        """Whether what was read of the numbers is stored still."""
        now = block_rows.people_on(self._connection, self._stored)
        return all(now.get(key, 1) == people for key, people in self._stored.items())

    def store(self) -> None:
        """Write down what was counted, where it differs."""
        renewed = {key: now for key, now in self._counted.items() if now != self._stored[key]}
        block_rows.store_people(self._connection, renewed)

    def _people(self, key: int) -> int:
        return self._counted[key] if key in self._counted else self._stored[key]

    def _kind(self, people: int) -> int:
        """What counts about a number: one person's, several people's, or nobody's."""
        return sharing.kind(people, self._most_people)

    def _learn(self, keys: list[int]) -> None:
        unknown = [key for key in keys if key not in self._stored]
        found = block_rows.people_on(self._connection, unknown)
        self._stored |= {key: found.get(key, 1) for key in unknown}
