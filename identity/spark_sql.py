"""What a Spark cluster is asked: candidate pairs and their level numbers, as Spark SQL.

The rules and the conditions are those of `identity.blocking` and `identity.comparisons`;
only the words differ. All that the SQL reads and gives is integers.
"""

from identity.blocking import MOST, RULES, Rule
from identity.comparisons import COMPARISONS, level_sql
from identity.conditions import LISTS, Dialect

_COMPARED = {feature for comparison in COMPARISONS for feature in comparison.features}
_BLOCKED = {part for rule in RULES for part in (*rule.together, rule.each) if part}
# What leaves the machine: the features that some rule or comparison reads, and no other.
READ = tuple(sorted(_COMPARED | _BLOCKED))
READ_LISTS = tuple(name for name in READ if name in LISTS)
READ_SINGLES = tuple(name for name in READ if name not in LISTS)
LEVELS = tuple(f"level_{place}" for place in range(len(COMPARISONS)))


def candidates_sql(table: str) -> str:
    """The candidate pairs of ``table``, each once: ``low``, ``high`` (low < high).

    All keys of a record come out of one pass, and all records of a key meet in one place:
    Spark then moves every key once.
    """
    keys = ", ".join(_keys(number, rule) for number, rule in enumerate(RULES))
    return f"""
        WITH keyed AS (SELECT id, inline(concat({keys})) FROM {table}),
        block AS (
            SELECT collect_list(id) AS ids FROM keyed WHERE key IS NOT NULL
            GROUP BY rule, key HAVING count(*) BETWEEN 2 AND {MOST}
        )
        SELECT DISTINCT pair.low, pair.high FROM block LATERAL VIEW explode(flatten(
            transform(ids, (one, at) -> transform(slice(ids, at + 2, {MOST}), other ->
                named_struct('low', least(one, other), 'high', greatest(one, other))))
        )) AS pair
    """


def _keys(number: int, rule: Rule) -> str:
    """SQL for the keys of a record under one rule; null where a part is missing."""
    parts = [*rule.together, *(["k"] if rule.each else [])]
    key = f"named_struct('rule', CAST({number} AS TINYINT), 'key', {' ^ '.join(parts)})"
    return f"transform({rule.each}, k -> {key})" if rule.each else f"array({key})"


def compared_sql(table: str, pairs: str) -> str:
    """The level numbers of ``pairs`` of ids of ``table``: low, high and ``LEVELS``."""
    sides = ", ".join(f"{side}.{f} AS {f}_{side}" for side in "lr" for f in sorted(_COMPARED))
    levels = ", ".join(
        f"CAST({level_sql(comparison, Dialect.SPARK)} AS TINYINT) AS {name}"
        for name, comparison in zip(LEVELS, COMPARISONS, strict=True)
    )
    return f"""
        SELECT low, high, {levels} FROM (
            SELECT p.low, p.high, {sides} FROM {pairs} p
            JOIN {table} l ON l.id = p.low JOIN {table} r ON r.id = p.high
        )
    """
