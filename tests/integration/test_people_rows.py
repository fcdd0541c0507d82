"""Whose people a transaction sees, tried as the application role: `cdp/storage/scopes.py`."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.ingest.sync import sync
from cdp.storage import migrate, roles, scopes, statements
from cdp.storage.bulk import FEW
from cdp.storage.engine import open_engine
from cdp.storage.schema import tag
from tests.integration.access.processes import masked
from tests.integration.access.shop import Shop
from tests.integration.retailer import NOW
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
PEOPLE = ("kith.profile", "kith.membership", "kith.record", "kith_keys.data_key")
COUNTS = {table: f"SELECT count(*) FROM {table}" for table in (*PEOPLE, "kith.tag")}
NOBODY = dict.fromkeys(COUNTS, 0)


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Shop:
    """A shop of two people, each with a tag and masked forms."""
    shop = Shop(engine, home)
    masked(shop)
    with engine.begin() as connection:
        values = {"name": "lifecycle", "value": "new", "rule_version": "1", "at": NOW}
        connection.execute(tag.insert().values(profile_id=shop.far, **values))
    return shop


@pytest.fixture
def login(engine: sa.Engine) -> Iterator[sa.URL]:
    """A login of the application: a member of the role with the most, and of nothing else."""
    name = f"kith_test_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN PASSWORD 'made-up'"))
        connection.execute(sa.text(f"GRANT {roles.SENSITIVE} TO {name}"))
    yield engine.url.set(username=name, password="made-up")
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP ROLE {name}"))


@pytest.fixture
def app(login: sa.URL, tmp_path: Path) -> Iterator[sa.Engine]:
    """What a serving process connects with."""
    url = login.render_as_string(hide_password=False)
    engine = open_engine(url, tmp_path, roles.SENSITIVE)
    yield engine
    engine.dispose()


def say(connection: sa.Connection, text: str, *, local: bool = True) -> None:
    """Say a scope, whatever it is."""
    statement = sa.text("SELECT set_config('kith.scope', :text, :local)")
    connection.execute(statement, {"text": text, "local": local})


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many rows of each table are seen."""
    return {table: connection.scalar(sa.text(text)) for table, text in COUNTS.items()}


def seen(connection: sa.Connection) -> list[str]:
    """Who is seen, by a query that forgot every filter."""
    return list(connection.scalars(sa.text("SELECT id FROM kith.profile ORDER BY id")))


def refused(connection: sa.Connection, text: str) -> str:
    """The code with which the database refuses a statement."""
    with pytest.raises(sa.exc.DBAPIError) as caught, connection.begin_nested():
        connection.execute(sa.text(text))
    return str(caught.value.orig.pgcode)


# ── nobody ──────────────────────────────────────────────────────────────────


def test_who_says_nothing_sees_nobody(shop: Shop, app: sa.Engine, login: sa.URL) -> None:
    """Invariants 1 and 2: also not by what pipelines say when they connect."""
    with app.connect() as connection:
        assert connection.scalar(sa.text("SELECT current_setting('kith.scope')")) == "all"
        assert counts(connection) == NOBODY
    plain = sa.create_engine(login)  # the role is not even taken
    with plain.connect() as connection:
        assert counts(connection) == NOBODY
        say(connection, "all")
        assert counts(connection) == NOBODY
    plain.dispose()


@pytest.mark.parametrize(
    "text",
    [
        "", "all", "ALL", "stores:", "stores", "stores:,", "BJ01", "{BJ01}", "stores:{BJ01}",
        "stores: BJ01", "stores:BJ0_", "stores:BJ%", "stores:BJ01;", "stores:bj01", "locating",
        "everybody ", "stores:ＢＪ０１", "stores:BJ01\u200f", "stores:BJ02", "all,BJ01",
        "stores:BJ01' OR '1'='1", "stores:') OR true --", "stores:all", "stores:everybody", "null",
    ],
)  # fmt: skip
def test_what_is_garbled_or_names_another_store_sees_nobody(
    shop: Shop, app: sa.Engine, text: str
) -> None:
    """Invariant 1: the setting is compared, never read as SQL or as a pattern."""
    with app.begin() as connection:
        say(connection, text)
        assert counts(connection) == NOBODY


