"""Figures on a real database: counted right, and telling nothing of few."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import product

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.access import figures, suppression
from cdp.access.answers import Denial
from cdp.access.figures import NOTHING, Dimension, Figures, Kind, Question
from cdp.access.filters import HIDDEN, Criterion, Filter
from cdp.access.gate import Gate
from cdp.profiles.reader import StoredProfile
from cdp.storage import statements
from policies.decision import Subject
from tests.integration.access.crowd import NAMES, SUBJECTS, TAGS, Crowd, crowd, known, statements_of
from tests.integration.access.shop import Shop
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Group = tuple[str | None, ...]
ANALYST = Subject("ana", "analyst", "kith")
V = Dimension(Kind.ATTRIBUTE, "v")
NORTH = Subject("nora", "analyst", "north")
DIMENSIONS = [
    Dimension(Kind.STORE),
    Dimension(Kind.NODE, "region"),
    Dimension(Kind.NODE, "brand"),
    Dimension(Kind.CONSENT, "marketing"),
    *(Dimension(Kind.TAG, name) for name in TAGS),
    *(Dimension(Kind.ATTRIBUTE, name) for name in NAMES),
]


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Iterator[Crowd]:
    """One crowd for all questions."""
    engine = sa.create_engine(databases.copy(template), hide_parameters=True)
    statements.follow(engine)
    yield crowd(engine, tmp_path_factory.mktemp("crowd"), 90)
    engine.dispose()


def count(town: Crowd, subject: Subject, question: Question, purpose="analysis"):
    """The answer, in a transaction of its own."""
    with town.engine.begin() as connection:
        return town.gate.figures(connection, subject, purpose, question)


def asked(*by: Dimension, where: Filter = Filter()) -> Question:  # noqa: B008 - frozen
    """A question."""
    return Question(by, where)


def values(town: Crowd, one: StoredProfile, dimension: Dimension) -> list[str | None]:
    """The specification: what a person has in a dimension, for analysis."""
    stores = one.stores_for("analysis")
    match dimension.kind:
        case Kind.STORE:
            return list(stores) or [None]
        case Kind.NODE:
            tree = town.retailer.workspace.declaration.organisation
            nodes = [node.id for node in tree.nodes.values() if node.kind == dimension.name]
            over = [node for node in nodes if tree.stores_under(node) & set(stores)]
            return list(over) or [None]
        case Kind.TAG:
            return [town.tags.get(one.id, {}).get(str(dimension.name))]
        case Kind.CONSENT:
            return ["yes" if dimension.name in one.purposes else "no"]
        case Kind.ATTRIBUTE:
            value = known(one, str(dimension.name), "analysis")
            text = str(value).lower() if isinstance(value, bool) else value
            return [None if text is None else str(text)[:200]]


def shown_of(by: list[Dimension], held, counted: Counter[Group]) -> dict[Group, int]:
    """What the rules leave of what was counted."""
    order = sorted(counted, key=lambda group: [(one is None, one or "") for one in group])
    places = [at for at, one in enumerate(by) if one.kind in {Kind.STORE, Kind.NODE}]
    if not places:
        return suppression.shown(counted, order)
    apart = {one: (one[places[0]], without(one, places[0])) for one in order}
    once = Counter(one for each in held for one in product(*without(each, places[0])))
    counts = {apart[one]: counted[one] for one in order}
    seen = suppression.shown_by_place(counts, once, [apart[one] for one in order])
    return {one: counted[one] for one in order if apart[one] in seen}


def without(parts, at: int) -> tuple:
    """All parts but one."""
    return (*parts[:at], *parts[at + 1 :])


@given(
    subject=st.sampled_from([ANALYST, NORTH]),
    by=st.lists(st.sampled_from(DIMENSIONS), max_size=2, unique=True),
    filtered=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_groups_are_counted_one_by_one(town: Crowd, subject, by, filtered) -> None:
    """What is shown is what one counts by hand, and what is hidden what the rule hides."""
    where = Filter((Criterion("attributes", "orders", None, Decimal(-9)),) if filtered else ())
    question = asked(*by, where=where)
    answer = count(town, subject, question)
    if question.refusal() is not None:
        assert answer == question.refusal()
        return
    lister = SUBJECTS[subject.node]
    people = [town.people[one] for one in town.one_by_one(lister, "analysis", where)]
    held = [[values(town, one, dimension) for dimension in by] for one in people]
    counted = Counter(group for one in held for group in product(*one)) if by else Counter()
    if len(people) < suppression.SMALLEST:
        assert answer == NOTHING
        return
    assert answer.people == len(people)
    shown = shown_of(by, held, counted)
    assert {group.values: group.people for group in answer.groups} == shown
    assert answer.hidden == (len(shown) < len(counted))
    assert all(group.people >= suppression.SMALLEST for group in answer.groups)


def test_who_counts_sees_nobody(town: Crowd) -> None:
    """Invariant 1: an analyst lists, reads and finds nobody, and no id is in a figure."""
    for action in ("list", "read", "find", "reveal", "export"):
        for purpose in ("service", "marketing", "analysis"):
            assert town.retailer.workspace.policy.scope(ANALYST, action, purpose).stores == set()
    answer = count(town, ANALYST, asked(Dimension(Kind.CONSENT, "analysis")))
    assert isinstance(answer, Figures)
    assert answer.groups
    assert not any(one in repr(answer) for one in town.people)


def test_few_are_answered_like_nobody(town: Crowd) -> None:
    """Invariant 3: one answer, and the same statements, for nobody, one and nine."""
    found = []
    for text in ("no such grade", "a" * 300, "漢字"):
        question = asked(
            Dimension(Kind.STORE), where=Filter((Criterion("attributes", "grade", text),))
        )
        found.append(statements_of(town.engine, partial(count, town, ANALYST, question)))
    assert {answer for answer, _ in found} == {NOTHING}
    assert len({tuple(made) for _, made in found}) == 1


@pytest.mark.parametrize("field", ["phone", "name", "gender", "city", "profile_id"])
def test_nobody_counts_by_what_they_would_not_see(town: Crowd, field: str) -> None:
    """Invariant 4: whatever the value, one answer and no look."""
    for value in ("+8613900000001", "%", "", None):
        question = asked(where=Filter((Criterion(field, None, value),)))
        answer, made = statements_of(town.engine, partial(count, town, ANALYST, question))
        assert answer == HIDDEN
        assert [one.split()[0] for one in made] == ["INSERT"]
    clerk = Subject("clerk.bj01", "clerk", "BJ01")
    refused = count(town, clerk, asked(Dimension(Kind.STORE)), "service")
    assert isinstance(refused, Denial)
    assert refused.reason == "no_rule"


def test_every_question_leaves_an_event(town: Crowd) -> None:
    """Invariant 5: what was grouped and filtered by, allowed or not, empty or not."""
    clerk = Subject("clerk.bj01", "clerk", "BJ01")
    where = Filter((Criterion("tags", "lifecycle", "nothing like it"),))
    questions = [
        (ANALYST, asked(Dimension(Kind.STORE))),
        (ANALYST, asked(Dimension(Kind.ATTRIBUTE, "orders"), where=where)),
        (ANALYST, asked(Dimension(Kind.STORE), Dimension(Kind.STORE))),
        (clerk, asked()),
    ]
    for subject, question in questions:
        count(town, subject, question)
    events = town.retailer.events()[-4:]
    assert [(e["action"], e["decision"]) for e in events] == [
        ("people.count", "allow"),
        ("people.count", "allow"),
        ("people.count", "deny"),
        ("people.count", "deny"),
    ]
    assert [e["fields"] for e in events] == [["stores"], ["attributes", "tags"], ["stores"], []]


@pytest.mark.parametrize(
    "by",
    [
        [Dimension(Kind.STORE), Dimension(Kind.NODE, "region")],
        [Dimension(Kind.STORE, "BJ01")],
        [Dimension(Kind.NODE, "store")],
        [Dimension(Kind.NODE)],
        [Dimension(Kind.TAG)],
        [Dimension(Kind.TAG, "a\0b")],
        [Dimension(Kind.CONSENT, "curiosity")],
        [Dimension(Kind.TAG, name) for name in "abcd"],
    ],
)
def test_there_are_no_other_groupings(town: Crowd, by: list[Dimension]) -> None:
    """A grouping is one of a closed set."""
    assert count(town, ANALYST, asked(*by)) == figures.UNUSABLE


def test_too_many_groups_are_refused(town: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nearly names each person is not grouped by."""
    monkeypatch.setattr(figures, "MOST_GROUPS", 3)
    assert count(town, ANALYST, asked(Dimension(Kind.ATTRIBUTE, "orders"))) == figures.TOO_MANY


