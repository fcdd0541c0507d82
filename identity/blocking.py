"""Which pairs of records are worth comparing.

A rule gives every record zero or more keys; records with an equal key under the same
rule become candidates. All keys are built from keyed features, so a key says nothing
about the value behind it.

Invariants:
    1. Every pair that shares an exact identifier is a candidate, unless so many records
       share it that it cannot name a person.
    2. A key shared by more records than ``MOST`` gives no candidates: the number of
       pairs grows with the square of the block, and so large a block names nobody.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.columns import Columns, Ints

MOST = 100  # records in one block


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to become a candidate pair: a compound key, none as soon as a part is missing.

    The parts are joined by exclusive or. They are keyed hashes of different features and
    so independent of each other: two compounds are equal when their parts are, and
    otherwise no oftener than two hashes are.

    Attributes:
        name: shown to people.
        together: single features that make one key together.
        each: a list feature; one key for each of its elements, with ``together``.
    """

    name: str
    together: tuple[str, ...] = ()
    each: str | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Blocking keys of many records.

    Attributes:
        rule: the number of the rule. Shape (keys,).
        key: the key under that rule. Shape (keys,).
        row: the place of the record. Shape (keys,).
    """

    rule: npt.NDArray[np.int8]
    key: Ints
    row: Ints


RULES: tuple[Rule, ...] = (
    Rule("phone", each="phones_own"),
    Rule("phone of several people", each="phones_shared"),
    Rule("unionid", ("unionid",)),
    Rule("e-mail", ("email_own",)),
    Rule("ID number", ("national_id",)),
    Rule("tax number", ("tax_number",)),
    Rule("account", each="accounts"),
    Rule("counted account", each="counted_own"),
    Rule("phone slip and surname", ("surname",), each="phones_near"),
    Rule("ID number slip and year", ("birth_year",), each="national_id_near"),
    Rule("tax number slip and year", ("birth_year",), each="tax_number_near"),
    Rule("name and year", ("name", "birth_year")),
    Rule("name and day", ("name", "birth_day")),
    Rule("sound and date", ("sound", "birth")),
    Rule("surname and date", ("surname", "birth")),
    Rule("given name and date", ("given", "birth")),
    Rule("sound and swapped date", ("sound", "birth_least")),
    Rule("name slip and date", ("birth",), each="name_near"),
    Rule("name and city", ("name", "city")),
    Rule("name and postcode", ("name", "postcode")),
    Rule("given name, postcode, number", ("given", "postcode", "street_number")),
    Rule("surname, postcode, number", ("surname", "postcode", "street_number")),
    Rule("street, number, year", ("street", "street_number", "birth_year")),
    Rule("date and postcode", ("birth", "postcode")),
    Rule("word of the name and date", ("birth",), each="words"),
    Rule("two words of the name and year", ("birth_year",), each="word_pairs"),
    Rule("word slip and postcode", ("postcode",), each="words_near"),
    Rule("word of the name and postcode area", ("postcode_area",), each="words"),
    Rule("word slip and birth place", ("birth_place",), each="words_near"),
    Rule("word of the name and occupation", ("occupation",), each="words"),
    Rule("birth place and date", ("birth_place", "birth")),
    Rule("birth place and postcode", ("birth_place", "postcode")),
    Rule("birth place and occupation", ("birth_place", "occupation")),
)


def keys_of(columns: Columns) -> Keys:
    """Every blocking key of every record, each once under each rule."""
    rules, rows, keys = [], [], []
    # Most features are told by nobody among a few records: such a rule gives no key.
    absent = {name for name, told in columns.singles.items() if not told.any()}
    absent |= {name for name, told in columns.lists.items() if not len(told.keys)}
    for number, rule in enumerate(RULES):
        if rule.each in absent or not absent.isdisjoint(rule.together):
            continue
        row, key = keys_under(rule, columns)
        rules.append(np.full(len(row), number, np.int8))
        rows.append(row)
        keys.append(key)
    if not rules:
        return Keys(np.zeros(0, np.int8), np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Keys(np.concatenate(rules), np.concatenate(keys), np.concatenate(rows))


def keys_under(rule: Rule, columns: Columns) -> tuple[Ints, Ints]:
    """The records (places) and their keys under one rule."""
    if rule.each is None:
        row, key = np.arange(len(columns)), np.zeros(len(columns), np.int64)
    else:
        lists = columns.lists[rule.each]
        row, key = lists.rows(), lists.keys
    told = np.ones(len(row), np.bool_)
    for feature in rule.together:
        part = columns.singles[feature][row]
        told &= part != 0
        key = key ^ part
    return row[told], key[told]
