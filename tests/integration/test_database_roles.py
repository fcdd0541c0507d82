"""What the group roles of the database may read, by taking them: `cdp/storage/roles.py`."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cdp.storage import migrate, roles, scopes
from cdp.storage.engine import open_engine
from cdp.vault.roles import ROLES
from tests.integration.access.processes import masked
from tests.integration.access.shop import Shop
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
POLICIES = 2 * 3 + 7 + 6 + 4  # of tiers; of the owner; of people; of who looks for them
READS = {
    "SELECT cells FROM kith_vault.masked": roles.ROLES,
    "SELECT value FROM kith_vault.blind_index WHERE field = 'phone'": roles.ROLES,
    "SELECT value FROM kith_vault.blind_index WHERE field = 'national_id'": (roles.SENSITIVE,),
    "SELECT fields FROM kith_vault.sensitive": roles.ROLES,
    "SELECT wrapped FROM kith_keys.data_key WHERE tier = 'masked'": roles.ROLES,
    "SELECT cells FROM kith_vault.contact": (roles.CONTACT, roles.SENSITIVE),
    "SELECT wrapped FROM kith_keys.data_key WHERE tier = 'contact'": (
        roles.CONTACT,
        roles.SENSITIVE,
    ),
    "SELECT cells FROM kith_vault.sensitive": (roles.SENSITIVE,),
    "SELECT wrapped FROM kith_keys.data_key WHERE tier = 'sensitive'": (roles.SENSITIVE,),
    "SELECT features FROM kith.record": (),
    "SELECT content FROM kith.record": (),
    "SELECT line FROM kith.audit_event": (),
    "SELECT sealed FROM kith.reject": (),
    "SELECT key FROM kith.block": (),
    "SELECT keys FROM kith.record_block": (),
    "SELECT * FROM kith.outbox": (),
}
WRITES = (
    "DELETE FROM kith_vault.masked",
    "UPDATE kith_vault.masked SET masking = ''",
    "INSERT INTO kith_keys.data_key VALUES (1, 'masked', 1, '')",
    "DELETE FROM kith.audit_event",
    "UPDATE kith.profile SET stores = '{BJ01}'",
    "UPDATE kith.api_key SET principal_id = 'headquarters'",
    "SET ROLE kith_sensitive",
    "RESET ROLE; SELECT cells FROM kith_vault.contact",
)


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Shop:
    """A shop with masked forms."""
    shop = Shop(engine, home)
    masked(shop)
    return shop


@pytest.fixture
def login(engine: sa.Engine) -> Iterator[sa.URL]:
    """A login that is nobody yet."""
    name = f"kith_test_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN PASSWORD 'made-up' NOINHERIT"))
    yield engine.url.set(username=name, password="made-up")
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP ROLE {name}"))


def connected(login: sa.URL, role: str, folder: Path) -> sa.Engine:
    """What a process in that role connects with."""
    return open_engine(login.render_as_string(hide_password=False), folder, role)


def grant(engine: sa.Engine, login: sa.URL, role: str) -> None:
    """Make the login a member of the role, and of nothing else."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"GRANT {role} TO {login.username}"))


def read(engine: sa.Engine, text: str) -> int | None:
    """How many rows that gives; None: not allowed."""
    try:
        with engine.connect() as connection:
            # Whose people a role meets is another matter: see test_people_rows.py.
            connection.execute(sa.text("SELECT set_config('kith.scope', 'everybody', true)"))
            return len(connection.execute(sa.text(text)).all())
    except sa.exc.ProgrammingError as error:
        if error.orig.pgcode != "42501":
            raise
        return None


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_reads_its_tiers_and_no_other(shop: Shop, login: sa.URL, role, tmp_path) -> None:
    """Roles 1 to 3: a login that is a member reads the cells and keys of its tiers alone."""
    grant(shop.engine, login, role)
    engine = connected(login, role, tmp_path)
    for text, may in READS.items():
        rows = read(engine, text)
        if role in may:
            assert rows, text
        else:
            assert not rows, text
    engine.dispose()


