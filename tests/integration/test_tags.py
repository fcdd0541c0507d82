"""Tags on a real PostgreSQL. Each test names the invariant of `cdp/tags/run.py`."""

import datetime as dt
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.storage.schema import profile, tag
from cdp.tags.ast import RuleSet
from cdp.tags.compile_sql import compiled
from cdp.tags.evaluate import Facts, evaluate
from cdp.tags.parse import parse
from cdp.tags.run import load, run

pytestmark = pytest.mark.integration

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TODAY = NOW.date()
TYPES = {"i": "integer", "d": "decimal", "t": "date", "b": "boolean", "c": "category"}


def add_people(connection: sa.Connection, people: Sequence[Mapping[str, Any]]) -> None:
    """Add one profile of one record for each set of attributes: p1, p2 and so on."""
    connection.execute(
        sa.text(
            """
            INSERT INTO kith.record (id, source, key, content, revision, basis, purposes, refused,
                attributes, feature_version, features, first_seen_at, last_seen_at, dirty)
            SELECT i, 'pos', decode(lpad(to_hex(i), 32, '0'), 'hex'), '', 1, 'x', '{}', '{}', '{}',
                1, '', :now, :now, false
              FROM generate_series(1, :count) AS i
            """
        ),
        {"count": len(people), "now": NOW},
    )
    connection.execute(
        sa.text(
            """
            INSERT INTO kith.profile (id, anchor_id, revision, size, stores, golden, attributes,
                purposes, updated_at)
            SELECT 'p' || place, place, 1, 1, '{}', '{}', one, '{}', :now
              FROM jsonb_array_elements(CAST(:people AS jsonb)) WITH ORDINALITY AS e(one, place)
            """
        ),
        {"people": json.dumps(list(people)), "now": NOW},
    )


# ── the compiler agrees with the interpreter ────────────────────────────────

_decimals = st.decimals(-1000, 1000, allow_nan=False, places=3).map(lambda d: format(d, "f"))
_days = st.dates(dt.date(2025, 1, 1), dt.date(2026, 12, 31))
_words = st.sampled_from(["gold", "silver", "金", "o'clock", "%s", ":x", "", "a\\b"])
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-5, 5),
    "d": _decimals | st.integers(-5, 5),
    "t": _days.map(dt.date.isoformat),
    "b": st.booleans(),
    "c": _words,
}
_ODD = st.sampled_from(
    [None, 1.5, 1e20, "1e3", "٣", "0x10", "+1", "1.", "", "2026-02-30", "0000-01-01", "9999-12-31"]
) | st.lists(st.integers(), max_size=1)
_people = st.lists(
    st.tuples(
        st.fixed_dictionaries({}, optional={name: v | _ODD for name, v in _VALUES.items()}),
        st.integers(1, 4),
        st.integers(0, 2),
    ),
    min_size=12,
    max_size=12,
)
_CONSTANTS: dict[str, st.SearchStrategy[Any]] = {
    "i": st.integers(-5, 5),
    "d": _decimals,
    "t": _days,
    "b": st.booleans(),
    "c": _words.filter(bool),
}


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    """One operand beside one operator."""
    name = draw(st.sampled_from([*TYPES, "since", "size", "stores_count"]))
    if name == "since":
        operand, constants = {"days_since": "t"}, st.integers(-300, 450)
    elif name in TYPES:
        operand, constants = {"attribute": name}, _CONSTANTS[name]
    else:
        operand, constants = {"profile": name}, st.integers(0, 4)
    ordered = [] if name in {"b", "c"} else [">=", ">", "<=", "<"]
    operator = draw(st.sampled_from(["==", "in", *ordered]))
    constant = draw(st.lists(constants, min_size=1, max_size=3) if operator == "in" else constants)
    return {**operand, operator: constant}


