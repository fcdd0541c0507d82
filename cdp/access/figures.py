"""Figures about groups of people, for who needs to know how many and not who.

Invariants, each named by a test in ``tests/integration/access/test_figures.py``:

1. Who counts sees nobody: the answer holds sizes of groups, and no id.
2. A group of fewer than ten is not shown, nor are those from which its size would follow:
   ``cdp/access/suppression.py``.
3. A question that fewer than ten people meet is answered as one that nobody meets.
4. What may not be seen clear may not be counted by, refused before anything is looked up.
5. Every question leaves an event, whatever its answer.

What many questions together can still tell is in docs/THREATS.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.access import suppression
from cdp.access.answers import Denial, DenialKind
from cdp.access.filters import (
    LONGEST,
    Filter,
    attribute,
    conditions,
    is_whole,
    text_of,
)
from cdp.access.rows import People, Person
from cdp.profiles.rows import ACTIVE
from cdp.storage.schema import membership, record, tag
from connectors.record import Raw
from policies.organisation import Organisation
from policies.vocabulary import FieldClass, NodeKind, Purpose

Values = tuple[str | None, ...]

MOST_DIMENSIONS: Final = 3
MOST_GROUPS: Final = 5000  # counted for one question

UNUSABLE: Final = Denial(
    DenialKind.UNUSABLE,
    "grouping_unusable",
    f"Group by up to {MOST_DIMENSIONS} different things: store or node, a tag or an attribute by "
    "name, consent to a purpose; a node is a brand or a region.",
)
TOO_MANY: Final = Denial(
    DenialKind.UNUSABLE, "too_many_groups", "Group by something that has fewer values."
)


class Kind(StrEnum):
    """What people are grouped by."""

    STORE = "store"
    NODE = "node"  # of one level of the tree; its name is the level
    TAG = "tag"
    ATTRIBUTE = "attribute"
    CONSENT = "consent"  # whether they agreed to a purpose; its name is the purpose


_FIELDS: Final[Mapping[Kind, FieldClass | None]] = {
    Kind.STORE: FieldClass.STORES,
    Kind.NODE: FieldClass.STORES,
    Kind.TAG: FieldClass.TAGS,
    Kind.ATTRIBUTE: FieldClass.ATTRIBUTES,
    Kind.CONSENT: None,  # shown with every person
}
_PLACES: Final = frozenset({Kind.STORE, Kind.NODE})
_LEVELS: Final = frozenset({NodeKind.BRAND.value, NodeKind.REGION.value})


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing to group by. Of a store there is no name."""

    kind: Kind
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Question(Raw):
    """How many people, of whom, in which groups."""

    by: tuple[Dimension, ...]
    where: Filter

    @property
    def grouped(self) -> tuple[str, ...]:
        """The fields that are grouped by."""
        fields = {_FIELDS[one.kind] for one in self.by}
        return tuple(sorted(one.value for one in fields if one is not None))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the answer depends on."""
        return tuple(sorted({*self.grouped, *self.where.fields}))

    @property
    def place(self) -> int | None:
        """Which of the dimensions is a place: somebody may be of several; None: none is."""
        return next((at for at, one in enumerate(self.by) if one.kind in _PLACES), None)

    def refusal(self) -> Denial | None:
        """Say why it is no question."""
        places = sum(one.kind in _PLACES for one in self.by)
        different = len(set(self.by)) == len(self.by) <= MOST_DIMENSIONS and places <= 1
        return None if different and all(map(_is_usable, self.by)) else UNUSABLE


@dataclass(frozen=True, slots=True)
class Group:
    """People who have the same in each dimension; None: nothing there."""

    values: Values
    people: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The answer.

    Attributes:
        people: how many meet the question, each once; None: fewer than ten, or nobody.
        groups: those that are shown. Somebody of two stores is in two groups.
        hidden: whether there are others. How many is not said.
    """

    people: int | None
    groups: tuple[Group, ...]
    hidden: bool


NOTHING: Final = Figures(None, (), hidden=False)


def _is_usable(one: Dimension) -> bool:
    if one.kind is Kind.STORE:
        return one.name is None
    if one.kind is Kind.NODE:
        return one.name in _LEVELS
    if one.kind is Kind.CONSENT:
        return one.name in set(Purpose)
    return bool(one.name) and "\0" not in str(one.name) and str(one.name).isprintable()


