"""The HTTP API: lists with filters and an order, and figures."""

import pytest

from cdp.storage import schema
from tests.integration.api.site import Site, assert_problem
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration
SEARCH, FIGURES = "/v1/profiles/search", "/v1/figures"


@pytest.fixture
def site(site: Site) -> Site:
    """The site, with thirty more people and a tag each."""
    for number in range(30):
        store = ("BJ01", "BJ02", "SZ01")[number % 3]
        person = site.retailer.person(
            site.retailer.record(
                "pos", {"name": f"金{number}"}, store=store, attributes={"orders": number}
            )
        )
        with site.retailer.engine.begin() as connection:
            connection.execute(
                schema.tag.insert().values(
                    profile_id=person,
                    name="lifecycle",
                    value="active" if number % 2 else "new",
                    rule_version="1",
                    at=NOW,
                )
            )
    return site


def test_a_list_is_filtered_ordered_and_paged(site: Site) -> None:
    """By what the caller sees clear, page after page, with a cursor that says nothing."""
    body = {
        "where": [
            {"field": "tags", "name": "lifecycle", "equals": "active"},
            {"field": "attributes", "name": "orders", "at_least": 5, "at_most": "25.0"},
        ],
        "agreed_to": ["marketing"],
        "order_by": "orders",
        "descending": True,
        "purpose": "service",
        "limit": 4,
    }
    found: list[int] = []
    while True:
        response = site.post("headquarters", SEARCH, body)
        assert response.status_code == 200, response.text
        page = response.json()
        found += [one["attributes"]["orders"] for one in page["profiles"]]
        if page["after"] is None:
            break
        body["after"] = page["after"]
    assert found == list(range(25, 4, -2))
    body["descending"] = False
    assert_problem(site.post("headquarters", SEARCH, body), 422, "cursor_unusable")


def test_a_plain_page_goes_on_with_its_cursor(site: Site) -> None:
    """The list without a filter has the same cursors, and an id is none."""
    first = site.get("headquarters", "/v1/profiles?purpose=service&limit=20").json()
    path = f"/v1/profiles?purpose=service&limit=20&after={first['after']}"
    second = site.get("headquarters", path).json()
    ids = [one["profile_id"] for one in (*first["profiles"], *second["profiles"])]
    assert ids == sorted(set(ids))
    assert len(ids) == 31
    wrong = site.get("headquarters", f"/v1/profiles?purpose=service&after={ids[0]}")
    assert_problem(wrong, 422, "cursor_unusable")


@pytest.mark.parametrize(
    ("who", "criterion", "status", "code"),
    [
        ("headquarters", {"field": "phone", "equals": "+8613912346789"}, 403, "field_not_clear"),
        ("headquarters", {"field": "phone", "equals": "%"}, 403, "field_not_clear"),
        ("headquarters", {"field": "national_id", "at_least": 1}, 403, "field_not_clear"),
        ("headquarters", {"field": "tags", "equals": "active"}, 422, "filter_unusable"),
        ("headquarters", {"field": "tags", "like": "a%"}, 422, "not_of_its_form"),
        ("headquarters", {"field": "1=1", "equals": "a"}, 422, "not_of_its_form"),
        ("headquarters", {"field": "stores", "equals": {"$ne": ""}}, 422, "not_of_its_form"),
        ("clerk.bj01", {"field": "tags", "name": "a", "equals": "b"}, 403, "no_rule"),
        ("clerk.bj01", {"field": "phone", "equals": "+8613912346789"}, 403, "no_rule"),
    ],
)
def test_what_is_not_clear_is_no_filter(
    site: Site, who: str, criterion: dict[str, object], status: int, code: str
) -> None:
    """Nothing that was sent comes back, and the answer does not depend on it."""
    response = site.post(who, SEARCH, {"where": [criterion], "purpose": "service"})
    assert_problem(response, status, code)