_conditions = st.recursive(
    comparisons(),
    lambda inner: (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=6,
)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    """One to three tags of one to three values."""
    tags = {
        f"tag{place}": {
            "values": [
                {"value": f"v{number}", "when": when}
                for number, when in enumerate(draw(st.lists(_conditions, min_size=1, max_size=3)))
            ],
            "otherwise": "none",
        }
        for place in range(draw(st.integers(1, 3)))
    }
    return parse({"version": 1, "attributes": TYPES, "tags": tags})


@pytest.fixture
def twelve(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Twelve profiles to write attributes into."""
    with engine.begin() as connection:
        add_people(connection, [{}] * 12)
        yield connection


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rules=rule_sets(), people=_people)
def test_the_statement_says_what_the_interpreter_says(
    twelve: sa.Connection, rules: RuleSet, people: list[tuple[dict[str, Any], int, int]]
) -> None:
    """Compiled to one statement or interpreted one by one: the same tags for the same people."""
    twelve.execute(
        sa.text(
            """
            UPDATE kith.profile AS p
               SET attributes = n.attributes, size = n.size,
                   stores = array_fill('s'::text, ARRAY[n.stores])
              FROM jsonb_to_recordset(CAST(:rows AS jsonb))
                AS n(id text, attributes jsonb, size integer, stores integer)
             WHERE p.id = n.id
            """
        ),
        {
            "rows": json.dumps(
                [
                    {"id": f"p{place}", "attributes": one, "size": size, "stores": stores}
                    for place, (one, size, stores) in enumerate(people, start=1)
                ]
            )
        },
    )
    stored = twelve.execute(
        sa.select(
            profile.c.id,
            profile.c.attributes,
            profile.c.size,
            sa.func.cardinality(profile.c.stores),
        )
    )
    expected = {
        (profile_id, name): value
        for profile_id, *parts in stored
        for name, value in evaluate(rules, Facts(*parts), TODAY).items()
    }
    found = {(one, name): value for one, name, value, _ in twelve.execute(compiled(rules, TODAY))}
    assert found == expected


# ── run ─────────────────────────────────────────────────────────────────────


def ago(days: int) -> str:
    return (TODAY - dt.timedelta(days=days)).isoformat()


PEOPLE = [
    {"total_spent": "9000.00", "orders": 3, "last_purchase": ago(3), "opened_on": ago(900)},
    {"total_spent": "20.00", "orders": 1, "last_purchase": ago(400), "opened_on": ago(900)},
    {"opened_on": ago(2)},
    {},
]


def stored_tags(engine: sa.Engine) -> dict[tuple[str, str], str]:
    with engine.connect() as connection:
        rows = connection.execute(sa.select(tag.c.profile_id, tag.c.name, tag.c.value))
        return {(one, name): value for one, name, value in rows}


def test_a_run_tags_everybody_and_a_second_one_writes_nothing(engine: sa.Engine) -> None:
    """Run 1: Only rows that differ are written, and every value is counted."""
    with engine.begin() as connection:
        add_people(connection, PEOPLE)
        first = run(connection, load(None), NOW)
    assert first.tags == {
        "lifecycle": {"new": 1, "active": 1, "dormant": 0, "lapsed": 0, "lost": 1, "unknown": 1},
        "value": {"high": 1, "middle": 0, "low": 1, "none": 2},
    }
    assert (first.added, first.changed, first.unchanged) == (8, 0, 0)
    with engine.begin() as connection:
        before = connection.execute(sa.text("SELECT xmin::text, * FROM kith.tag ORDER BY 2, 3"))
        rows = before.all()
        second = run(connection, load(None), NOW + dt.timedelta(hours=1))
        after = connection.execute(sa.text("SELECT xmin::text, * FROM kith.tag ORDER BY 2, 3"))
        assert after.all() == rows
    assert (second.added, second.changed, second.restated, second.removed) == (0, 0, 0, 0)
    assert (second.unchanged, second.tags) == (8, first.tags)


def test_a_day_that_passes_changes_only_whom_it_concerns(engine: sa.Engine) -> None:
    """Run 1: Today is an argument; the one who is no longer new is written, and no other."""
    with engine.begin() as connection:
        add_people(connection, PEOPLE)
        run(connection, load(None), NOW)
        report = run(connection, load(None), NOW + dt.timedelta(days=29))
    assert (report.changed, report.unchanged) == (1, 7)
    assert stored_tags(engine)["p3", "lifecycle"] == "active"


def test_changed_rules_restate_change_and_remove(engine: sa.Engine) -> None:
    """Run 2 and 3: A tag that is gone is removed; the version of the rule is on every row."""
    with engine.begin() as connection:
        add_people(connection, PEOPLE)
        run(connection, load(None), NOW)
        versions = set(connection.scalars(sa.select(tag.c.rule_version)))
        rules = parse(
            {
                "version": 1,
                "attributes": {"total_spent": "decimal"},
                "tags": {
                    "value": {
                        "values": [{"value": "high", "when": {"attribute": "total_spent", ">": 1}}],
                        "otherwise": "none",
                    }
                },
            }
        )
        report = run(connection, rules, NOW)
        again = set(connection.scalars(sa.select(tag.c.rule_version)))
    assert (report.added, report.changed, report.restated, report.removed) == (0, 1, 3, 4)
    assert len(versions) == 2
    assert len(again) == 1
    assert versions.isdisjoint(again)
    assert stored_tags(engine) == {
        ("p1", "value"): "high",
        ("p2", "value"): "high",
        ("p3", "value"): "none",
        ("p4", "value"): "none",
    }


def test_the_tags_of_a_profile_go_with_it(engine: sa.Engine) -> None:
    """Run 2: A profile that vanishes leaves no tag."""
    with engine.begin() as connection:
        add_people(connection, PEOPLE)
        run(connection, load(None), NOW)
        connection.execute(sa.delete(profile).where(profile.c.id == "p1"))
    assert {one for one, _ in stored_tags(engine)} == {"p2", "p3", "p4"}


def test_twenty_thousand_profiles_are_evaluated_in_seconds(engine: sa.Engine) -> None:
    """Run 4: One statement for everybody."""
    people = [
        {
            "total_spent": f"{place % 12000}.50",
            "orders": place % 40,
            "last_purchase": ago(place % 900),
            "opened_on": ago(place % 900 + 20),
        }
        for place in range(20_000)
    ]
    with engine.begin() as connection:
        add_people(connection, people)
        run(connection, load(None), NOW)
    with engine.begin() as connection:
        started = time.perf_counter()
        report = run(connection, load(None), NOW)
        seconds = time.perf_counter() - started
    assert report.unchanged == 40_000
    assert seconds < 5  # under 1 on an idle machine; this one may be shared
