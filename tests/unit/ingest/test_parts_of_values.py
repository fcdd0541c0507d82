"""Features of useful parts: nicknames, heads and tails of phones, registers, own types."""

import datetime as dt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdp.ingest.features import derive
from cdp.ingest.name_features import near_keys
from cdp.ingest.normalise.latin_name import fold
from cdp.ingest.normalise.nicknames import _FORMS, formal_names
from cdp.ingest.normalise.occupation import Occupation, normalise_occupation
from cdp.ingest.values import Reading, read_record
from identity import features as declared
from identity.catalogue import shipped
from tests.unit.ingest.delivered import KEY, OTHER_KEY, features_of, record

CLUB = {
    "about": "a club number",
    "scope": "brand",
    "strength": {"wrong_share": 0.001, "because": "issued at the desk"},
    "form": {"characters": "letters_and_digits", "shortest": 4, "longest": 12},
    "blocked": {"values": ["DESK0001"]},
    "feeds": "accounts",
}
digits = st.text("0123456789", min_size=9, max_size=9)


def share(feature, one, other):
    return not set(one[feature]).isdisjoint(other[feature])


# ── nicknames ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bill Smith", "William Smith"),
        ("Liz Taylor", "Elizabeth Taylor"),
        ("Bob Brown", "Rob Brown"),
        ("Smith, Peggy", "margaret smith"),
        ("Bill Henry Jones", "William Henry Jones"),
    ],
)
def test_a_nickname_is_one_slip_from_the_name(one, other):
    """Bill Smith and William Smith have a key in common where slips have one."""
    called, written = features_of(name=one), features_of(name=other)
    assert share("name_near", called, written)
    assert share("given_near", called, written)
    assert called["name"] != written["name"]
    assert called["given"] != written["given"]


def test_a_nickname_joins_neither_surnames_nor_strangers():
    """Bill Smith is no William Jones, and no Walter Smith."""
    bill = features_of(name="Bill Smith")
    for other in ("William Jones", "Walter Smith", "Robert Smith"):
        assert not share("name_near", bill, features_of(name=other))


def test_a_han_name_has_no_nickname():
    """The list is English: a Han name gets no further key."""
    assert formal_names("小明") == ()
    assert len(features_of(name="王小明")["given_near"]) == 1


def test_every_nickname_is_spelled_as_names_are_read():
    """The list holds folded words, and no name is short for itself."""
    for given_name, forms in _FORMS.items():
        assert fold(given_name) == given_name
        assert all(fold(form) == form and form != given_name for form in forms.split())
        assert all(given_name in formal_names(form) for form in forms.split())
    assert len(_FORMS) >= 60


# ── phones ──────────────────────────────────────────────────────────────────


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789", min_size=4, max_size=15), st.data())
def test_neighbours_meet_after_one_slip_of_any_kind(text, data):
    """One deletion, insertion, mistake or exchange of neighbours leaves a key in common."""
    place = data.draw(st.integers(0, len(text) - 2))
    digit = data.draw(st.sampled_from("0123456789"))
    slipped = data.draw(
        st.sampled_from(
            [
                text[:place] + text[place + 1 :],
                text[:place] + digit + text[place:],
                text[:place] + digit + text[place + 1 :],
                text[:place] + text[place + 1] + text[place] + text[place + 2 :],
            ]
        )
    )
    assume(len(slipped) >= 4)
    one, other = near_keys("phones_near", text, KEY), near_keys("phones_near", slipped, KEY)
    assert not set(one).isdisjoint(other)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 9), digits, st.integers(1, 9))
def test_two_digits_exchanged_in_a_phone_arenear_keys(second, rest, place):
    """Invariant of the neighbourhood: an exchange needs no key of its own, the last two too."""
    number = f"1{second}{rest}"
    exchanged = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    one, other = features_of(phone=number), features_of(phone=exchanged)
    if one and other and exchanged[1] >= "3":  # neither is a filler, both are mobiles
        assert share("phones_near", one, other)


@settings(max_examples=60, deadline=None)
@given(digits, digits)
def test_head_and_tail_are_those_of_the_phone(one, other):
    """Two mobiles share the tail when their last four digits do, the head when seven do."""
    first, second = f"13{one}", f"13{other}"
    found, others = features_of(phone=first), features_of(phone=second)
    if found and others:
        assert share("phone_tail", found, others) == (first[-4:] == second[-4:])
        assert share("phone_head", found, others) == (first[:7] == second[:7])


def test_a_landline_and_a_foreign_number_have_a_head_too():
    """Country and area stand before the subscriber's own digits."""
    one, other = features_of(phone="010-62345678"), features_of(phone="010-62987654")
    assert share("phone_head", one, other)
    assert not share("phone_tail", one, other)
    abroad = features_of(phone="+1 650-253-0000")
    assert share("phone_head", abroad, features_of(phone="+1 650-253-1111"))
    assert not share("phone_head", abroad, one)


# ── registers and ID numbers ────────────────────────────────────────────────


def test_a_register_gives_occupation_birth_place_and_region():
    """What registers hold has features of its own, whatever the spelling."""
    one = features_of(occupation="Ship-Owner", birth_place="York", region="Yorkshire")
    other = features_of(occupation=" ship owner", birth_place="york", region="YORKSHIRE")
    assert one == other
    assert set(one) == {"occupation", "birth_place", "region"}
    assert "region" in features_of(address="广东省深圳市南山区科技路12号")


