"""Pages of people in an order: the statement, and where a page ends.

Pages follow each other by the last person shown, not by counting: nobody is shown twice or
passed over because others came or went.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind
from cdp.access.cursors import Place
from cdp.access.filters import (
    EVERYBODY,
    LONGEST,
    Filter,
    attribute,
    conditions,
    is_storable,
    is_whole,
    number_of,
    text_of,
)
from cdp.access.rows import People, Person
from cdp.access.trail import Attempt
from cdp.vault.context import frame
from connectors.record import Raw
from policies.vocabulary import FieldClass

UNUSABLE: Final = Denial(
    DenialKind.UNUSABLE, "order_unusable", "Order by the name of an attribute, or by nothing."
)
# Numbers come first, then texts, then those without a value, whichever way it is ordered.
_NUMBERS, _TEXTS, _NOTHING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Listing(Raw):
    """Who is listed, and in what order.

    Attributes:
        where: whom of the people in scope.
        by: the attribute to order by; None: profile ids. Equal values are in the order of ids.
        descending: the largest first.
    """

    where: Filter = EVERYBODY
    by: str | None = None
    descending: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the answer depends on."""
        ordered = (FieldClass.ATTRIBUTES.value,) if self.by is not None else ()
        return tuple(sorted({*self.where.fields, *ordered}))

    def refusal(self) -> Denial | None:
        """Say why there is no such order."""
        return None if self.by is None or is_storable(self.by) else UNUSABLE

    @property
    def is_plain(self) -> bool:
        """Whether everybody in scope is listed, by id."""
        return self == PLAIN


PLAIN: Final = Listing()


class Found(NamedTuple):
    """One person of a page, and their place in the order."""

    id: str
    place: Place


def question(attempt: Attempt, listing: Listing) -> bytes:
    """Return what a cursor is good for: who asks what, for what, under which policy."""
    subject, where = attempt.subject, listing.where
    parts = [
        [subject.id, str(subject.role), subject.node, str(attempt.purpose)],
        attempt.policy_version,
        [[c.field, c.name, c.equals, c.at_least, c.at_most] for c in where.criteria],
        list(where.consents),
        [listing.by, listing.descending],
    ]
    return frame(json.dumps(parts, ensure_ascii=True, default=str).encode())


def page(
    people: People, listing: Listing, purpose: str, after: Place | None, size: int
) -> list[Found]:
    """Return at most ``size`` people behind a place, in their order.

    Args:
        people: of the subject's scope.
        listing: that nothing speaks against.
        purpose: what for.
        after: the place of the last person of the page before.
        size: how many.
    """
    keys = _keys(listing, purpose)
    statement = sa.select(Person.id, *(key.label(f"k{n}") for n, (key, _) in enumerate(keys)))
    for condition in conditions(listing.where, purpose):
        statement = statement.where(condition)
    if after is not None:
        statement = statement.where(_behind(keys, after))
    ordered = statement.order_by(*(key.desc() if down else key for key, down in keys))
    found = people.execute(ordered.limit(size))
    return [Found(row[0], tuple(map(_plain, row[1:]))) for row in found]


def is_place(listing: Listing, place: Place) -> bool:
    """Say whether a place is one in this order."""
    return len(place) == (1 if listing.by is None else 4)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


_Keys = Sequence[tuple[sa.ColumnElement[Any], bool]]


def _keys(listing: Listing, purpose: str) -> _Keys:
    """What people are ordered by, in turn, and whether the largest comes first."""
    own = sa.cast(Person.id, sa.Text)
    if listing.by is None:
        return [(Person.id.expression, False)]
    stored = attribute(listing.by)
    known = sa.case((stored.is_not(None), is_whole(listing.by, purpose)), else_=sa.false())
    number = sa.case((known, number_of(stored)))
    text = sa.case((sa.and_(known, number.is_(None)), sa.func.left(text_of(stored), LONGEST)))
    kind = sa.case((number.is_not(None), _NUMBERS), (text.is_not(None), _TEXTS), else_=_NOTHING)
    return [
        (kind, False),
        (sa.func.coalesce(number, 0), listing.descending),
        (sa.func.coalesce(text, "").collate("C"), listing.descending),
        (own, False),
    ]


def _behind(keys: _Keys, place: Place) -> sa.ColumnElement[bool]:
    """The condition of everybody behind a place, key by key."""
    cases: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for (key, down), value in zip(keys, place, strict=True):
        given = (
            sa.literal(value, key.type) if not isinstance(key.type, sa.Numeric) else _number(value)
        )
        cases.append(sa.and_(*equal, key < given if down else key > given))
        equal.append(key == given)
    return sa.or_(*cases)


def _number(value: object) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(Decimal(str(value)), sa.Numeric), sa.Numeric)