@pytest.mark.parametrize("role", roles.ROLES[:2])
def test_a_role_writes_nothing_but_events(shop: Shop, login: sa.URL, role, tmp_path) -> None:
    """Roles 4: no member changes or deletes anything, or becomes more by asking."""
    grant(shop.engine, login, role)
    engine = connected(login, role, tmp_path)
    for text in WRITES:
        with engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError) as caught:
            connection.execute(sa.text(text))
        assert caught.value.orig.pgcode == "42501", text
    engine.dispose()


def test_without_the_role_a_login_reads_nothing(shop: Shop, login: sa.URL, tmp_path) -> None:
    """A login that is no member does not take the role, and is told so by the database."""
    engine = connected(login, roles.COUNTER, tmp_path)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT current_user")) == login.username
        assert not roles.may_take(connection, roles.COUNTER)
    assert read(engine, "SELECT cells FROM kith_vault.masked") is None
    engine.dispose()


def test_every_connection_of_a_process_takes_the_role(shop: Shop, tmp_path: Path) -> None:
    """Also the owner's own login works as the role, on every connection of the pool."""
    url = shop.engine.url.render_as_string(hide_password=False)
    engine = open_engine(url, tmp_path, roles.COUNTER)
    several = [engine.connect() for _ in range(3)]
    taken = {one.scalar(sa.text("SELECT current_user")) for one in several}
    for one in several:
        one.close()
    engine.dispose()
    assert taken == {roles.COUNTER}
    assert {one.database for one in ROLES.values()} == {roles.COUNTER, roles.CONTACT, None}


def test_databases_of_one_server_make_a_role_at_the_same_time(server: sa.URL) -> None:
    """Roles belong to the server: who is second finds that the role is there, and goes on."""
    role, made = f"kith_test_{secrets.token_hex(4)}", []
    with Databases(server) as databases:
        first, second = (sa.create_engine(databases.copy(None)) for _ in range(2))

        def follow() -> None:
            with second.begin() as connection:
                made.append(roles._create(connection, role))

        thread = threading.Thread(target=follow)
        with first.begin() as connection:
            assert roles._create(connection, role)
            thread.start()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while not connection.scalar(sa.text(waiting)):
                connection.execute(sa.text("SELECT pg_stat_clear_snapshot()"))
        thread.join()
        assert made == [True]
        with first.begin() as connection:
            assert roles._create(connection, role)
            connection.execute(sa.text(f"DROP ROLE {role}"))
        first.dispose()
        second.dispose()


def test_preparing_again_changes_nothing(engine: sa.Engine) -> None:
    """Grants and policies are those of one preparation, however often it runs."""
    kept = "SELECT policyname, tablename, qual FROM pg_policies ORDER BY 1, 2"
    with engine.begin() as connection:
        before = connection.execute(sa.text(kept)).all()
        roles.prepare(connection)
        assert connection.execute(sa.text(kept)).all() == before
    named = {"kith_owner", "kith_people", scopes.LOCATOR, *roles.ROLES}
    assert {row.policyname for row in before} == named
    assert len(before) == POLICIES


def test_who_may_not_make_roles_goes_on_without(
    server: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without the right to make roles migrates all the same, and is told which lack."""
    lacking = tuple(f"{name}_{secrets.token_hex(3)}" for name in roles.ROLES)
    monkeypatch.setattr(roles, "ROLES", lacking)
    owner = f"kith_test_{secrets.token_hex(4)}"
    with Databases(server) as databases:
        url = make_url(databases.copy(None))
        administrator = sa.create_engine(url)
        with administrator.begin() as connection:
            connection.execute(sa.text(f"CREATE ROLE {owner} LOGIN PASSWORD 'made-up'"))
            connection.execute(sa.text(f"GRANT CREATE ON DATABASE {url.database} TO {owner}"))
        engine = sa.create_engine(url.set(username=owner, password="made-up"))
        migrate.upgrade(engine)
        assert migrate.is_current(engine)
        with engine.connect() as connection:
            assert roles.absent(connection) == tuple(sorted(lacking))
        engine.dispose()
        with administrator.begin() as connection:
            connection.execute(sa.text(f"DROP OWNED BY {owner}"))
            connection.execute(sa.text(f"DROP ROLE {owner}"))
        administrator.dispose()