def test_an_id_number_gives_its_county():
    """The first six digits name the county of issue."""
    one = features_of(national_id="11010519491231002X")
    assert one["id_region"] == KEY("id_region", "110105")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Ship-Owner", "ship owner"), ("Évêque", "eveque"), ("小学 教师", "小学 教师")],
)
def test_an_occupation_is_its_words(text, answer):
    """Case, accents and punctuation do not matter."""
    assert normalise_occupation(text) == Occupation(answer)


@pytest.mark.parametrize(
    ("text", "rule"), [("", "empty"), ("te***er", "masked"), ("!!", "not_an_occupation")]
)
def test_what_is_no_occupation_has_a_rule(text, rule):
    """Each refusal names its rule."""
    assert normalise_occupation(text).rule == rule


# ── types of a workspace ────────────────────────────────────────────────────

OWN = shipped().with_types({"club_number": CLUB})


def own_features(text, scope="kith", key=KEY):
    """The features of a record that holds one club number."""
    reading = Reading(dt.date(2026, 1, 31), identifiers=OWN)
    return derive(read_record(record(club_number=[(text, scope)]), reading), key, OWN)


@settings(max_examples=60, deadline=None)
@given(st.from_regex("[A-Z][0-9]{5,10}", fullmatch=True), st.sampled_from("ab"))
def test_an_own_type_is_keyed_like_any_account(text, scope):
    """Equal values give equal features, another scope, type or key gives others."""
    found = own_features(text, scope)
    assert declared.pack(found) == declared.pack(own_features(f" {text.lower()} ", scope))
    assert not share("accounts", found, own_features(text, "elsewhere"))
    assert not share("accounts", found, own_features(text, scope, OTHER_KEY))
    assert not share("accounts", found, features_of(buyer_id=[(text, scope)]))


def club(numbers, **more):
    """The features of a record with these (number, scope), by a catalogue that says more."""
    identifiers = shipped().with_types({"club_number": CLUB | more})
    reading = Reading(dt.date(2026, 1, 31), identifiers=identifiers)
    return derive(read_record(record(club_number=numbers), reading), KEY, identifiers)


def test_a_counted_type_carries_its_limit():
    """Equal values under one limit are one key; under another limit they never meet."""
    found = club([("A1234", "kith")], most_people=3)
    assert "accounts" not in found
    assert found["counted"] == [key & ~0xFF | 3 for key in club([("A1234", "kith")])["accounts"]]
    assert not share("counted", found, club([("A1234", "kith")], most_people=4))
    assert "counted" not in club([("A1234", "kith")], feeds="none")


@pytest.mark.parametrize("feeds", ["accounts", "none"])
def test_a_unique_type_says_what_nobody_has_two_of(feeds):
    """Value and kind are keyed; another number is of the same kind, another scope is not."""
    one, same, other, elsewhere = (
        club([numbers], unique=True, feeds=feeds)
        for numbers in (("A1234", "a"), ("a 1234", "a"), ("A9999", "a"), ("A1234", "b"))
    )
    assert one["unique_ids"] == same["unique_ids"]
    assert one["unique_kinds"] == other["unique_kinds"]
    assert not share("unique_ids", one, other)
    assert not share("unique_kinds", one, elsewhere)
    assert "unique_kinds" not in club([("A1234", "a")], feeds=feeds)


def test_unique_identifiers_stay_what_they_were():
    """Pinned like the vectors of the types that ship; renewed with `features.VERSION` only."""
    found = club([("A1234", "a")], unique=True)
    assert (declared.VERSION, found["unique_kinds"], found["unique_ids"]) == (
        3, [1629179777071216540], [7570342286985214745],
    )  # fmt: skip


def test_a_record_with_two_of_what_nobody_has_two_of_speaks_for_neither():
    """It contradicts itself: only the scope in which it does not is told."""
    found = club([("A1234", "a"), ("A9999", "a"), ("A5555", "b")], unique=True)
    assert len(found["unique_kinds"]) == len(found["unique_ids"]) == 1
    assert found["unique_ids"] == club([("A5555", "b")], unique=True)["unique_ids"]


@pytest.mark.parametrize("text", ["DESK0001", "null", "0000", "C1", "C" + "1234567" * 2])
def test_what_an_own_type_refuses_is_set_aside(text):
    """Its blocked values and its form hold: the value is set aside and joins nobody."""
    reading = Reading(dt.date(2026, 1, 31), identifiers=OWN)
    values = read_record(record(club_number=[(text, "kith")]), reading)
    assert [problem.rule for problem in values.problems] in (["blocked"], ["invalid"])
    assert derive(values, KEY, OWN) == {}


@pytest.mark.parametrize("name", ["device_id", "anonymous_id", "oaid"])
def test_what_many_people_hold_is_stored_and_joins_nobody(name):
    """A device, a browser and a rotating id are kept with the record and give no feature."""
    values = read_record(record(**{name: "x-12345"}), Reading(dt.date(2026, 1, 31)))
    assert values.cells() == {name: [("x-12345", None)]}
    assert derive(values, KEY) == {}
