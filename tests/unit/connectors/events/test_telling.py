"""What a source tells of a record: invariants of `connectors/events/telling.py`."""

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from connectors.events.telling import (
    KEPT,
    KEPT_SENSITIVE,
    MOST_DEVICES,
    Teller,
    Told,
    joined,
    stated,
)
from connectors.record import Record
from tests.unit.connectors.events.inbound import NOW, declared, event

TELLER = Teller(declared())
TRAITS = st.fixed_dictionaries(
    {},
    optional={
        "phone": st.none() | st.sampled_from(["13900000001", "13900000002"]),
        "email": st.none() | st.sampled_from(["a@example.com", "b@example.com"]),
        "name": st.none() | st.sampled_from(["张敏", "李娜"]),
        "id_number": st.none() | st.just("110105199001010000"),
        "address": st.none() | st.fixed_dictionaries({}, optional={"city": st.sampled_from("ab")}),
        "undeclared": st.just("marked"),
    },
)
MESSAGES = st.lists(
    st.tuples(TRAITS, st.integers(0, 3), st.sampled_from([None, "d1", "d2"]), st.booleans()),
    max_size=6,
)


def told(traits, second=0, device=None, number=0, **more):
    """What one identify tells, ``second`` seconds after the first."""
    at = (NOW - dt.timedelta(minutes=1) + dt.timedelta(seconds=second)).isoformat()
    sent = event(traits=traits, timestamp=at, anonymousId=device, **more)
    return TELLER.told(sent, f"{number:032x}")


def merged(parts):
    whole = Told()
    for part in parts:
        whole = whole.merged(part)
    return whole


def facts(one: Told):
    """What the record of it says, opened."""
    record = TELLER.record(1, "u1", one)
    assert isinstance(record, Record)
    fields = {
        name: [value.value.reveal(reason="test") for value in values]
        for name, values in record.fields.items()
    }
    return fields, dict(record.attributes), record.opted_out, record.unstated


@given(MESSAGES, st.randoms(use_true_random=False))
def test_order_grouping_and_repetition_do_not_matter(messages, chance):
    """Invariant 1: any order, grouping or repetition ends in the same."""
    parts = [
        TELLER.told(
            event(traits=traits, timestamp=(NOW - dt.timedelta(seconds=9 - second)).isoformat(),
                  anonymousId=device), f"{place:032x}")
        for place, (traits, second, device, _) in enumerate(messages)
    ]  # fmt: skip
    straight = merged(parts)
    shuffled = parts + chance.choices(parts, k=len(parts)) if parts else []
    chance.shuffle(shuffled)
    cut = chance.randint(0, len(shuffled))
    again = merged(shuffled[:cut]).merged(merged(shuffled[cut:]))
    assert again.encode() == straight.encode() == Told.decode(straight.encode()).encode()


@given(TRAITS, st.integers(0, 2**7 - 1), st.booleans())
def test_any_split_of_traits_gives_the_same_record(traits, mask, backwards):
    """Invariant 2: however traits are split over two messages, in either order."""
    names = sorted(traits)
    first = {n: traits[n] for place, n in enumerate(names) if mask >> place & 1}
    second = {n: traits[n] for n in names if n not in first}
    parts = [told(first, 1, number=1), told(second, 2, number=2)]
    whole = merged(parts[::-1] if backwards else parts)
    assert facts(whole) == facts(told(traits, 3, number=3))


@given(st.lists(TRAITS, max_size=5), st.permutations(range(5)))
def test_the_last_word_counts(several, order):
    """Of many messages the record says what the latest of each trait said, whichever came first."""
    parts = [told(traits, place, number=place) for place, traits in enumerate(several)]
    whole = merged(parts[place] for place in order if place < len(parts))
    last = {}
    for traits in several:
        last |= {n: v for n, v in traits.items() if n != "address"}
        if "address" in traits:
            given = traits["address"]
            last["address"] = {} if given is None else {**last.get("address", {}), **given}
    assert facts(whole) == facts(told(last))


def test_only_declared_columns_are_held():
    """Invariant 3: of what is not declared nothing is kept, also when it was declared once."""
    one = told({"undeclared": "marked", "phone": "13900000001"}, context={"ip": "marked"})
    assert "marked" not in one.encode()
    fewer = Teller(declared(fields={"email": "traits.email"}))
    record = fewer.record(1, "u1", one)
    assert "13900000001" not in joined(record.kept.values()).encode()


