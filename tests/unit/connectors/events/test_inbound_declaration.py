"""What is declared of a source whose rows are sent, and what is kept of an event."""

import pytest

from connectors.errors import DeclarationError
from connectors.events.event import Kind
from connectors.events.keeping import NOT_DECLARED, Keeper
from tests.unit.connectors.events.inbound import ENTRY, declared, event


def test_a_declared_inbound():
    """Nothing but the key and the trust is needed."""
    inbound = declared().inbound
    assert inbound.kept(Kind.TRACK, "Order Completed").name == "Order Completed"
    assert inbound.kept(Kind.PAGE, "any").name == "Page viewed"
    assert inbound.kept(Kind.SCREEN, "any") is inbound.kept(Kind.TRACK, "other") is None
    least = dict.fromkeys(ENTRY) | {k: ENTRY[k] for k in ("connector", "trust", "credentials")}
    assert declared(**least).inbound.most_per_second is None
    assert declared(**least | {"trust": "events"}).inbound.most_per_second == 1000


@pytest.mark.parametrize(
    ("changes", "rule", "field"),
    [
        ({"trust": None}, "key_missing", "trust"),
        ({"trust": "all"}, "not_one_of", "trust"),
        ({"credentials": None}, "key_missing", "credentials"),
        ({"credentials": {"key": "env:SOURCE_K"}}, "key_missing", "credentials"),
        ({"credentials": {"write_key": "env:SOURCE_K", "x": "env:SOURCE_X"}},
         "credential_not_used", "credentials.x"),
        ({"credentials": {"write_key": "s3cret"}}, "wrong_form", "credentials.write_key"),
        ({"location": "x"}, "key_not_for_connector", "location"),
        ({"record_id": "userId"}, "key_not_for_connector", "record_id"),
        ({"origins": ["shop.example.com"]}, "wrong_form", "origins[0]"),
        ({"origins": ["https://shop.example.com/"]}, "wrong_form", "origins[0]"),
        ({"most_per_second": 0}, "too_small", "most_per_second"),
        ({"keep_events": 0}, "too_small", "keep_events"),
        ({"connector": "sensors"}, "consent_not_sent", "consent_categories"),
        ({"connector": "cloudevents"}, "consent_not_sent", "consent_categories"),
        ({"consent_categories": {"A": ["legal"]}}, "purpose_not_granted", "consent_categories.A"),
        ({"events": {"a": {"kind": "page"}, "b": {"kind": "page"}}}, "kind_twice", "events"),
        ({"events": {"a": {"kind": "identify"}}}, "not_one_of", "events.a.kind"),
        ({"events": {"a": {"properties": {"x": {"column": "c", "type": "text"}}}}},
         "not_one_of", "events.a.properties.x.type"),
        ({"events": {"a": {"properties": {
            "x": {"column": "c", "type": "integer", "formats": ["%Y"]}}}}},
         "formats_without_date", "events.a.properties.x"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(changes, rule, field):
    """Path, rule and next step, and never a secret."""
    with pytest.raises(DeclarationError) as caught:
        declared(**changes)
    assert (caught.value.rule, caught.value.field) == (rule, field)
    assert "s3cret" not in str(caught.value)


def test_how_long_events_are_kept_changes_no_record():
    """Thirteen months unless it is said; the digest, by which records are known, stays."""
    assert (declared().keep_events, declared(keep_events=30).keep_events) == (400, 30)
    assert declared(keep_events=30).digest() == declared().digest()


def test_a_file_has_none_of_it():
    """And must say where it lies."""
    entry = {"connector": "jsonl", "location": "a", "record_id": "id", "credentials": None}
    none = dict.fromkeys(("trust", "events", "consent_categories"))
    assert declared(**none | entry).inbound is None
    for wrong in ({"trust": "events"}, {"location": None}, {"keep_events": 30}):
        with pytest.raises(DeclarationError):
            declared(**none | entry | wrong)


def test_only_declared_properties_of_their_type_are_kept():
    """What is left out is counted by rule."""
    keeper = Keeper(declared().inbound.events["Order Completed"])
    sent = event(
        type="track",
        event="Order Completed",
        properties={"total": 12.50, "phone": "13912346789", "name": "x"},
        context={"campaign": {"name": "spring"}},
    )
    kept = keeper.kept(sent)
    assert kept.properties == {"total": "12.5", "campaign": "spring"}
    assert kept.left_out == (NOT_DECLARED, NOT_DECLARED)
    assert "13912346789" not in repr(kept)
    wrong = event(type="track", event="Order Completed", properties={"total": "12 yuan"})
    assert (keeper.kept(wrong).properties, keeper.kept(wrong).left_out) == ({}, ("not_decimal",))
    listed = event(type="track", event="Order Completed", properties={"total": [1]})
    assert keeper.kept(listed).left_out == ("not_plain",)
    empty = event(type="track", event="Order Completed", properties={"total": None})
    assert keeper.kept(empty).left_out == ()