def answered(
    people: People, question: Question, purpose: str, organisation: Organisation
) -> Figures | Denial:
    """Count, and leave out what would tell of few people.

    Args:
        people: of the subject's scope, who agreed to the purpose where that is needed.
        question: that nothing speaks against.
        purpose: what for.
        organisation: says which stores are under which node.
    """
    met = list(conditions(question.where, purpose))
    if not question.by:
        asked = sa.select(sa.func.count()).select_from(Person).where(*met)
        total = suppression.total_shown(people.scalar(asked) or 0)
        return NOTHING if total is None else Figures(total, (), hidden=False)
    counted = _counts(people, question, purpose, organisation, met)
    if len(counted) > MOST_GROUPS:
        return TOO_MANY
    total = sum(one.once for one in counted.values())
    if suppression.total_shown(total) is None:
        return NOTHING
    seen = _shown(counted, question.place)
    groups = tuple(Group(values, counted[values].people) for values in sorted(seen, key=_in_order))
    return Figures(total, groups, hidden=len(seen) < len(counted))


class _Counted(NamedTuple):
    """The people of a group; ``once``: those who are not in another one of another place too."""

    people: int
    once: int


def _in_order(values: Values) -> list[tuple[bool, str]]:
    return [(one is None, one or "") for one in values]


def _shown(counted: Mapping[Values, _Counted], at: int | None) -> set[Values]:
    """Return the groups that may be shown; ``at``: which of their values is a place, if one is."""
    order = sorted(counted, key=_in_order)
    if at is None:
        return set(suppression.shown({one: counted[one].people for one in order}, order))
    apart = {one: (one[at], (*one[:at], *one[at + 1 :])) for one in order}
    once: Counter[Values] = Counter()
    for one, (_, value) in apart.items():
        once[value] += counted[one].once
    counts = {apart[one]: counted[one].people for one in order}
    seen = suppression.shown_by_place(counts, once, [apart[one] for one in order])
    return {one for one in order if apart[one] in seen}


def _counts(
    people: People,
    question: Question,
    purpose: str,
    organisation: Organisation,
    met: Sequence[sa.ColumnElement[bool]],
) -> dict[Values, _Counted]:
    """Count the people of each group that has any; one more than ``MOST_GROUPS`` at most."""
    source: Any = Person
    first: sa.ColumnElement[bool] = sa.true()
    columns: list[sa.ColumnElement[Any]] = []
    for place, one in enumerate(question.by):
        if one.kind in _PLACES:
            places = _places(one, purpose, organisation)
            source = sa.outerjoin(Person, places, sa.true())
            first = sa.func.coalesce(places.c.nth, 1) == 1
            columns.append(places.c.place.label(f"d{place}"))
        else:
            columns.append(_value(one, purpose).label(f"d{place}"))
    counted = sa.func.count(Person.id)
    statement = (
        sa.select(*columns, counted, counted.filter(first))
        .select_from(source)
        .where(*met)
        .group_by(*(sa.text(str(place + 1)) for place in range(len(columns))))
        .limit(MOST_GROUPS + 1)
    )
    return {tuple(row[:-2]): _Counted(*row[-2:]) for row in people.execute(statement)}


def _value(one: Dimension, purpose: str) -> sa.ColumnElement[Any]:
    """What a person has in a dimension, as text."""
    name = str(one.name)
    if one.kind is Kind.TAG:
        own = tag.c.profile_id == Person.id
        return sa.select(tag.c.value).where(own, tag.c.name == name).scalar_subquery()
    if one.kind is Kind.CONSENT:
        agreed = Person.purposes.contains(sa.literal([name], ARRAY(sa.Text)))
        return sa.case((agreed, "yes"), else_="no")
    stored = attribute(name)
    known = sa.case((stored.is_not(None), is_whole(name, purpose)), else_=sa.false())
    return sa.case((known, sa.func.left(text_of(stored), LONGEST)))


def _places(one: Dimension, purpose: str, organisation: Organisation) -> Any:
    """The stores of a person that the purpose may know, or the nodes above them; each once."""
    named = sa.literal([purpose], ARRAY(sa.Text))
    statement = (
        sa.select(record.c.store.label("place"))
        .select_from(membership)
        .join(record, record.c.id == membership.c.record_id)
        .where(membership.c.profile_id == Person.id, record.c.state == ACTIVE)
        .where(record.c.purposes.contains(named), ~record.c.refused.contains(named))
        .where(record.c.store.is_not(None))
    )
    if one.kind is Kind.NODE:
        above = [
            (store, node.id)
            for node in organisation.nodes.values()
            if node.kind == one.name
            for store in sorted(organisation.stores_under(node.id))
        ]
        stores, nodes = ([pair[part] for pair in above] for part in (0, 1))
        tree = (
            sa.func.unnest(sa.literal(stores, ARRAY(sa.Text)), sa.literal(nodes, ARRAY(sa.Text)))
            .table_valued(sa.column("store", sa.Text), sa.column("node", sa.Text))
            .render_derived(name="tree")
        )
        statement = statement.join(tree, tree.c.store == record.c.store).with_only_columns(
            tree.c.node.label("place"), maintain_column_froms=True
        )
    place = statement.selected_columns.place
    nth = sa.func.row_number().over(order_by=place).label("nth")  # of each person, one is the first
    return statement.add_columns(nth).group_by(place).correlate(Person).lateral("places")
