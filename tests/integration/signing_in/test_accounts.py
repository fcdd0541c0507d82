"""Accounts: invited, enrolled, reset, locked."""

from dataclasses import replace

import pytest

from cdp.access import accounts, keys, one_time, sessions
from cdp.access.accounts import Enrolment
from cdp.access.principals import subject_of, sync_principals
from cdp.access.signing_in import SigningIn
from cdp.errors import Refused, Stop
from cdp.keys import usage
from cdp.keys.keeping import KeyKeeper
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import one_time_code
from cdp.vault.sign_in import SignInKeys
from connectors.record import Sensitive
from tests.integration.signing_in.house import PASSWORD, QUICK, House

pytestmark = pytest.mark.integration
WHO = "clerk.bj01"


def invited(house: House, who: str = WHO) -> accounts.Invitation:
    with house.engine.begin() as connection:
        return accounts.add(connection, house.keys, who, house.workspace.now())


def seed_of(house: House, code: str, who: str = WHO):
    with house.engine.begin() as connection:
        return accounts.invited_seed(connection, house.keys, who, code, house.workspace.now())


def enrol(house: House, invitation: str, code: str, password: str = PASSWORD, who: str = WHO):
    given = Enrolment(who, invitation, Sensitive(password), code)
    with house.engine.begin() as connection:
        return accounts.enrol(connection, house.keys, given, house.workspace.now(), QUICK)


def shown(house: House, invitation: accounts.Invitation) -> str:
    """What the app shows that was set up with an invitation."""
    seed = seed_of(house, invitation.text)
    return one_time_code(seed, one_time.step_at(house.workspace.now()))


def test_an_invitation_is_good_once(house: House) -> None:
    """Accounts 1: it shows the seed until it is spent; then it is nobody's."""
    one = invited(house)
    assert seed_of(house, one.text) is not None
    code = shown(house, one)
    assert enrol(house, one.text, code) is not None
    assert seed_of(house, one.text) is None
    assert enrol(house, one.text, code, "another password") is None


def test_each_showing_draws_another_seed(house: House) -> None:
    """Accounts 1: of two who have the invitation one fails, so that it is noticed."""
    one = invited(house)
    first = shown(house, one)
    second = shown(house, one)
    assert first != second
    assert enrol(house, one.text, first) is None
    assert enrol(house, one.text, second) is not None


@pytest.mark.parametrize("how", ["garbled", "another principal", "too late", "reset"])
def test_what_is_no_invitation_enrols_nobody(house: House, how: str) -> None:
    """Accounts 1: of one principal, for a day, and ended by a newer one."""
    one = invited(house)
    text, who = one.text, WHO
    code = shown(house, one)
    if how == "garbled":
        text = text[:-1]
    elif how == "another principal":
        invited(house, "manager.bj01")
        who = "manager.bj01"
    elif how == "too late":
        house.later(hours=24)
    else:
        with house.engine.begin() as connection:
            accounts.reset(connection, house.keys, WHO, house.workspace.now())
    assert seed_of(house, text, who) is None
    assert enrol(house, text, code, who=who) is None


def test_nobody_enrols_without_proving_the_app(house: House) -> None:
    """Accounts 2: a wrong code sets nothing, and a weak password is refused with the reason."""
    one = invited(house)
    assert enrol(house, one.text, "000000") is None
    with pytest.raises(Refused, match="password_length"):
        enrol(house, one.text, shown(house, one), "short")
    assert house.row("account", principal_id=WHO).password is None
    assert enrol(house, one.text, shown(house, one)) is not None


def test_who_is_invited_only_cannot_sign_in(house: House) -> None:
    """Accounts 2: a seed without a password lets nobody in."""
    one = invited(house)
    house.seeds[WHO] = seed_of(house, one.text)
    for password in ("", PASSWORD, one.text):
        assert house.attempt(WHO, password) is None


def test_who_is_reset_begins_anew(house: House) -> None:
    """Accounts 3: neither the old password nor the old app lets in; the new ones do."""
    house.enrolled(WHO)
    with house.engine.begin() as connection:
        again = accounts.reset(connection, house.keys, WHO, house.workspace.now())
    assert house.attempt(WHO) is None
    assert enrol(house, again.text, shown(house, again), "four other words here") is not None
    old = house.seeds[WHO]
    house.later(minutes=1)
    assert house.attempt(WHO, "four other words here") is None
    house.seeds[WHO] = house.keys.open(WHO, bytes(house.row("account", principal_id=WHO).totp))
    assert old.expose() != house.seeds[WHO].expose()
    assert house.attempt(WHO, "four other words here") is not None


def test_a_lock_stays_until_it_is_taken_away(house: House) -> None:
    """Accounts 3: by somebody in charge, for as long as they say; failures are forgotten then."""
    house.enrolled(WHO)
    with house.engine.begin() as connection:
        accounts.lock(connection, WHO, house.workspace.now())
    house.later(days=30)
    for _ in range(6):
        assert house.attempt(WHO) is None
    with house.engine.begin() as connection:
        accounts.unlock(connection, house.keys, WHO)
    assert house.attempt(WHO) is not None


def test_a_lock_holds_for_keys_and_for_sessions(house: House) -> None:
    """Accounts 3: who has only keys can be locked; a session begun meanwhile is none."""
    with house.engine.begin() as connection:
        now, digests = house.workspace.now(), house.retailer.keys
        issued = keys.issue(connection, digests, "crm", now)
        accounts.lock(connection, "crm", now)
        begun = sessions.begin(connection, house.keys, "crm", "password", now)

        def lets_in() -> tuple[bool, bool]:
            by_key = keys.authenticate(connection, digests, issued.text, now)
            by_session = sessions.find(connection, house.keys, begun.secret, now)
            return by_key is not None, by_session is not None

        assert lets_in() == (False, False)
        accounts.unlock(connection, house.keys, "crm")
        assert lets_in() == (True, True)