def test_what_was_taken_away_stays_away():
    """Invariant 4: against everything earlier, and not against what is later."""
    gone = told({"phone": None}, 2, number=2)
    assert "phone" not in facts(told({"phone": "13900000001"}, 1).merged(gone))[0]
    back = gone.merged(told({"phone": "13900000001"}, 3, number=3))
    assert facts(back)[0]["phone"] == ["13900000001"]


def test_null_for_what_holds_a_column_takes_it_away():
    """``address: null`` is null for the city; ``traits: null`` is nothing said at all."""
    city = told({"address": {"city": "北京"}}, 1)
    assert "city" not in facts(city.merged(told({"address": None}, 2, number=2)))[0]
    assert "city" in facts(city.merged(told(None, 2, number=2)))[0]


def test_devices_add_up():
    """Invariant 5: the newest twenty, in whatever order they come."""
    parts = [told({}, place, f"d{place:02}", number=place) for place in range(30)]
    for order in (parts, parts[::-1]):
        found = facts(merged(order))[0]["anonymous_id"]
        assert found == [f"d{place:02}" for place in range(30 - MOST_DEVICES, 30)]


def test_a_group_tells_its_id_alone():
    """Its traits are the group's, not the person's."""
    one = TELLER.told(event(type="group", groupId="acme", traits={"phone": "139"}), "m")
    assert facts(one)[1] == {"company": "acme"}
    assert "139" not in one.encode()


def test_whoever_is_trusted_for_ids_tells_no_trait():
    """A signed id says who it is, and nothing of what is known of them."""
    sent = event(traits={"phone": "13900000001"}, anonymousId="d1")
    assert facts(TELLER.told(sent, "m", ids_alone=True))[0] == {
        "loyalty_card": ["u1"], "anonymous_id": ["d1"],
    }  # fmt: skip


def test_set_once_gives_way_to_everything():
    """And of several the earliest counts."""

    def once(name, second):
        sent = event(traits={"name": name}, timestamp=f"2026-05-04T08:00:0{second}Z")
        object.__setattr__(sent, "once", True)
        return TELLER.told(sent, name)

    early, late = once("张敏", 1), once("李娜", 2)
    said = TELLER.told(event(traits={"name": "王芳"}, timestamp="2020-01-01T00:00:00Z"), "m")
    for order in itertools.permutations([early, late]):
        assert facts(merged(order))[0]["name"] == ["张敏"]
        assert facts(merged([*order, said]))[0]["name"] == ["王芳"]


def test_consent_is_granted_only_where_it_is_said():
    """False refuses, true grants, and nothing said grants nothing and refuses nothing."""

    def consent(**said):
        preferences = {"consent": {"categoryPreferences": said}}
        return facts(told({}, context=preferences))[2:]

    assert consent(Advertising=True, Analytics=True) == (frozenset(), frozenset())
    assert consent(Advertising=False) == (frozenset({"marketing"}), frozenset({"analysis"}))
    assert consent() == (frozenset(), frozenset({"marketing", "analysis"}))
    assert stated({"a": ("p",), "b": ("p",)}, {"a": True, "b": False})[0] == {"p"}
    assert stated({"a": ("p",), "b": ("p",)}, {"a": True})[1] == {"p"}


def test_the_sensitive_tier_is_kept_apart():
    """What is mapped to an ID number is in its own cell, and comes back with the other."""
    whole = told({"phone": "13900000001", "id_number": "110105199001010000"}, 0, "d1")
    record = TELLER.record(1, "u1", whole)
    opened = {name: one.reveal(reason="test") for name, one in record.kept.items()}
    assert "110105199001010000" not in opened[KEPT]
    assert "13900000001" not in opened[KEPT_SENSITIVE]
    assert joined(record.kept.values()).encode() == whole.encode()
    assert set(TELLER.record(1, "u1", told({})).kept) == {KEPT}
    assert record.cells is None  # they say nothing of consent: nobody may map them alone


def test_a_device_alone_has_a_record_without_a_user():
    """Its name is no loyalty card."""
    record = TELLER.record(1, "anonymous_id=d1", told({"phone": "13900000001"}, 0, "d1"))
    assert "loyalty_card" not in record.fields
    assert record.record_id.reveal(reason="test") == "anonymous_id=d1"
