"""Blocking keys as they are stored: from features to the names of blocks. Pure.

Invariants:
    1. What is stored is a keyed pseudonym of a compound of keyed features: it names a
       block, and neither a value nor a feature.
    2. The stored keys of a record are those that a full run would give it: they follow
       from its features and from how many people use its numbers.
    3. Whoever holds a number is found, even if the number names nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from cdp.vault.keyed import BlockKeyer
from identity import features, identifiers, plain, sharing
from identity.blocking import MOST, RULES, keys_of, keys_under
from identity.columns import Bools, Columns, Ints
from identity.pairs import places
from identity.plain import Plain
from identity.sharing import PhoneUse

HOLDER = len(RULES)  # the rule of "holds this number", which makes no pairs by itself
VERSION = 3
Records = Mapping[int, Plain]
_Told = tuple[int, int, int]  # rule, key and record


def made_with(most_people: int) -> str:
    """What the stored keys depend on beside the records: another answer, and they are remade."""
    rules = "/".join(f"{rule.name}:{'+'.join(rule.together)}:{rule.each}" for rule in RULES)
    mailboxes = identifiers.most_people("email")
    return f"{VERSION} {features.VERSION} {most_people} {mailboxes} {MOST} {rules}"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Stored keys of records, each pair of record and key once, by key and then record.

    Attributes:
        key: stored form. Shape (keys,).
        record: record ids. Shape (keys,).
        rule: numbers of the blocking rules, ``HOLDER`` for a number. Shape (keys,).
    """

    key: Ints
    record: Ints
    rule: Ints

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: "Ints | np.typing.NDArray[np.bool_]") -> "Blocked":
        """The keys at ``rows``."""
        return Blocked(self.key[rows], self.record[rows], self.rule[rows])

    def and_also(self, other: "Blocked") -> "Blocked":
        """These keys followed by the others."""
        return Blocked(
            np.concatenate((self.key, other.key)),
            np.concatenate((self.record, other.record)),
            np.concatenate((self.rule, other.rule)),
        )

    def making_pairs(self) -> "Blocked":
        """The keys that candidates are made of."""
        return self.take(self.rule != HOLDER)

    def without(self, other: "Blocked") -> "Blocked":
        """The keys that ``other`` does not have."""
        return self.take(self.lacking(other))

    def lacking(self, other: "Blocked") -> Bools:
        """Whether ``other`` does not have it, of each key."""
        kept = np.ones(len(self), np.bool_)
        if not (len(self) and len(other)):
            return kept
        key = np.concatenate((self.key, other.key))
        record = np.concatenate((self.record, other.record))
        order = np.lexsort((record, key))  # stable: of two alike, mine stands first
        key, record = key[order], record[order]
        again = np.flatnonzero((key[1:] == key[:-1]) & (record[1:] == record[:-1]))
        kept[order[again]] = False
        return kept

    def of(self, records: Ints) -> "Blocked":
        """Those of these records (ascending)."""
        return self.take(places(records, self.record) >= 0)

    def among(self, keys: Ints) -> "Blocked":
        """Those with one of these keys (ascending)."""
        return self.take(places(keys, self.key) >= 0)


def blocked_by(keyer: BlockKeyer, raw: Columns, judged: Columns) -> Blocked:
    """The keys of records, as they are stored.

    Args:
        keyer: makes the stored form.
        raw: features as they were delivered; ``ids`` are record ids.
        judged: the same records as ``identity.sharing.judged`` gives them.
    """
    keys = keys_of(judged)
    holder, number = sharing.numbers(raw)
    rule = np.concatenate((keys.rule.astype(np.int64), np.full(len(number), HOLDER)))
    stored = keyer.keys(rule, np.concatenate((keys.key, number)))
    record = raw.ids[np.concatenate((keys.row, holder))]
    return _sorted(stored, record, rule)


def _sorted(stored: Ints, record: Ints, rule: Ints) -> Blocked:
    """By key and then record, each pair of the two once."""
    order = np.lexsort((record, stored))
    found = Blocked(stored[order], record[order], rule[order])
    same = (found.key[1:] == found.key[:-1]) & (found.record[1:] == found.record[:-1])
    return found.take(np.concatenate((np.ones(min(1, len(found)), np.bool_), ~same)))


def possible(keyer: BlockKeyer, raw: Columns, most_people: int) -> tuple[Blocked, Blocked]:
    """All keys that records may get, however many people use their numbers.

    Returns:
        The keys if one person uses each number, and what there may be beside.
    """
    nobody: Ints = np.zeros(0, np.int64)
    alone = sharing.judged(raw, PhoneUse(nobody, nobody), most_people)
    shared = replace(alone, lists={"phones_shared": alone.lists["phones_own"]})
    beside = [
        (number, *keys_under(rule, shared))
        for number, rule in enumerate(RULES)
        if rule.each == "phones_shared"
    ]
    told = [
        Blocked(keyer.keys(np.full(len(key), number), key), raw.ids[row], np.full(len(row), number))
        for number, row, key in beside
    ]
    return blocked_by(keyer, raw, alone), reduce(Blocked.and_also, told)


def blocked_few(keyer: BlockKeyer, raw: Records, judged: Records) -> Blocked:
    """``blocked_by`` of records one by one, by id."""
    return _stored(keyer, [*_ruled(judged), *_holding(raw)])


def possible_few(keyer: BlockKeyer, raw: Records, most_people: int) -> tuple[Blocked, Blocked]:
    """``possible`` of records one by one, by id."""
    either = {
        one: {
            **plain.judged(record, lambda _: 1, most_people),
            "phones_shared": record["phones"],
        }
        for one, record in raw.items()
    }
    alone: list[_Told] = []
    beside: list[_Told] = []
    for told in _ruled(either):
        (beside if RULES[told[0]].each == "phones_shared" else alone).append(told)
    return _stored(keyer, [*alone, *_holding(raw)]), _stored(keyer, beside)


def _ruled(judged: Records) -> Iterable[_Told]:
    return ((rule, key, one) for one in judged for rule, key in plain.keys_of(judged[one]))


def _holding(raw: Records) -> Iterable[_Told]:
    return ((HOLDER, number, one) for one in raw for number in plain.numbers(raw[one]))


def _stored(keyer: BlockKeyer, told: list[_Told]) -> Blocked:
    rule, key, record = np.array(told, np.int64).reshape(-1, 3).T
    return _sorted(keyer.keys(rule, key), record, rule)


def number_keys(keyer: BlockKeyer, numbers: Ints) -> Ints:
    """The stored form of keyed numbers. Shape (numbers,)."""
    return keyer.keys(np.full(len(numbers), HOLDER), numbers)


def pairs_with(place: Ints, member: Ints, records: Ints) -> tuple[Ints, Ints]:
    """The pairs in a common block of which at least one is among ``records``, each once."""
    order = np.argsort(place, kind="stable")
    place, member = place[order], member[order]
    mine = np.flatnonzero(places(records, member) >= 0)
    starts = np.searchsorted(place, place[mine], side="left")
    sizes = np.searchsorted(place, place[mine], side="right") - starts
    one = np.repeat(member[mine], sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    other = member[np.repeat(starts, sizes) + within]
    apart = one != other
    low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    first = np.ones(len(low), np.bool_)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[first], high[first]