def test_a_lock_outlives_who_left(house: House) -> None:
    """Accounts 3: struck from cdp.yaml and entered again, they are locked still."""
    with house.engine.begin() as connection:
        now, declared = house.workspace.now(), house.workspace.declaration
        accounts.lock(connection, WHO, now)
        others = {name: one for name, one in declared.principals.items() if name != WHO}
        for people in (others, declared.principals):
            sync_principals(connection, replace(declared, principals=people), now)
        accounts.add(connection, house.keys, WHO, now)
        (listed,) = accounts.list_accounts(connection, now)
    assert (listed.principal_id, listed.state) == (WHO, "locked")


def test_nothing_that_lets_in_is_stored_as_it_is(house: House) -> None:
    """Accounts 4: Argon2id, a sealed seed, keyed digests; no repr shows what is shown once."""
    one = invited(house)
    before = house.row("account", principal_id=WHO)
    assert one.text not in f"{one!r} {before!r}"
    assert bytes.fromhex(one.text) != bytes(before.enrolment)
    seed = seed_of(house, one.text)
    codes = enrol(house, one.text, shown(house, one))
    row = house.row("account", principal_id=WHO)
    assert row.password.startswith("$argon2id$")
    assert seed.expose() not in bytes(row.totp)
    assert len(row.recovery) == len(codes) == 10
    for code in codes:
        assert one_time.typed_recovery(code).encode() not in b"".join(map(bytes, row.recovery))


def test_a_seed_opens_for_its_own_principal_alone(house: House) -> None:
    """A row that is copied over another account's lets nobody in there."""
    house.enrolled(WHO)
    sealed = bytes(house.row("account", principal_id=WHO).totp)
    assert house.keys.open(WHO, sealed).expose() == house.seeds[WHO].expose()
    with pytest.raises(Stop, match="somebody else"):
        house.keys.open("headquarters", sealed)
    with pytest.raises(Stop, match="somebody else"):
        house.keys.open(WHO, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(Stop, match="cut short"):
        house.keys.open(WHO, sealed[:20])


def test_who_has_no_account_and_who_cannot_have_one(house: House) -> None:
    """Accounts 5: a service has keys; nobody has two accounts, or one without being declared."""
    for who, rule in (("crm", "service_has_keys"), ("somebody", "no_such_principal")):
        with pytest.raises((Refused, Stop), match=rule):
            invited(house, who)
    invited(house)
    with pytest.raises(Stop, match="account_exists"):
        invited(house)
    now = house.workspace.now()
    with house.engine.begin() as connection:
        for change in (
            lambda: accounts.reset(connection, house.keys, "operator", now),
            lambda: accounts.reset(connection, house.keys, "nobody", now),
        ):
            with pytest.raises(Stop, match="no_such_account"):
                change()
        for change in (
            lambda: accounts.lock(connection, "nobody", now),
            lambda: accounts.unlock(connection, house.keys, "nobody"),
        ):
            with pytest.raises(Stop, match="no_such_principal"):
                change()


def test_a_listing_says_how_each_account_stands(house: House) -> None:
    """Invited, too late, active, locked, and how many recovery codes are left."""
    invited(house, "operator")
    house.later(days=2)
    house.enrolled(WHO)
    house.enrolled("manager.bj01")
    invited(house, "compliance")
    with house.engine.begin() as connection:
        now = house.workspace.now()
        accounts.lock(connection, "manager.bj01", now)
        accounts.lock(connection, "crm", now)
        listed = accounts.list_accounts(connection, now)
    states = {one.principal_id: (one.state, one.recovery_codes) for one in listed}
    assert states == {
        WHO: ("active", 10),
        "manager.bj01": ("locked", 10),
        "compliance": ("invited", 0),
        "crm": ("locked", 0),
        "operator": ("invitation over", 0),
    }


def test_a_rotation_of_the_key_ends_sessions_and_keeps_apps(house: House) -> None:
    """Seeds open under the version that sealed them, and come under the new one at a sign-in."""
    house.enrolled(WHO)
    done = house.attempt(WHO)
    assert done is not None
    house.later(minutes=1)
    keeper = KeyKeeper(house.workspace, subject_of(house.workspace, "operator"))
    with pytest.raises(Refused, match="every session ends"):
        keeper.rotate("sign-in", confirmed=False)
    assert keeper.rotate("sign-in", confirmed=True) == 2
    rotated = replace(
        house.workspace, keyring=KeyRing.open(house.workspace.settings.key_ring, house.workspace.id)
    )
    house.keys = SignInKeys(rotated.keyring)
    house.door = SigningIn(rotated, house.keys, QUICK)
    with house.engine.begin() as connection:
        now = house.workspace.now()
        assert sessions.find(connection, house.keys, done.session.secret, now) is None
        assert usage.in_use(connection)["sign-in"] == {1: 1}
    assert house.attempt(WHO, code=house.recovery[WHO][0]) is None
    assert house.attempt(WHO) is not None
    with house.engine.begin() as connection:
        assert usage.in_use(connection)["sign-in"] == {2: 1}
    house.later(minutes=1)
    assert house.attempt(WHO) is not None