def test_a_store_id_is_a_value_whatever_it_holds(shop: Shop, app: sa.Engine) -> None:
    """A store that is called like a word of the setting, or like SQL, is a store."""
    ids = ["all", "everybody", "o'clock", "{}", "stores:BJ01", "*"]
    with shop.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.profile SET stores = :ids"), {"ids": ids})
    for one in ids:
        with app.begin() as connection:
            scopes.narrow(connection, roles.SENSITIVE, [one], many=False)
            assert len(seen(connection)) == 2, one
    for none in ([], ["all,everybody"], [""], ["BJ01"], ["ALL"]):
        with app.begin() as connection:
            scopes.narrow(connection, roles.SENSITIVE, none, many=False)
            assert counts(connection) == NOBODY, none
    assert scopes.said(None) == "everybody"
    assert scopes.said(["b", "a,c", "", "a"]) == "stores:a,b"


# ── a scope ─────────────────────────────────────────────────────────────────


def test_a_forgotten_filter_shows_the_people_of_the_scope_alone(shop: Shop, app: sa.Engine) -> None:
    """The second line: every table of people is narrowed, without a word in the query."""
    expected = {"BJ01": (shop.ada, 2, 3), "SZ01": (shop.far, 1, 2)}
    for store, (profile_id, records, keys) in expected.items():
        with app.begin() as connection:
            scopes.narrow(connection, roles.SENSITIVE, [store], many=False)
            assert seen(connection) == [profile_id]
            found = counts(connection)
            assert found["kith.record"] == found["kith.membership"] == records
            assert found["kith.tag"] == 1
            assert found["kith_keys.data_key"] >= keys
    with app.begin() as connection:
        scopes.narrow(connection, roles.SENSITIVE, None, many=True)
        assert seen(connection) == sorted([shop.ada, shop.far])


def test_a_scope_ends_with_its_transaction(shop: Shop, app: sa.Engine) -> None:
    """Invariant 3: the next one on the same connection sees nobody again, role and all."""
    with app.connect() as connection:
        for end in (connection.commit, connection.rollback):
            scopes.narrow(connection, roles.COUNTER, ["BJ01"], many=False)
            # This login is no member of the counter's role, and keeps its own.
            assert connection.scalar(sa.text("SELECT current_user")) == roles.SENSITIVE
            assert seen(connection) == [shop.ada]
            end()
            assert counts(connection) == NOBODY
            assert connection.scalar(sa.text("SELECT current_user")) == roles.SENSITIVE
            connection.rollback()


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE kith.profile SET stores = '{BJ01}'",
        "DELETE FROM kith.tag",
        "TRUNCATE kith.tag",
        "TRUNCATE kith.profile CASCADE",
        "INSERT INTO kith.tag VALUES ('x', 'n', 'v', '1', now())",
        "ALTER TABLE kith.profile DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE kith.profile NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY kith_people ON kith.profile",
        "CREATE POLICY mine ON kith.profile USING (true)",
        "SELECT * FROM kith.profile FOR UPDATE",
        "SET LOCAL ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE VIEW kith.mine AS SELECT * FROM kith.profile",
        "SELECT features FROM kith.record",
        "COPY (SELECT id FROM kith.profile) TO '/tmp/people'",
    ],
)
def test_nothing_can_be_changed_or_taken(shop: Shop, app: sa.Engine, text: str) -> None:
    """The application role writes no person, owns nothing and becomes nobody else."""
    with app.connect() as connection:
        say(connection, "everybody")
        assert refused(connection, text) in {"42501", "42704"}  # no privilege; no such role


