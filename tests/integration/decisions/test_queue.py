"""The review queue, sorted and cut by the database: the order of looking at everything."""

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.errors import Stop
from cdp.resolution import decisions, epochs, review
from cdp.resolution.permission import Permission
from cdp.workspace import Workspace
from identity.comparisons import COMPARISONS
from policies.vocabulary import Action
from tests.integration.conftest import Learnt

pytestmark = pytest.mark.integration
PEOPLE, EDGES, DECIDED = 900, 4000, 60
_EXCLUSIVE = [at for at, one in enumerate(COMPARISONS) if one.exclusive]
_RECORDS = """
    INSERT INTO kith.record (id, source, key, content, revision, basis, purposes, refused,
        attributes, feature_version, features, first_seen_at, last_seen_at, dirty)
    SELECT i, 'app', decode(lpad(to_hex(i), 32, '0'), 'hex'), '', 1, 'x', '{}', '{}', '{}',
        1, '', now(), now(), false FROM generate_series(1, :count) AS i
"""
_PROFILES = """
    INSERT INTO kith.profile (id, anchor_id, revision, size, stores, golden, attributes,
        purposes, updated_at)
    SELECT 'p' || lpad(x.place::text, 20, '0'), x.place, 1, x.size,
        CASE x.place % 3 WHEN 0 THEN '{}' WHEN 1 THEN '{BJ01}' ELSE '{BJ01,SZ01}' END::text[],
        '{}', '{}', '{}', now()
    FROM unnest(CAST(:sizes AS integer[])) WITH ORDINALITY AS x(size, place)
"""
_MEMBERS = """
    INSERT INTO kith.membership (record_id, profile_id, since)
    SELECT r.id, 'p' || lpad((1 + (r.id - 1) % :count)::text, 20, '0'), now() FROM kith.record r
"""
_EDGE = sa.text(
    "INSERT INTO kith.edge (low_id, high_id, weight, levels, weights, epoch, direct) VALUES "
    "(:low, :high, :weight, CAST(:levels AS smallint[]), CAST(:weights AS float8[]), :epoch, true)"
)


@pytest.fixture
def busy(shop: Workspace, learnt: Learnt) -> Workspace:
    """Nine hundred people, thousands of scored pairs between them, some of them decided."""
    chance = np.random.default_rng(20)
    model = learnt.model
    records = 3 * PEOPLE
    low = chance.integers(1, records, EDGES)
    high = np.minimum(low + chance.integers(1, 9, EDGES), records)
    pairs = np.unique(np.stack((low, high), axis=1)[low < high], axis=0)
    # Steps of half a bit: many pairs are worth exactly the same.
    weights = (model.join_bits + chance.integers(-12, 6, len(pairs)) / 2).tolist()
    levels = chance.integers(-1, 4, (len(pairs), len(COMPARISONS)))
    for place in range(len(COMPARISONS)):
        levels[:, place] = np.minimum(levels[:, place], len(COMPARISONS[place].levels) - 1)
        if chance.random() < 0.7:
            levels[:, place] = np.maximum(levels[:, place], -levels[:, place])
    levels[chance.random(len(pairs)) < 0.6] = -1
    with shop.engine.begin() as connection:
        epoch = epochs.active(connection)
        assert epoch is not None
        connection.execute(sa.text(_RECORDS), {"count": records})
        sizes = chance.integers(1, 6, PEOPLE).tolist()
        connection.execute(sa.text(_PROFILES), {"sizes": sizes})
        connection.execute(sa.text(_MEMBERS), {"count": PEOPLE})
        rows = zip(pairs.tolist(), weights, levels.tolist(), strict=True)
        connection.execute(
            _EDGE,
            [
                {"low": a, "high": b, "weight": weight, "levels": told, "epoch": epoch[0],
                 "weights": [0.0] * len(told)}
                for (a, b), weight, told in rows
            ],
        )  # fmt: skip
        number = connection.execute(
            sa.text(
                "INSERT INTO kith.decision (kind, profiles, actor, reason, at) "
                "VALUES ('not_same', '{}', 'zhao', 'seen', now()) RETURNING id"
            )
        ).scalar_one()
        connection.execute(
            sa.text("INSERT INTO kith.decision_link VALUES (:d, :low, :high, 'cannot')"),
            [{"d": number, "low": a, "high": b} for a, b in pairs[:DECIDED].tolist()],
        )
    return shop


