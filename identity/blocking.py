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

MOST = 100  # records in one block


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to become a candidate pair."""

    name: str
    key: str  # SQL giving an integer key, a list of keys, or null
    several: bool = False


def _both(*features: str) -> str:
    """A compound key, null as soon as one part is missing."""
    present = " AND ".join(f"{feature} IS NOT NULL" for feature in features)
    return f"CASE WHEN {present} THEN hash({', '.join(features)}) END"


def _each(several: str, *features: str) -> str:
    """One compound key per element of a list feature; none as soon as a part is missing."""
    present = " AND ".join(f"{feature} IS NOT NULL" for feature in features)
    return (
        f"CASE WHEN {present} THEN "
        f"list_transform({several}, lambda k: hash(k, {', '.join(features)})) END"
    )


RULES: tuple[Rule, ...] = (
    Rule("phone", "list_concat(phones_own, phones_shared)", several=True),
    Rule("unionid", "unionid"),
    Rule("e-mail", "email"),
    Rule("ID number", "national_id"),
    Rule("tax number", "tax_number"),
    Rule("account", "accounts", several=True),
    Rule("phone slip and surname", _each("phones_near", "surname"), several=True),
    Rule("ID number slip and year", _each("national_id_near", "birth_year"), several=True),
    Rule("tax number slip and year", _each("tax_number_near", "birth_year"), several=True),
    Rule("name and year", _both("name", "birth_year")),
    Rule("name and day", _both("name", "birth_day")),
    Rule("sound and date", _both("sound", "birth")),
    Rule("surname and date", _both("surname", "birth")),
    Rule("given name and date", _both("given", "birth")),
    Rule(
        "sound and swapped date",
        "CASE WHEN sound IS NOT NULL AND birth IS NOT NULL THEN "
        "hash(sound, least(birth, coalesce(birth_swapped, birth))) END",
    ),
    Rule("name slip and date", _each("name_near", "birth"), several=True),
    Rule("name and city", _both("name", "city")),
    Rule("name and postcode", _both("name", "postcode")),
    Rule("given name, postcode, number", _both("given", "postcode", "street_number")),
    Rule("surname, postcode, number", _both("surname", "postcode", "street_number")),
    Rule("street, number, year", _both("street", "street_number", "birth_year")),
    Rule("date and postcode", _both("birth", "postcode")),
)


def candidates_sql(table: str) -> str:
    """SQL that yields the candidate pairs of ``table`` as ``low``, ``high`` (low < high)."""
    keyed = " UNION ALL ".join(_keyed(number, rule, table) for number, rule in enumerate(RULES))
    return f"""
        WITH keyed AS ({keyed}),
        useful AS (
            SELECT rule, key FROM keyed GROUP BY ALL HAVING count(*) BETWEEN 2 AND {MOST}
        ),
        kept AS (SELECT k.rule, k.key, k.id FROM keyed k JOIN useful u USING (rule, key))
        SELECT DISTINCT l.id AS low, r.id AS high
        FROM kept l JOIN kept r ON l.rule = r.rule AND l.key = r.key AND l.id < r.id
    """


def _keyed(number: int, rule: Rule, table: str) -> str:
    key = f"unnest({rule.key})" if rule.several else rule.key
    return (
        f"SELECT DISTINCT {number} AS rule, key, id FROM "
        f"(SELECT id, ({key})::UBIGINT AS key FROM {table}) WHERE key IS NOT NULL"
    )