def test_other_ways_to_the_rows_are_narrowed_as_well(shop: Shop, app: sa.Engine) -> None:
    """Views, copies, cursors, functions, prepared statements: each sees the people of the scope."""
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(f"GRANT CREATE, TEMPORARY ON DATABASE {shop.engine.url.database} TO PUBLIC")
        )
    with app.begin() as connection:
        scopes.narrow(connection, roles.SENSITIVE, ["SZ01"], many=False)
        for text in (
            "CREATE TEMP VIEW mine AS SELECT id FROM kith.profile",
            "CREATE TEMP TABLE taken AS SELECT id FROM kith.profile",
            "CREATE FUNCTION pg_temp.peek() RETURNS SETOF text AS 'TABLE mine' LANGUAGE sql",
            "DECLARE walk CURSOR FOR SELECT id FROM kith.profile",
            "PREPARE again AS SELECT id FROM kith.profile",
        ):
            connection.execute(sa.text(text))
        for text in (
            "SELECT id FROM mine", "SELECT id FROM taken", "SELECT pg_temp.peek()",
            "FETCH ALL FROM walk", "EXECUTE again", "TABLE kith.redirect",
        ):  # fmt: skip
            expected = [] if "redirect" in text else [shop.far]
            assert list(connection.scalars(sa.text(text))) == expected, text
        scopes.narrow(connection, roles.SENSITIVE, ["BJ01"], many=False)
        for text in ("SELECT id FROM mine", "SELECT pg_temp.peek()", "EXECUTE again"):
            assert list(connection.scalars(sa.text(text))) == [shop.ada], text


def test_a_condition_that_talks_hears_of_nobody_else(shop: Shop, app: sa.Engine) -> None:
    """A function that is not leakproof runs after the policy, however cheap it claims to be."""
    with app.begin() as connection:
        scopes.narrow(connection, roles.SENSITIVE, ["SZ01"], many=False)
        connection.execute(
            sa.text(
                "CREATE FUNCTION pg_temp.talk(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001"
                " AS 'BEGIN PERFORM set_config(''kith.heard'', "
                "concat(current_setting(''kith.heard'', true), $1), true); RETURN true; END'"
            )
        )
        connection.execute(sa.text("SELECT count(*) FROM kith.profile WHERE pg_temp.talk(id)"))
        wrong = sa.text("SELECT 1 / (CASE id WHEN :id THEN 0 ELSE 1 END) FROM kith.profile")
        assert connection.execute(wrong, {"id": shop.ada}).all() == [(1,)]
        assert connection.scalar(sa.text("SELECT current_setting('kith.heard')")) == shop.far


# ── looking for somebody ────────────────────────────────────────────────────


def test_who_looks_sees_ids_and_stores_and_nothing_else(shop: Shop, app: sa.Engine) -> None:
    """Invariant 4: everybody's id, stores and purposes, and of the rest no column."""
    with app.begin() as connection:
        scopes.locate(connection)
        read = sa.text("SELECT id, stores, purposes FROM kith.profile")
        assert {row.id for row in connection.execute(read)} == {shop.ada, shop.far}
        assert connection.scalar(sa.text("SELECT current_user")) == scopes.LOCATOR
        for text in (
            "SELECT * FROM kith.profile", "SELECT attributes FROM kith.profile",
            "SELECT golden FROM kith.profile", "SELECT value FROM kith.tag",
            "SELECT attributes FROM kith.record", "SELECT wrapped FROM kith_keys.data_key",
            "SELECT cells FROM kith_vault.contact", "SELECT cells FROM kith_vault.masked",
            "INSERT INTO kith.audit_event (line) VALUES ('')",
        ):  # fmt: skip
            assert refused(connection, text) == "42501", text
        scopes.narrow(connection, roles.SENSITIVE, ["SZ01"], many=False)
        assert seen(connection) == [shop.far]


def test_only_who_looks_may_look(shop: Shop, app: sa.Engine) -> None:
    """The word alone opens nothing for another role, nor the role without the word."""
    with app.begin() as connection:
        say(connection, "locating")
        assert counts(connection) == NOBODY
        connection.execute(sa.text(f"SET LOCAL ROLE {scopes.LOCATOR}"))
        for text in ("all", "everybody", "stores:BJ01", ""):
            say(connection, text)
            assert seen(connection) == [], text


