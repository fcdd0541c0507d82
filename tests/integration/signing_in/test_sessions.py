"""Sessions: begun, found, moved, ended."""

from dataclasses import replace
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from cdp.access import accounts, sessions
from cdp.access.principals import sync_principals
from cdp.access.sessions import Begun, Found
from cdp.storage import schema
from policies.claims import Assignment
from policies.vocabulary import Role
from tests.integration.signing_in.house import House

pytestmark = pytest.mark.integration
WHO = "clerk.bj01"


def begun(house: House, who: str = WHO) -> Begun:
    with house.engine.begin() as connection:
        return sessions.begin(connection, house.keys, who, "password", house.workspace.now())


def found(house: House, one: Begun) -> Found | None:
    with house.engine.begin() as connection:
        return sessions.find(connection, house.keys, one.secret, house.workspace.now())


def test_the_secret_is_stored_nowhere(house: House) -> None:
    """Sessions 1: 256 random bits, of which the row has a keyed digest; no repr shows them."""
    one, other = begun(house), begun(house)
    assert len(bytes.fromhex(one.secret)) == 32
    assert one.secret != other.secret
    row = house.row("session", id=one.id)
    assert bytes(row.digest) == house.keys.session(one.secret)
    for text in (one.secret, one.csrf):
        assert text not in f"{row!r} {one!r}"
        assert bytes.fromhex(text) not in bytes(row.digest)
    assert one.csrf != house.keys.session(one.secret).hex()


@pytest.mark.parametrize("secret", ["", "0" * 64, "\ud800", "x" * 5000, "' OR 1=1"])
def test_what_is_no_secret_finds_nothing(house: House, secret: str) -> None:
    """Sessions 1: anything may stand in a cookie."""
    begun(house)
    with house.engine.begin() as connection:
        assert sessions.find(connection, house.keys, secret, house.workspace.now()) is None


def test_a_session_ends_when_nobody_uses_it(house: House) -> None:
    """Sessions 2: half an hour without a request; each request begins it anew."""
    one = begun(house)
    for _ in range(3):
        house.later(minutes=29)
        assert found(house, one) is not None
    house.later(minutes=30)
    assert found(house, one) is None


def test_a_session_ends_after_twelve_hours_of_use(house: House) -> None:
    """Sessions 2: however busy it is."""
    one = begun(house)
    for _ in range(35):
        house.later(minutes=20)
        assert found(house, one) is not None
    house.later(minutes=20)
    assert found(house, one) is None