@pytest.mark.parametrize(
    ("of_both", "of_one", "by", "groups"),
    [
        # (SZ01, rare) = 3 was the total less (SZ01, a) and (SZ01, b), which were shown.
        ({"a": 12, "b": 12}, {"a": 3, "b": 3, "rare": 3}, [Dimension(Kind.STORE), V], {}),
        # All are of SZ01, and exactly one is not of BJ01.
        ({"a": 11}, {"a": 1}, [Dimension(Kind.STORE)], {}),
        ({"a": 11}, {"a": 1}, [Dimension(Kind.NODE, "region")], {}),
        ({"a": 11}, {"a": 11}, [Dimension(Kind.STORE)], {("BJ01",): 11, ("SZ01",): 23}),
    ],
)
def test_who_is_of_two_stores_counts_nobody_out(shop: Shop, of_both, of_one, by, groups) -> None:
    """Invariant 2: also where a condition says that all are of one store."""
    retailer = shop.retailer
    for stores, people in ((("SZ01", "BJ01"), of_both), (("SZ01",), of_one)):
        for value in Counter(people).elements():
            records = [
                retailer.record(source, {}, store=store, attributes={"v": value})
                for source, store in zip(("pos", "shop"), stores, strict=False)
            ]
            retailer.person(*records)
    where = Filter((Criterion("stores", None, "SZ01"),))
    with retailer.engine.begin() as connection:
        gate = Gate(retailer.workspace)
        answer = gate.figures(connection, ANALYST, "analysis", Question(tuple(by), where))
    assert isinstance(answer, Figures)
    assert {group.values: group.people for group in answer.groups} == groups
