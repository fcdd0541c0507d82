"""What a destination may get. Each test names the invariant of `cdp/publish/contract.py`."""

import datetime as dt
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.errors import Refused, Stop
from cdp.profiles.reader import StoredProfile
from connectors.vocabulary import PUBLISHABLE_FIELDS, SENSITIVE_FIELDS
from policies.vocabulary import FieldClass, Purpose, Treatment

SERVICE = {"id": "mail.house", "role": "service", "node": "BJ01", "destination": "crm"}


def person(purposes: tuple[str, ...], stores: tuple[str, ...]) -> StoredProfile:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return StoredProfile("p" + "0" * 20, 1, 1, stores, {}, {}, purposes, now, ())


def test_a_field_is_sent_when_the_declaration_and_the_policy_agree(contracted):
    """Contract 1: What policy does not allow for the purpose is withheld, with its reason."""
    contract = contracted(fields=["profile_id", "phone", "note", "evidence", "tags"])
    assert contract.fields == ("profile_id", "phone", "tags")
    assert set(contract.treatments.values()) == {Treatment.CLEAR}
    assert {one.field: one.reason for one in contract.withheld} == {
        "note": "no_rule",
        "evidence": "no_rule",
    }


def test_a_masked_field_stays_masked(contracted):
    """Contract 1: Analysis gets the year of birth and nothing of the phone."""
    contract = contracted(purpose="analysis", fields=["profile_id", "birth_date", "phone"])
    assert contract.treatments[FieldClass.BIRTH_DATE] is Treatment.MASK
    assert [one.field for one in contract.withheld] == ["phone"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(st.sampled_from(sorted(PUBLISHABLE_FIELDS)), min_size=1, unique=True),
    purpose=st.sampled_from([purpose.value for purpose in Purpose]),
)
def test_the_sensitive_tier_is_never_sent(contracted, fields, purpose):
    """Contract 2: Whatever is declared for whatever purpose, and nothing undeclared either."""
    try:
        contract = contracted(purpose=purpose, fields=fields)
    except Refused:
        return
    assert SENSITIVE_FIELDS.isdisjoint(contract.fields)
    assert set(contract.fields) | {one.field for one in contract.withheld} == set(fields)
    assert set(contract.fields).isdisjoint(one.field for one in contract.withheld)


@pytest.mark.parametrize(
    ("purposes", "stores", "expected"),
    [
        (("marketing",), ("BJ01",), True),
        (("marketing", "service"), ("BJ01", "SZ01"), True),
        (("service", "analysis"), ("BJ01",), False),
        ((), ("BJ01",), False),
        (("marketing",), ("SZ01",), False),
        (("marketing",), (), False),
    ],
    ids=["yes", "both", "other purpose", "no purpose", "other store", "no store"],
)
def test_a_person_needs_the_purpose_and_a_store_of_the_scope(
    contracted, purposes, stores, expected
):
    """Contract 3: A destination bound to a store meets the consenting people of that store."""
    contract = contracted(principals=[SERVICE])
    assert contract.subject.id == "mail.house"
    assert contract.includes(person(purposes, stores)) is expected


def test_consent_is_needed_even_where_the_purpose_rests_on_a_contract(contracted):
    """Contract 3: Serving a member is sent only of records that were given for it."""
    contract = contracted(purpose="service", fields=["profile_id", "phone"])
    assert not contract.includes(person(("marketing",), ("BJ01",)))
    assert contract.includes(person(("service",), ()))


def test_nothing_to_send_is_refused(contracted):
    """Contract 4: An unknown purpose, or only fields that policy withholds, is an error."""
    with pytest.raises(Refused, match="unknown_purpose"):
        contracted(purpose="curiosity")
    with pytest.raises(Refused, match="nothing_may_be_sent"):
        contracted(fields=["national_id", "note"])
    with pytest.raises(Refused, match=r"message_without_profile_id.*declare profile_id") as caught:
        contracted(fields=["phone"])
    assert caught.value.where == {"destination": "crm"}
    with pytest.raises(Refused, match="policy says: no_rule, sensitive_tier") as caught:
        contracted(fields=["national_id", "note"])
    assert caught.value.where == {"destination": "crm"}


def test_terms_change_with_what_is_sent_and_to_whom(contracted):
    """Contract 5: The order of fields does not matter; a field, address or purpose does."""
    terms = contracted().terms
    assert contracted(fields=["tags", "name", "profile_id"]).terms == terms
    assert contracted(timeout=3).terms == terms
    changed = [
        contracted(fields=["profile_id", "tags"]).terms,
        contracted(location="http://127.0.0.1:9001/hook").terms,
        contracted(purpose="service").terms,
        contracted(fields=["profile_id", "name", "tags", "note"]).terms,
    ]
    assert changed[3] == terms  # a withheld field changes nothing of what is sent
    assert len({terms, *changed}) == 4


def test_terms_are_kept_as_one_text(contracted):
    """Contract 5: What is compared with what is stored is written in one way only."""
    text = contracted(location="http://127.0.0.1:9000/客户").terms
    assert text.isascii()
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text
    assert json.loads(text)["fields"] == [
        ["name", "clear"],
        ["profile_id", "clear"],
        ["tags", "clear"],
    ]


def test_whoever_is_of_another_destination_receives_nothing_of_this_one(contracted):
    """Contract 3: A service of another destination, and a person, are no receivers."""
    clerk = {"id": "ada", "role": "clerk", "node": "BJ01"}
    alone = contracted(principals=[clerk])
    assert alone.subject.id == "destination.crm"
    assert contracted(principals=[clerk, SERVICE]).subject.id == "mail.house"


def test_who_receives_is_never_guessed(declare, contracted):
    """Contract 3: With two nodes, or two brands and nobody named, the destination is refused."""
    other = {**SERVICE, "id": "mail.other", "node": "SZ01"}
    with pytest.raises(Stop, match="node_of_destination_unclear"):
        contracted(principals=[SERVICE, other])
    brands = [{"id": name, "kind": "brand", "name": name} for name in ("one", "two")]
    with pytest.raises(Stop, match="node_of_destination_unclear"):
        contracted(organisation=brands)
    assert contracted().subject.id == "destination.crm"
    assert contracted().scope.all