def test_whatever_is_sent_is_an_answer(site: Site) -> None:
    """What the database could not hold, or compare, is refused by name and never an error."""
    orders = {"field": "attributes", "name": "orders"}
    asked: list[tuple[dict[str, object], int, str | None]] = [
        ({"order_by": "\0"}, 422, "order_unusable"),
        ({"order_by": "a\0b"}, 422, "order_unusable"),
        ({"order_by": "\U0001f600"}, 200, None),
        ({"where": [{**orders, "name": "\0", "equals": 1}]}, 200, None),
        ({"where": [{**orders, "equals": "\0"}]}, 200, None),
        ({"where": [{**orders, "equals": 10**4000}]}, 200, None),
        ({"where": [{**orders, "at_least": "1E999999"}]}, 422, "filter_unusable"),
        ({"where": [{**orders, "at_most": "-1E999999"}]}, 422, "filter_unusable"),
        ({"where": [{**orders, "at_least": "0E999999"}]}, 422, "filter_unusable"),
        ({"where": [{**orders, "at_least": "1E-999999"}]}, 422, "filter_unusable"),
        ({"where": [{**orders, "at_least": "1" * 1000}]}, 422, "filter_unusable"),
        ({"where": [{**orders, "at_least": "1" * 999}]}, 200, None),
        ({"where": [{**orders, "at_least": "1E999"}]}, 200, None),
        ({"where": [{**orders, "at_least": "1E-999"}]}, 200, None),
    ]
    for parts, status, rule in asked:
        response = site.post("headquarters", SEARCH, {"purpose": "service", **parts})
        if status == 200:
            assert response.status_code == 200, (parts, response.text)
        else:
            assert_problem(response, status, rule)
        if "where" in parts:
            response = site.post("headquarters", FIGURES, {"purpose": "analysis", **parts})
            assert response.status_code == status, (parts, response.text)


def test_an_order_of_long_texts_has_a_next_page(site: Site) -> None:
    """Whatever a text is made of, its cursor is not too long to come back."""
    for number in range(2):
        mood = {"mood": "\U0001f600" * 200 + str(number)}
        site.retailer.person(site.retailer.record("pos", {}, store="BJ01", attributes=mood))
    body: dict[str, object] = {"purpose": "service", "order_by": "mood", "limit": 1}
    first = site.post("headquarters", SEARCH, body).json()
    second = site.post("headquarters", SEARCH, {**body, "after": first["after"]})
    assert second.status_code == 200, second.text
    found = [one["profile_id"] for page in (first, second.json()) for one in page["profiles"]]
    assert len(set(found)) == 2


def test_figures_hide_small_groups(site: Site) -> None:
    """A manager counts in their store, head office everywhere; nobody's id is in it."""
    question = {"by": [{"kind": "tag", "name": "lifecycle"}], "purpose": "service"}
    few = site.post("manager.bj01", FIGURES, question)
    assert few.json() == {"people": 11, "groups": [], "hidden": True}
    question = {"by": [{"kind": "store"}], "purpose": "analysis"}
    answer = site.post("headquarters", FIGURES, question).json()
    assert answer["people"] == 31
    assert {tuple(one["values"]): one["people"] for one in answer["groups"]} == {
        ("BJ01",): 11,
        ("BJ02",): 10,
        ("SZ01",): 10,
    }
    narrow = {"where": [{"field": "attributes", "name": "orders", "at_least": 29}]}
    nobody = site.post("headquarters", FIGURES, question | narrow).json()
    assert nobody == {"people": None, "groups": [], "hidden": False}
    assert_problem(site.post("clerk.bj01", FIGURES, question), 403, "no_rule")
    for by in ([{"kind": "phone"}], [{"kind": "store", "sql": "1"}]):
        refused = site.post("headquarters", FIGURES, {"by": by, "purpose": "analysis"})
        assert_problem(refused, 422, "not_of_its_form")
    same = [{"kind": "store"}, {"kind": "node", "name": "region"}]
    refused = site.post("headquarters", FIGURES, {"by": same, "purpose": "analysis"})
    assert_problem(refused, 422, "grouping_unusable")