def test_a_counter_looks_by_what_it_may_look_by(
    shop: Shop, engine: sa.Engine, tmp_path: Path
) -> None:
    """A login of the counter does not reach the indexes of ID numbers by looking for people."""
    name = f"kith_test_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN PASSWORD 'made-up'"))
        connection.execute(sa.text(f"GRANT {roles.COUNTER} TO {name}"))
    url = engine.url.set(username=name, password="made-up").render_as_string(hide_password=False)
    counter = open_engine(url, tmp_path, roles.COUNTER)
    with counter.begin() as connection:
        scopes.locate(connection)
        found = connection.scalars(sa.text("SELECT DISTINCT field FROM kith_vault.blind_index"))
        assert set(found) == {"phone", "email", "loyalty_card", "openid"}
    counter.dispose()
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP ROLE {name}"))


# ── plans ───────────────────────────────────────────────────────────────────


def plan(connection: sa.Connection, text: str) -> str:
    """How the database goes about it."""
    return "\n".join(connection.scalars(sa.text(f"EXPLAIN {text}")))


def test_the_setting_is_read_once_and_the_index_on_stores_is_used(
    shop: Shop, app: sa.Engine
) -> None:
    """Invariant 6: an InitPlan for each half, and both are conditions of the index."""
    with app.begin() as connection:
        scopes.narrow(connection, roles.SENSITIVE, ["BJ01"], many=False)
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        connection.execute(sa.text("SET LOCAL enable_indexscan = off"))
        few = plan(connection, "SELECT id FROM kith.profile")
        assert few.count("InitPlan") >= 2
        assert few.count("Bitmap Index Scan on ix_profile_stores") >= 2
        assert "SubPlan" not in few
    with app.begin() as connection:
        scopes.narrow(connection, roles.SENSITIVE, None, many=True)
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        many = plan(connection, "SELECT id FROM kith.profile WHERE id > 'p' ORDER BY id LIMIT 51")
        assert "Index Scan using pk_profile" in many
        assert "Index Cond: (id > 'p'::text)" in many
        assert "Sort" not in many


# ── the owner ───────────────────────────────────────────────────────────────


def test_an_owner_who_is_no_superuser_is_bound_and_can_still_work(
    server: sa.URL, tmp_path: Path
) -> None:
    """Invariant 5: it syncs what it says ``all`` for, many rows at once, and else sees nobody."""
    owner = f"kith_test_{secrets.token_hex(4)}"
    with Databases(server) as databases:
        url = sa.make_url(databases.copy(None))
        administrator = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with administrator.connect() as connection:
            connection.execute(sa.text(f"CREATE ROLE {owner} LOGIN PASSWORD 'made-up'"))
            connection.execute(sa.text(f"ALTER DATABASE {url.database} OWNER TO {owner}"))
        own = url.set(username=owner, password="made-up")
        members = [tills.member(f"C{number}") for number in range(2 * FEW)]
        tills.write_declaration(tmp_path / "shop", tills.declaration(sources={"till": tills.TILL}))
        tills.write_till(tmp_path / "shop", members)
        shop = tills.open_shop(tmp_path / "shop", own.render_as_string(hide_password=False))
        assert sync(shop, "till").added == len(members)
        migrate.upgrade(shop.engine)
        shop.engine.dispose()
        silent = sa.create_engine(own)
        statements.follow(silent)
        with silent.begin() as connection:
            assert counts(connection) == NOBODY
            assert connection.execute(sa.text("DELETE FROM kith.record")).rowcount == 0
            say(connection, "all")
            assert counts(connection)["kith.record"] == len(members)
        silent.dispose()
        with administrator.connect() as connection:
            connection.execute(sa.text(f"ALTER DATABASE {url.database} OWNER TO CURRENT_USER"))
        cleaning = sa.create_engine(url)
        with cleaning.begin() as connection:
            connection.execute(sa.text(f"DROP OWNED BY {owner} CASCADE"))
            connection.execute(sa.text(f"DROP ROLE {owner}"))
        cleaning.dispose()
        administrator.dispose()
