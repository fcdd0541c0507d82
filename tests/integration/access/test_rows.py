"""One scope, kept twice: the session that filters, and the database behind it."""

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from cdp.access import rows
from cdp.access.rows import People, Person
from cdp.storage import roles, scopes
from cdp.storage.schema import profile, tag
from policies.decision import NOBODY, Scope
from tests.integration.access.shop import MASKED, NOBODY_ID, PHONE, Shop, fields_of

pytestmark = pytest.mark.integration
BJ01 = Scope(all=False, stores=frozenset({"BJ01"}))
OTHER = orm.aliased(Person)
INNER = sa.select(Person.id).subquery()
SELECTS = [
    sa.select(Person.id),
    sa.select(sa.func.min(Person.id)),
    sa.select(Person.id).where(Person.id.in_(sa.select(INNER.c.id))),
    sa.select(INNER.c.id),
    sa.select(sa.select(Person.id).cte().c.id),
    sa.select(Person.id).union(sa.select(sa.func.max(Person.id))),
    sa.select(INNER.c.id).select_from(Person).outerjoin(INNER, INNER.c.id > ""),
    sa.select(tag.c.profile_id).join_from(tag, Person, Person.id == tag.c.profile_id),
    sa.select(tag.c.profile_id).where(tag.c.profile_id.in_(sa.select(Person.id))),
    sa.select(sa.func.min(tag.c.profile_id))
    .outerjoin(Person, Person.id == tag.c.profile_id)
    .where(Person.id > ""),
]
OTHERWISE = [
    sa.select(OTHER.id),
    sa.select(Person.id).join(OTHER, OTHER.id == Person.id),
    sa.select(OTHER.id).select_from(Person).outerjoin(OTHER, OTHER.id > ""),
    sa.select(Person.id).where(Person.id.in_(sa.select(OTHER.id))),
    sa.select(profile.c.id),
    sa.select(sa.func.count()).select_from(profile),
    sa.select(profile.alias("p").c.id),
    sa.select(Person.id).where(Person.id.in_(sa.select(profile.c.id))),
    sa.select(Person.id).where(sa.exists().where(profile.c.id > "")),
    sa.select(Person.id, sa.select(sa.func.count()).select_from(profile).scalar_subquery()),
    sa.text("SELECT id FROM kith.profile"),
    sa.select(tag.c.profile_id),
    sa.update(Person).values(size=1),
    sa.delete(Person),
]


@pytest.mark.parametrize("statement", SELECTS, ids=range(len(SELECTS)))
def test_every_select_of_people_is_filtered(shop: Shop, statement: sa.Select) -> None:
    """Invariant 1: in subqueries, joins and unions, with no second line behind it."""
    with shop.engine.begin() as connection:  # a superuser, whom the database does not bind
        assert set(People(connection, BJ01, None).scalars(statement)) == {shop.ada}
        assert set(People(connection, NOBODY, None).scalars(statement)) <= {None}
        assert set(People(connection, BJ01, "fraud").scalars(statement)) <= {None}


@pytest.mark.parametrize("statement", OTHERWISE, ids=range(len(OTHERWISE)))
def test_no_other_statement_is_sent(shop: Shop, statement: sa.Executable) -> None:
    """Invariant 1: what the criterion cannot be added to is refused, and so is a whole row."""
    with shop.engine.begin() as connection:
        people = People(connection, Scope(all=True, stores=frozenset()), None)
        with pytest.raises(TypeError):
            people.execute(statement)
        with pytest.raises(TypeError):
            people.get(Person, shop.ada)


def test_an_empty_scope_is_false(shop: Shop) -> None:
    """Invariant 2: nobody, and not everybody."""
    assert str(rows.inside(NOBODY)) == "false"
    with shop.engine.begin() as connection:
        assert People(connection, NOBODY, None).scalars(sa.select(Person.id)).all() == []


def test_both_lines_are_told_the_same(shop: Shop) -> None:
    """Invariant 3: what `enter` returns filters, and without it the database does."""
    for scope, expected in ((BJ01, [shop.ada]), (NOBODY, [])):
        with shop.engine.begin() as connection:
            people = rows.enter(connection, shop.retailer.workspace, scope)
            assert people.scalars(sa.select(Person.id)).all() == expected
            assert list(connection.scalars(sa.select(profile.c.id))) == expected
            assert connection.scalar(sa.text("SELECT current_user")) == roles.SENSITIVE


def test_every_road_out_of_the_gate_is_narrowed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gate 10: with policy asked wrongly, the second line still hides who is elsewhere."""
    monkeypatch.setattr(type(shop.gate), "_why_not", lambda *_: None)
    assert shop.view("clerk.bj01", shop.ada) is not None
    assert shop.view("clerk.bj01", shop.far) is None
    found = shop.find("manager.bj01", "phone", PHONE)
    assert isinstance(found, list)
    assert [view.profile_id for view in found] == [shop.ada]
    monkeypatch.setattr(rows, "inside", lambda _: sa.true())
    with shop.engine.begin() as connection:
        people = shop.gate._enter(connection, shop.subject("manager.bj01"), "read", "service")
        assert list(people.scalars(sa.select(Person.id))) == [shop.ada]


def test_who_is_looked_for_elsewhere_is_named_in_the_log(shop: Shop) -> None:
    """Gate 10: the id of a person of another store is audited, and nothing else of them read."""
    assert shop.view("clerk.bj01", shop.far) is None
    assert shop.view("clerk.bj01", NOBODY_ID) is None
    denied = [(event["reason"], event["profile_id"]) for event in shop.retailer.events()]
    assert denied == [("outside_scope", shop.far), ("no_store", NOBODY_ID)]


def test_where_the_role_cannot_be_taken_the_scope_holds_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without our roles serves under the login, which the setting binds if it may."""
    monkeypatch.setattr(scopes, "LOCATOR", "kith_test_absent")
    monkeypatch.setattr(roles, "SENSITIVE", "kith_test_absent")
    assert fields_of(shop.view("clerk.bj01", shop.ada)) == MASKED
    with shop.engine.begin() as connection:
        rows.enter(connection, shop.retailer.workspace, BJ01)
        said = connection.scalar(sa.text("SELECT current_setting('kith.scope')"))
        assert said == "stores:BJ01"
