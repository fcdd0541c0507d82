"""Lists of people on a real database: whom a filter meets, and what nobody learns by asking."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import pairwise, product

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.access.answers import Denial, Page
from cdp.access.cursors import Cursors
from cdp.access.filters import HIDDEN, MOST, UNUSABLE, Criterion, Filter
from cdp.access.gate import LARGEST_PAGE
from cdp.access.listing import Listing
from cdp.storage import statements
from policies.decision import Subject
from tests.integration.access.crowd import (
    CONSENTS,
    NAMES,
    NASTY,
    STORES,
    SUBJECTS,
    TAGS,
    VALUES,
    Crowd,
    as_number,
    crowd,
    known,
    statements_of,
)
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
PURPOSES = ("service", "marketing", "analysis")
KITH = SUBJECTS["kith"]
NUMBERS = st.decimals(-10, 2000, places=1) | st.sampled_from([Decimal(5), Decimal("1280.5")])
CRITERIA = st.one_of(
    st.builds(Criterion, st.just("tags"), st.sampled_from(TAGS), st.sampled_from(NASTY)),
    st.builds(
        lambda store: Criterion("stores", None, store),
        st.sampled_from([store for store in STORES if store is not None]) | st.text(max_size=3),
    ),
    st.builds(Criterion, st.just("attributes"), st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.builds(
        lambda name, least, most: Criterion("attributes", name, None, least, most),
        st.sampled_from(NAMES),
        NUMBERS,
        st.none() | NUMBERS,
    ),
)
FILTERS = st.builds(
    Filter,
    st.lists(CRITERIA, max_size=2).map(tuple),
    st.sampled_from([(), ("marketing",), *CONSENTS]),
)


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Iterator[Crowd]:
    """One crowd for all questions."""
    engine = sa.create_engine(databases.copy(template), hide_parameters=True)
    statements.follow(engine)
    yield crowd(engine, tmp_path_factory.mktemp("crowd"))
    engine.dispose()


# ── whom a filter meets ─────────────────────────────────────────────────────


@given(
    subject=st.sampled_from(list(SUBJECTS.values())),
    purpose=st.sampled_from(PURPOSES),
    where=FILTERS,
    by=st.none() | st.sampled_from(NAMES),
    descending=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_is_those_who_pass_one_by_one(
    town: Crowd, subject: Subject, purpose: str, where: Filter, by, descending
) -> None:
    """Filters 2 and 3: each once, whatever the values hold, whatever the order."""
    listing = Listing(where, by, descending)
    expected = town.one_by_one(subject, purpose, where)
    found = town.listed(subject, purpose, listing, 50)
    assert sorted(found) == sorted(expected)
    if by is None:
        assert found == sorted(found)


@pytest.mark.parametrize(("name", "descending"), list(product(NAMES, (False, True))))
def test_an_order_holds_over_pages(town: Crowd, name: str, descending) -> None:
    """Numbers, then texts, then those without; equal values by id; pages of three fit together."""

    def place(profile_id: str) -> tuple[int, Decimal, bytes]:
        value = known(town.people[profile_id], name, "service")
        number = as_number(value)
        if number is not None:
            return 0, number, b""
        if value is None:
            return 2, Decimal(0), b""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return 1, Decimal(0), text[:200].encode()

    found = town.listed(KITH, "service", Listing(by=name, descending=descending), 3)
    assert sorted(found) == sorted(town.one_by_one(KITH, "service", Filter()))
    places = [(place(one), one) for one in found]
    for (one, first), (other, second) in pairwise(places):
        assert one[0] <= other[0]
        if one == other:
            assert first < second
        elif one[0] == other[0]:
            assert (one > other) == descending


def test_every_value_is_found_by_itself(town: Crowd) -> None:
    """No filter of the crowd is empty by accident: what is stored can be asked for."""
    found = [
        town.listed(KITH, "service", Listing(Filter((Criterion("attributes", name, value),))), 50)
        for name, value in product(NAMES, VALUES)
    ]
    assert sum(map(len, found)) > len(VALUES)
    assert town.listed(KITH, "service", Listing(Filter((Criterion("stores", None, "%"),))), 50)


@pytest.mark.parametrize("hostile", ["\0", "\ud800", "a\0b"])
def test_what_cannot_be_stored_nobody_has(town: Crowd, hostile: str) -> None:
    """A text that the database cannot hold meets nobody and breaks nothing."""
    for one in (
        Criterion("tags", "lifecycle", hostile),
        Criterion("tags", hostile, "active"),
        Criterion("attributes", hostile, None, Decimal(0)),
        Criterion("stores", None, hostile),
    ):
        assert town.listed(KITH, "service", Listing(Filter((one,)))) == []


# ── what a cursor is good for ───────────────────────────────────────────────


def test_a_cursor_is_good_for_its_question_alone(town: Crowd) -> None:
    """It is bound to subject, node, purpose, filter, order and policy."""
    where = Filter((Criterion("attributes", "orders", None, Decimal(0)),))
    listing = Listing(where, "orders")
    first = town.page(KITH, "service", None, 2, listing)
    assert isinstance(first, Page)
    assert first.after is not None
    assert isinstance(town.page(KITH, "service", first.after, 2, listing), Page)
    others = [
        (replace(KITH, id="somebody"), "service", listing),
        (replace(KITH, node="north"), "service", listing),
        (KITH, "marketing", listing),
        (KITH, "service", replace(listing, descending=True)),
        (KITH, "service", replace(listing, by="grade")),
        (KITH, "service", replace(listing, by=None)),
        (KITH, "service", replace(listing, where=Filter())),
        (KITH, "service", replace(listing, where=Filter(where.criteria, ("marketing",)))),
    ]
    for subject, purpose, other in others:
        denial = town.page(subject, purpose, first.after, 2, other)
        assert isinstance(denial, Denial)
        assert denial.reason == "cursor_unusable"
    forged = Cursors(town.retailer.workspace.keyring).made(b"", (0, "5", "", "p"))
    for text in ("", "p0000000000000000000z", forged, first.after[:-1], "é", "=" * 40):
        denial = town.page(KITH, "service", text, 2, listing)
        assert isinstance(denial, Denial)
        assert text not in denial.sentence or not text


def test_a_page_has_at_most_so_many(town: Crowd) -> None:
    """A limit from outside is kept within bounds."""
    for limit, most in ((-5, 1), (0, 1), (3, 3), (10**6, LARGEST_PAGE)):
        page = town.page(KITH, "service", None, limit)
        assert isinstance(page, Page)
        assert 1 <= len(page.people) <= most


# ── what nobody learns ──────────────────────────────────────────────────────

VIEWED = ("phone", "name", "email", "national_id", "birth_date", "note", "evidence")


@pytest.mark.parametrize("field", VIEWED)
def test_a_masked_field_answers_nothing(town: Crowd, field: str) -> None:
    """Filters 1: real values, prefixes, ranges, wildcards and nonsense get one answer.

    And the database is asked for nothing: the only statement is that of the event.
    """
    asked = [
        Criterion(field, None, "+8613900000001"), Criterion(field, None, "+86139%"),
        Criterion(field, None, "+86138"), Criterion(field, "x", "1"), Criterion(field, None, ""),
        Criterion(field, None, None, Decimal(0), Decimal(9)), Criterion(field, None, 1),
        Criterion(field, None, "\0"), Criterion(field),
    ]  # fmt: skip
    for purpose, one in product(PURPOSES, asked):
        listing = Listing(Filter((one, Criterion("tags", "lifecycle", "all"))))
        answer, made = statements_of(
            town.engine, partial(town.page, KITH, purpose, None, 1, listing)
        )
        assert answer == HIDDEN
        assert len(made) == 1
        assert made[0].startswith("INSERT INTO kith.audit_event")
    last = town.retailer.events()[-1]
    assert (last["decision"], last["reason"]) == ("deny", "field_not_clear")
    assert field in last["fields"]


def test_who_sees_no_attributes_filters_and_orders_by_none(town: Crowd) -> None:
    """Filters 1: a service whose contract leaves them out, and a clerk, who lists nobody."""
    clerk = Subject("clerk.bj01", "clerk", "BJ01")
    for listing in (
        Listing(),
        Listing(by="orders"),
        Listing(Filter((Criterion("attributes", "orders", 5),))),
        Listing(Filter((Criterion("phone", None, "+8613900000001"),))),
        Listing(Filter((Criterion("phone", None, "no such"),))),
    ):
        answers = {town.page(clerk, purpose, None, 5, listing) for purpose in PURPOSES}
        assert {answer.reason for answer in answers if isinstance(answer, Denial)} == {"no_rule"}
        assert len(answers) == 1


@pytest.mark.parametrize(
    "one",
    [
        Criterion("tags", None, "active"),
        Criterion("tags", "lifecycle"),
        Criterion("tags", "lifecycle", 5),
        Criterion("tags", "lifecycle", None, Decimal(1)),
        Criterion("stores", "BJ01", "BJ01"),
        Criterion("stores", None, None, Decimal(1)),
        Criterion("attributes", None, 5),
        Criterion("attributes", "orders"),
        Criterion("attributes", "orders", 5, Decimal(1)),
        Criterion("attributes", "orders", None, Decimal("NaN")),
        Criterion("attributes", "orders", None, None, Decimal("Infinity")),
        Criterion("profile_id", None, "p0000000000000000000z"),
    ],
)
def test_there_are_no_other_filters(town: Crowd, one: Criterion) -> None:
    """What is clear and no filter all the same is refused as such."""
    assert town.page(KITH, "service", None, 5, Listing(Filter((one,)))) == UNUSABLE


def test_there_are_not_any_number_of_filters(town: Crowd) -> None:
    """A question has an end."""
    one = Criterion("tags", "lifecycle", "all")
    assert isinstance(town.page(KITH, "service", None, 5, Listing(Filter((one,) * MOST))), Page)
    assert town.page(KITH, "service", None, 5, Listing(Filter((one,) * (MOST + 1)))) == UNUSABLE


def test_equal_work_for_nobody_and_for_nobody_of_yours(town: Crowd) -> None:
    """Who is elsewhere and who does not exist: the same statements, the same answer."""
    elsewhere = Listing(Filter((Criterion("stores", None, "SZ01"),)))
    nowhere = Listing(Filter((Criterion("stores", None, "XX99"),)))
    north = SUBJECTS["empty"]
    made = []
    for listing in (elsewhere, nowhere):
        asked = partial(town.page, north, "service", None, 9, listing)
        answer, statements_made = statements_of(town.engine, asked)
        assert answer == Page((), None)
        made.append(statements_made)
    assert made[0] == made[1]
    assert [event["action"] for event in town.retailer.events()[-2:]] == ["profile.search"] * 2


def test_no_value_is_in_the_log(town: Crowd) -> None:
    """The event of a search names the fields, and nothing of what was asked of them."""
    where = Filter((Criterion("attributes", "orders", "canary-5501"),))
    town.listed(KITH, "service", Listing(where, "grade"))
    last = town.retailer.events()[-1]
    assert (last["action"], last["fields"]) == ("profile.search", ["attributes"])
    assert "canary" not in str(last)
    assert "canary" not in repr(where)