def permission(workspace: Workspace, who: str) -> Permission:
    return Permission(workspace, subject_of(workspace, who), Action.MERGE, "identity.review")


def exhaustive(workspace: Workspace, may: Permission) -> list[tuple[Any, ...]]:
    """The queue by looking at every edge and every person, one by one."""
    with workspace.engine.connect() as connection:
        epoch = epochs.active(connection)
        assert epoch is not None
        model = epoch[1]
        people = {row.id: row for row in connection.execute(sa.text("SELECT * FROM kith.profile"))}
        home = dict(
            tuple(row)
            for row in connection.execute(
                sa.text("SELECT record_id, profile_id FROM kith.membership")
            )
        )
        edges = connection.execute(sa.text("SELECT * FROM kith.edge")).all()
        judged = {(low, high) for low, high, _ in decisions.labels(connection)}
    between: dict[tuple[str, str], list[Any]] = {}
    for edge in sorted(edges, key=lambda e: (-e.weight, e.low_id, e.high_id)):
        pair = sorted((home[edge.low_id], home[edge.high_id]))
        if pair[0] != pair[1] and edge.weight >= model.suggest_bits:
            between.setdefault((pair[0], pair[1]), []).append(edge)
    for low, high in judged:
        pair = sorted((home[low], home[high]))
        between.pop((pair[0], pair[1]), None)
    found = []
    for (one, other), told in between.items():
        stores = [frozenset(people[p].stores) for p in (one, other)]
        if not all(may.reach().includes(some) for some in stores):
            continue
        differ = [
            COMPARISONS[at].name for at in _EXCLUSIVE if any(edge.levels[at] == 0 for edge in told)
        ]
        best = told[0]
        advice, reasons = review.classify(best.levels, best.weight, model, differ)
        size = people[one].size + people[other].size
        found.append((advice, size, best.weight, one, other, reasons, best.low_id, best.high_id))
    order = list(review.Advice)
    return sorted(found, key=lambda p: (order.index(p[0]), -p[1] * p[2], p[3], p[4]))


def listed(pairs: list[review.Suggestion]) -> list[tuple[Any, ...]]:
    return [
        (p.advice, p.records, p.bits, p.one, p.other, p.reasons, p.low_id, p.high_id) for p in pairs
    ]


@pytest.mark.parametrize("who", ["headquarters", "north"])
def test_pages_together_are_the_exhaustive_order(busy: Workspace, who: str) -> None:
    """Every pair once, in the order of looking at everything; nobody outside one's stores."""
    may = permission(busy, who)
    wanted = exhaustive(busy, may)
    assert len(wanted) > 500
    assert {one[0] for one in wanted} == set(review.Advice)
    with busy.engine.connect() as connection:
        assert listed(review.queue(connection, may)) == wanted
        pages: list[review.Suggestion] = []
        while page := review.queue(connection, may, 211, pages[-1].place if pages else ""):
            assert len(page) <= 211
            pages += page
    assert listed(pages) == wanted


def test_a_page_costs_the_rows_of_a_page(busy: Workspace) -> None:
    """The database hands out what is shown, however many pairs wait."""
    fetched = []

    def count(context: Any) -> None:
        fetched.append(context.rowcount)

    may = permission(busy, "headquarters")
    with busy.engine.connect() as connection:
        sa.event.listen(busy.engine, "after_cursor_execute", lambda *call: count(call[1]))
        assert len(review.queue(connection, may, 5)) == 5
    assert max(fetched) == 5


@pytest.mark.parametrize(
    "place", ["x", "1_2", "1_nan_p_p", "9_1.0_p00000000000000000001_p00000000000000000002"]
)
def test_a_place_that_was_not_handed_out_is_refused(busy: Workspace, place: str) -> None:
    """Whatever is typed as a place is read or refused."""
    with busy.engine.connect() as connection, pytest.raises(Stop, match="no_such_place"):
        review.queue(connection, permission(busy, "headquarters"), 5, place)


def test_who_may_decide_nothing_has_no_queue(busy: Workspace) -> None:
    """A clerk's queue is empty."""
    with busy.engine.connect() as connection:
        assert review.queue(connection, permission(busy, "clerk")) == []
