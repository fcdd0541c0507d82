"""What people may be filtered, ordered and grouped by: a closed set, and only what is shown clear.

Invariants, each named by a test in ``tests/integration/access/test_lists.py``:

1. A field that the subject would not be shown clear is refused before anything is looked up,
   with one answer, whatever was asked of it.
2. A condition meets what the subject would be shown for the purpose: of an attribute to which a
   record contributes that the purpose may not use, nothing is known.
3. A value from outside is a bound parameter. It is compared whole: no pattern, no expression.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cdp.access.answers import Denial, DenialKind
from cdp.access.rows import Person
from cdp.profiles.rows import ACTIVE
from cdp.storage.schema import membership, record, tag
from cdp.tags.evaluate import DECIMAL, MAX_DECIMAL
from connectors.record import Raw
from policies.vocabulary import FieldClass, Treatment

MOST: Final = 8  # conditions of one question
MOST_DIGITS: Final = 1000  # of a number to compare with, before or behind the point
LONGEST: Final = 200  # characters of an attribute that order and groups look at

HIDDEN: Final = Denial(
    DenialKind.FORBIDDEN,
    "field_not_clear",
    "What you would not be shown clear you cannot filter, order or group by.",
)
UNUSABLE: Final = Denial(
    DenialKind.UNUSABLE,
    "filter_unusable",
    "Filter by a tag, an attribute or a store: a name and what it equals, or a range of numbers; "
    f"at most {MOST} conditions.",
)
_NAMED: Final = frozenset({FieldClass.TAGS, FieldClass.ATTRIBUTES})


@dataclass(frozen=True, slots=True)
class Criterion(Raw):
    """One condition: a field equals something, or is a number in a range. Ends are included."""

    field: str  # of FieldClass
    name: str | None = None  # of the tag or the attribute
    equals: str | int | bool | None = dataclasses.field(default=None, repr=False)
    at_least: Decimal | None = dataclasses.field(default=None, repr=False)
    at_most: Decimal | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Filter(Raw):
    """Conditions that all hold, and purposes that a person agreed to."""

    criteria: tuple[Criterion, ...] = ()
    consents: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it looks at."""
        return tuple(sorted({one.field for one in self.criteria}))


EVERYBODY: Final = Filter()


def refusal(
    asked: Filter, others: Collection[str], treatments: Mapping[FieldClass, Treatment]
) -> Denial | None:
    """Say why this may not be asked; nothing is looked up for it (invariant 1).

    Args:
        asked: the filter.
        others: further fields that the answer would depend on.
        treatments: of the subject, action and purpose.
    """
    clear = {name.value for name, how in treatments.items() if how is Treatment.CLEAR}
    if not clear.issuperset((*asked.fields, *others)):
        return HIDDEN
    usable = len(asked.criteria) <= MOST and all(map(_is_usable, asked.criteria))
    return None if usable else UNUSABLE


def _is_usable(one: Criterion) -> bool:
    bounds = [bound for bound in (one.at_least, one.at_most) if bound is not None]
    if (one.name is not None) != (one.field in _NAMED) or (one.equals is None) != bool(bounds):
        return False
    if one.field == FieldClass.ATTRIBUTES:
        return all(map(_is_comparable, bounds))
    return one.field in {FieldClass.TAGS, FieldClass.STORES} and isinstance(one.equals, str)


def _is_comparable(bound: Decimal) -> bool:
    """Say whether a number is one of a size that the database compares."""
    return bound.is_finite() and abs(bound.adjusted()) < MOST_DIGITS > len(bound.as_tuple().digits)


def conditions(asked: Filter, purpose: str) -> Iterable[sa.ColumnElement[bool]]:
    """Yield what a person has to meet, for a filter that nothing speaks against."""
    yield from (Person.purposes.contains(_text_array(one)) for one in asked.consents)
    for one in asked.criteria:
        if not all(map(is_storable, (one.name, one.equals))):
            yield sa.false()  # the database could not hold it, so nobody has it
        elif one.field == FieldClass.TAGS:
            yield _has_tag(one)
        elif one.field == FieldClass.STORES:
            yield _is_of_store(str(one.equals), purpose)
        else:
            yield _has_attribute(one, purpose)


def is_storable(value: object) -> bool:
    """Say whether the database could hold it at all."""
    if not isinstance(value, str):
        return True
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _has_tag(one: Criterion) -> sa.ColumnElement[bool]:
    own = tag.c.profile_id == Person.id
    return sa.exists().where(own, tag.c.name == one.name, tag.c.value == one.equals)


def _is_of_store(store: str, purpose: str) -> sa.ColumnElement[bool]:
    mine = _records(purpose, covered=True).where(record.c.store == store)
    return _only_if(Person.stores.contains(_text_array(store)), mine.scalar_subquery().is_not(None))


def _has_attribute(one: Criterion, purpose: str) -> sa.ColumnElement[bool]:
    stored = attribute(str(one.name))
    if one.equals is not None:
        meets = stored == sa.cast(sa.literal(one.equals, JSONB), JSONB)
    else:
        found = number_of(stored)
        least = () if one.at_least is None else (found >= one.at_least,)
        most = () if one.at_most is None else (found <= one.at_most,)
        meets = sa.and_(*least, *most)
    return _only_if(meets, is_whole(str(one.name), purpose))


# ── parts of statements ─────────────────────────────────────────────────────


def attribute(name: str) -> sa.ColumnElement[Any]:
    """An attribute of a `Person` as JSON, over all records."""
    found: sa.ColumnElement[Any] = Person.attributes[name]
    return found


def is_whole(name: str, purpose: str) -> sa.ColumnElement[bool]:
    """Say whether only records that the purpose may use contribute to an attribute.

    Then what the profile says of it is what the subject is shown. Asked person by person: put
    what is cheaper before it.
    """
    against = _records(purpose, covered=False).where(record.c.attributes.has_key(name))
    return against.scalar_subquery().is_(None)


def number_of(stored: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The number that a JSON value is, also one written as text; null for what is none."""
    text, kind = text_of(stored), sa.func.jsonb_typeof(stored)
    short = sa.func.length(text) <= MAX_DECIMAL
    written = sa.and_(kind == "string", short, text.op("~", is_comparison=True)(f"^({DECIMAL})$"))
    return sa.case((sa.or_(kind == "number", written), sa.cast(text, sa.Numeric)))


def text_of(stored: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """A JSON value as text, without quotes."""
    return stored.op("#>>", return_type=sa.Text)(
        sa.cast(sa.literal([], ARRAY(sa.Text)), ARRAY(sa.Text))
    )


def _records(purpose: str, *, covered: bool) -> sa.Select[int]:
    """A record of the person that the purpose may use, or may not; frozen ones give nothing."""
    named = _text_array(purpose)
    covers = sa.and_(record.c.purposes.contains(named), ~record.c.refused.contains(named))
    return (
        sa.select(sa.literal(1))
        .select_from(membership)
        .join(record, record.c.id == membership.c.record_id)
        .where(membership.c.profile_id == Person.id, record.c.state == ACTIVE)
        .where(covers if covered else ~covers)
        .limit(1)
        .correlate(Person)
    )


def _text_array(one: str) -> sa.ColumnElement[list[str]]:
    return sa.literal([one], ARRAY(sa.Text))


def _only_if(cheap: sa.ColumnElement[bool], dear: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Both, the second asked only of those who meet the first."""
    return sa.case((cheap, dear), else_=sa.false())