def test_a_busy_session_writes_once_a_minute(house: House) -> None:
    """Sessions 2: that it was seen is kept to the minute, so that reading does not write."""
    one = begun(house)
    statements: list[str] = []
    sa.event.listen(house.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    for _ in range(5):
        found(house, one)
    assert len(statements) == 5
    house.later(minutes=1)
    for _ in range(3):
        found(house, one)
    assert sum("UPDATE" in one for one in statements) == 1


@pytest.mark.parametrize("change", ["lock", "reset", "end", "end_all"])
def test_a_session_ends_when_the_account_changes(house: House, change: str) -> None:
    """Sessions 2, accounts 3: locked, reset, or ended by somebody in charge."""
    house.enrolled(WHO)
    one, now = begun(house), house.workspace.now()
    with house.engine.begin() as connection:
        if change == "lock":
            accounts.lock(connection, WHO, now)
        elif change == "reset":
            accounts.reset(connection, house.keys, WHO, now)
        elif change == "end":
            assert sessions.end(connection, one.id, now) == WHO
            assert sessions.end(connection, one.id, now) is None
        else:
            assert sessions.end_all(connection, WHO, now) == 1
    assert found(house, one) is None
    with house.engine.begin() as connection:
        listed = sessions.list_sessions(connection, now, WHO)
    assert [(each.id, each.state) for each in listed] == [(one.id, "ended")]


def test_who_is_moved_is_moved_in_the_middle_of_a_session(house: House) -> None:
    """Sessions 3: another process syncs; the next request acts where the person works now."""
    one, declared = begun(house), house.workspace.declaration
    moved = (Assignment(Role.CLERK, "BJ02"), Assignment(Role.MANAGER, "SZ01"))
    people = {**declared.principals, WHO: replace(declared.principals[WHO], assignments=moved)}
    with house.engine.begin() as connection:
        changed = replace(declared, principals=MappingProxyType(people))
        assert len(sync_principals(connection, changed, house.workspace.now())) == 1
    now_is = found(house, one)
    assert now_is is not None
    assert now_is.standing.assignments == ("clerk@BJ02", "manager@SZ01")


def test_who_left_has_no_session_and_no_account(house: House) -> None:
    """Principals 1: whoever is no longer declared is out at once, and would have to begin anew."""
    house.enrolled(WHO)
    one, declared = begun(house), house.workspace.declaration
    people = {name: each for name, each in declared.principals.items() if name != WHO}
    with house.engine.begin() as connection:
        changed = replace(declared, principals=MappingProxyType(people))
        sync_principals(connection, changed, house.workspace.now())
    assert found(house, one) is None
    assert house.attempt(WHO) is None
    assert house.row("account", principal_id=WHO) is None
    with house.engine.begin() as connection:
        sync_principals(connection, declared, house.workspace.now())
    assert found(house, one) is None


def test_a_process_takes_only_sessions_of_its_own_role(house: House) -> None:
    """Sessions 4: who takes over a process for clerks cannot make a session for the others."""
    one = begun(house)
    with house.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL ROLE kith_counter"))
        now = house.workspace.now()
        assert sessions.find(connection, house.keys, one.secret, now) is None
        theirs = sessions.begin(connection, house.keys, "headquarters", "password", now)
        assert sessions.find(connection, house.keys, theirs.secret, now) is not None
    assert house.row("session", id=theirs.id).made_by == "kith_counter"
    assert found(house, theirs) is None


FORBIDDEN = (
    "UPDATE kith.session SET made_by = 'kith_sensitive'",
    "UPDATE kith.session SET principal_id = 'headquarters'",
    "UPDATE kith.account SET password = ''",
    "UPDATE kith.account SET totp = ''",
    "UPDATE kith.account SET enrolment = ''",
    "INSERT INTO kith.account (principal_id, totp, at) VALUES ('crm', '', now())",
    "UPDATE kith.principal SET assignments = '{headquarters@kith}'",
    "INSERT INTO kith.principal (id, assignments, at) VALUES ('x', '{clerk@BJ01}', now())",
    "UPDATE kith.api_key SET scopes = '{}'",
    "UPDATE kith.api_key SET revoked_at = NULL",
    "DELETE FROM kith.session",
)


def test_a_serving_role_may_write_only_what_signing_in_needs(house: House) -> None:
    """Roles 4: no password, no assignment, no key, and not who made a session."""
    for statement in FORBIDDEN:
        with house.engine.connect() as connection:
            connection.execute(sa.text("SET ROLE kith_contact"))
            with pytest.raises(sa.exc.ProgrammingError) as caught:
                connection.execute(sa.text(statement))
            assert caught.value.orig.pgcode == "42501", statement


def test_a_counter_process_can_let_people_in(house: House) -> None:
    """Signing in works with what the role of the database may write, and nothing more."""
    house.enrolled(WHO)

    def as_counter(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL ROLE kith_counter")

    sa.event.listen(house.engine, "begin", as_counter)
    done = house.attempt(WHO)
    again = house.attempt(WHO, code=house.recovery[WHO][0])
    sa.event.remove(house.engine, "begin", as_counter)
    assert done is not None
    assert again is not None
    assert house.row("session", id=done.session.id).made_by == "kith_counter"


def test_acting_as_another_assignment_lasts_for_the_session(house: House) -> None:
    """Sessions 5: until it is taken from them; then the first one counts again."""
    one = begun(house)
    with house.engine.begin() as connection:
        mine = sa.update(schema.principal).where(schema.principal.c.id == WHO)
        connection.execute(mine.values(assignments=["clerk@BJ01", "manager@BJ02"]))
        sessions.act_as(connection, one.id, "manager@BJ02")
    assert found(house, one).acting_as == "manager@BJ02"
    with house.engine.begin() as connection:
        connection.execute(mine.values(assignments=["clerk@BJ01"]))
    assert found(house, one).acting_as is None


def test_sessions_that_are_long_over_are_thrown_away(house: House) -> None:
    """A sync removes what ended a week ago; the log keeps that there was one."""
    one = begun(house)
    for days, kept in ((7, True), (1, False)):
        house.later(days=days)
        with house.engine.begin() as connection:
            sync_principals(connection, house.workspace.declaration, house.workspace.now())
        assert (house.row("session", id=one.id) is not None) == kept
