"""What a process is started as, and the keys that go with it."""

import pytest

from cdp.errors import Stop
from cdp.vault import roles
from cdp.vault.ring_document import PURPOSES

COUNTER = {"masked", "blind-index", "api-keys", "sign-in"}


@pytest.mark.parametrize(
    ("name", "purposes", "database", "opened"),
    [
        ("counter", COUNTER, "kith_counter", ()),
        ("contact", COUNTER | {"contact"}, "kith_contact", ("phone", "email", "surname")),
        ("full", set(PURPOSES), None, ("phone", "national_id", "bank_card")),
    ],
)
def test_a_role_holds_its_keys_and_no_other(name, purposes, database, opened):
    """Invariant 1: what a role holds and what it must not hold are all the purposes, once each."""
    role = roles.named(name)
    assert (role.name, role.purposes, role.database) == (name, purposes, database)
    assert role.withheld == tuple(one for one in PURPOSES if one not in purposes)
    for field in ("phone", "email", "surname", "national_id", "bank_card"):
        assert role.opens(field) == (field in opened or name == "full")


def test_only_the_full_role_signs_delivers_and_names_records():
    """Invariant 2: the other roles lack the keys with which a process speaks for the house."""
    for role in roles.ROLES.values():
        speaks = role.purposes & {"audit-signing", "webhook-secrets", "published", "records"}
        assert bool(speaks) == (role is roles.FULL)


@pytest.mark.parametrize(
    ("field", "role"), [("phone", "contact"), ("national_id", "full"), ("bank_card", "full")]
)
def test_a_reveal_is_asked_of_the_smallest_role_that_can(field, role):
    """A contact field does not need a process that holds every key."""
    assert roles.first_that_opens(field).name == role


def test_a_role_that_does_not_exist_is_refused_with_those_that_do():
    """A misspelt role starts nothing."""
    with pytest.raises(Stop) as caught:
        roles.named("clerk")
    assert str(caught.value) == "no_such_process_role; next: name one of counter, contact, full"
