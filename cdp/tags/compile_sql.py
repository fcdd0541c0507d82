"""Compile a whole rule set to one set-based query over profiles.

The answers are those of `cdp.tags.evaluate`; a property test on a real PostgreSQL
compares the two. Every constant is a bound parameter, every attribute name too: no text
of a rule becomes SQL.

Each attribute is read once for a profile and typed once, in two materialised steps. A value
is cast only after its form was checked, so no stored value can make the query fail.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import array

from cdp.storage.schema import profile
from cdp.tags.ast import (
    Attribute,
    Comparison,
    Condition,
    Constant,
    Counted,
    DaysSince,
    Every,
    Fact,
    Negation,
    Operand,
    Operator,
    RuleSet,
    Some,
    Tag,
    operands,
)
from cdp.tags.evaluate import DATE, DECIMAL, MAX_DECIMAL, YEAR_ZERO
from cdp.tags.version import rule_version
from connectors.attribute_declaration import AttributeType

_Columns = Mapping[Operand, sa.ColumnElement[Any]]


class _Stored(NamedTuple):
    """One attribute of a profile as JSONB holds it."""

    kind: sa.ColumnElement[str]  # string, number, boolean, null...; SQL null when missing
    text: sa.ColumnElement[str]


def compiled(rules: RuleSet, today: dt.date) -> sa.CompoundSelect[Any] | sa.Select[Any]:
    """Return a query of (profile_id, name, value, rule_version): every tag of every profile."""
    read = tuple(
        dict.fromkeys(
            one for tag in rules.tags for choice in tag.choices for one in operands(choice.when)
        )
    )
    raw, stored = _raw([one for one in map(_attribute_of, read) if one is not None])
    typed = _once(
        sa.select(
            raw.c.id,
            *(_typed(one, raw, stored, today).label(f"o{i}") for i, one in enumerate(read)),
        ),
        "typed",
    )
    columns = {operand: typed.c[f"o{place}"] for place, operand in enumerate(read)}
    return sa.union_all(*(_rows_of(tag, typed, columns) for tag in rules.tags))


def _once(statement: sa.Select[Any], name: str) -> sa.CTE:
    """A step that PostgreSQL computes once and keeps."""
    return statement.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def _raw(names: Iterable[str]) -> tuple[sa.CTE, Mapping[str, _Stored]]:
    """Take every attribute out of its JSONB once: most of the time would go there."""
    wanted = tuple(dict.fromkeys(names))
    parts: list[sa.ColumnElement[Any]] = []
    for place, name in enumerate(wanted):
        found = profile.c.attributes[name]
        parts += [sa.func.jsonb_typeof(found).label(f"k{place}"), found.astext.label(f"t{place}")]
    stores = sa.func.cardinality(profile.c.stores).label(Fact.STORES_COUNT)
    raw = _once(sa.select(profile.c.id, profile.c.size, stores, *parts), "raw")
    return raw, {n: _Stored(raw.c[f"k{i}"], raw.c[f"t{i}"]) for i, n in enumerate(wanted)}


def _rows_of(tag: Tag, typed: sa.CTE, columns: _Columns) -> sa.Select[Any]:
    value = sa.case(
        *((_condition(choice.when, columns), _text(choice.value)) for choice in tag.choices),
        else_=_text(tag.otherwise),
    )
    return sa.select(
        typed.c.id.label("profile_id"),
        _text(tag.name).label("name"),
        value.label("value"),
        _text(rule_version(tag)).label("rule_version"),
    )


def _text(value: str) -> sa.ColumnElement[str]:
    return sa.cast(sa.literal(value, sa.Text), sa.Text)


# ── conditions ──────────────────────────────────────────────────────────────


def _condition(condition: Condition, columns: _Columns) -> sa.ColumnElement[bool]:
    match condition:
        case Comparison(operand=operand):
            compared = _compare(condition, columns[operand])
            return sa.func.coalesce(compared, sa.false())
        case Every(conditions=inner):
            return sa.and_(*(_condition(one, columns) for one in inner))
        case Some(conditions=inner):
            return sa.or_(*(_condition(one, columns) for one in inner))
        case Negation(condition=one):
            return sa.not_(_condition(one, columns).self_group())


def _compare(comparison: Comparison, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    constants = [_constant(one) for one in comparison.constants]
    match comparison.operator:
        case Operator.IN:
            return column == sa.func.any(array(constants))
        case Operator.EQUAL:
            return column == constants[0]
        case ordered:
            return column.op(ordered.value, is_comparison=True)(constants[0])


def _constant(value: Constant) -> sa.ColumnElement[Any]:
    if isinstance(value, bool):
        return sa.cast(sa.literal(value), sa.Boolean)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dt.date):
        return sa.cast(sa.literal(value, sa.Date), sa.Date)
    return sa.cast(sa.literal(value, sa.Numeric), sa.Numeric)


# ── operands ────────────────────────────────────────────────────────────────


def _attribute_of(operand: Operand) -> str | None:
    match operand:
        case Attribute(name=name) | DaysSince(attribute=name):
            return name
        case Counted():
            return None


def _typed(
    operand: Operand, raw: sa.CTE, stored: Mapping[str, _Stored], today: dt.date
) -> sa.ColumnElement[Any]:
    match operand:
        case Attribute(name=name, type=kind):
            return _READERS[kind](stored[name])
        case DaysSince(attribute=name):
            days = sa.cast(sa.literal(today, sa.Date), sa.Date).op("-")(_date(stored[name]))
            return sa.cast(days, sa.Numeric)
        case Counted(fact=fact):
            return sa.cast(raw.c[fact.value], sa.Numeric)


def _matches(one: _Stored, form: str) -> sa.ColumnElement[bool]:
    return one.text.op("~", is_comparison=True)(f"^({form})$")


def _integer(one: _Stored) -> sa.ColumnElement[Any]:
    whole = sa.and_(one.kind == "number", _matches(one, "-?[0-9]+"))
    return sa.case((whole, sa.cast(one.text, sa.Numeric)))


def _decimal(one: _Stored) -> sa.ColumnElement[Any]:
    short = sa.func.length(one.text) <= MAX_DECIMAL
    written = sa.and_(one.kind == "string", short, _matches(one, DECIMAL))
    whole = sa.and_(one.kind == "number", _matches(one, "-?[0-9]+"))
    return sa.case((sa.or_(written, whole), sa.cast(one.text, sa.Numeric)))


def _date(one: _Stored) -> sa.ColumnElement[Any]:
    def part(start: int, length: int) -> sa.ColumnElement[int]:
        return sa.cast(sa.func.substr(one.text, start, length), sa.Integer)

    # The first of the month, then the days: 30 February becomes March, and no error.
    day = sa.func.make_date(part(1, 4), part(6, 2), 1).op("+")(part(9, 2) - 1)
    real = sa.cast(sa.func.date_part("month", day), sa.Integer) == part(6, 2)
    year = sa.func.substr(one.text, 1, 4) != YEAR_ZERO
    written = sa.and_(one.kind == "string", year, _matches(one, DATE))
    return sa.case((written, sa.case((real, sa.cast(day, sa.Date)))))


def _boolean(one: _Stored) -> sa.ColumnElement[Any]:
    return sa.case((one.kind == "boolean", sa.cast(one.text, sa.Boolean)))


def _category(one: _Stored) -> sa.ColumnElement[Any]:
    return sa.case((one.kind == "string", one.text))


_READERS: Final[Mapping[AttributeType, Callable[[_Stored], sa.ColumnElement[Any]]]] = {
    "integer": _integer,
    "decimal": _decimal,
    "date": _date,
    "boolean": _boolean,
    "category": _category,
}
