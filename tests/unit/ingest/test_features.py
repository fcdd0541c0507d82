"""From canonical values to keyed features; invariants of `cdp/ingest/features.py`."""

import datetime as dt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdp.ingest.features import Deriver, derive
from cdp.vault.keyed import FeatureKeyer
from identity import features as declared
from tests.unit.identity import pinned
from tests.unit.ingest.delivered import KEY, OTHER_KEY, features_of, ring, values

PINNED = pinned.load()
SURNAMES = "王李张刘陈杨赵黄周吴"
GIVEN = "伟芳娜秀敏静丽强磊军洋勇艳杰娟涛明超兰霞"
given_names = st.text(GIVEN, min_size=1, max_size=2)
latin = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9)
days = st.dates(dt.date(1930, 1, 2), dt.date(2020, 12, 31))


def share(feature, one, other):
    """Whether two records share a key of a list feature."""
    return not set(one[feature]).isdisjoint(other[feature])


# ── what is pinned ──────────────────────────────────────────────────────────


def test_the_vectors_are_of_this_version():
    """Other features need another version, so that stored ones are made anew."""
    assert PINNED["version"] == declared.VERSION


@pytest.mark.parametrize("row", PINNED["records"], ids=lambda row: row["about"])
def test_features_stay_what_they_were(row):
    """The same record under the same key has the features it had when they were pinned."""
    assert pinned.derived(row["fields"]) == row["features"]


def test_the_vectors_show_every_feature():
    """No feature can change unseen: each occurs in a pinned record.

    What only types of a workspace feed is pinned in test_parts_of_values.
    """
    seen = {name for row in PINNED["records"] for name in row["features"]}
    own = {"unique_ids", "unique_kinds"}
    assert seen == {feature.name for feature in declared.FEATURES} - own


# ── the invariants ──────────────────────────────────────────────────────────

RECORD = {
    "name": "蔡欣雨",
    "phone": ["13912346789", "13733335555"],
    "birth_date": "1990-02-07",
    "gender": "女",
    "email": "canary.bird@example.com",
    "national_id": "11010519491231002X",
    "tax_number": "91237771",
    "openid": "oAbCdEf_123456",
    "unionid": "uXyZ_98765",
    "address": "广东省深圳市南山区科技路12号",
    "postcode": "518000",
}


def test_equal_values_give_equal_features_and_another_key_gives_others():
    """Invariant 1: features tell equal from unequal, and only to the holder of one key."""
    found, again = features_of(**RECORD), features_of(**RECORD)
    elsewhere = features_of(OTHER_KEY, **RECORD)
    assert declared.pack(found) == declared.pack(again)
    assert set(found) == set(elsewhere)
    assert keys_of(found).isdisjoint(keys_of(elsewhere))


@given(st.lists(st.tuples(given_names, days, latin), min_size=1, max_size=5))
def test_what_is_remembered_changes_no_feature(people):
    """Invariant 1: a record has the same features after whichever others it comes."""
    keyer = FeatureKeyer(ring())
    many = Deriver(keyer.key, keyer.keys)
    for name, day, local in [*people, *people]:
        found = values(
            name=f"张{name}",
            birth_date=day.isoformat(),
            email=f"{local}@example.com",
            phone="13912346789",
            city="杭州",
            openid=local,
        )
        alone = derive(found, KEY)
        together = many.derive(found)
        assert alone.keys() == together.keys()
        assert declared.pack(alone) == declared.pack(together)


def test_another_process_derives_the_same():
    """Invariant 1: what a feature is depends on the ring, not on the process that asks."""
    assert features_of(FeatureKeyer(ring()).key, **RECORD).keys() == features_of(**RECORD).keys()
    fresh = derive(values(**RECORD), FeatureKeyer(ring()).key)
    assert declared.pack(fresh) == declared.pack(features_of(**RECORD))


def test_nothing_leaves_but_integers_of_63_bits():
    """Invariant 2: every feature of a full record is a positive integer below 2**63."""
    found = features_of(**RECORD)
    assert set(found) <= {feature.name for feature in declared.FEATURES}
    assert all(type(key) is int and 0 < key < 2**63 for key in keys_of(found))
    for feature in declared.FEATURES:
        if feature.name in found:
            assert isinstance(found[feature.name], list) == feature.several, feature.name


def test_an_equal_text_in_two_features_gives_two_keys():
    """Nobody can tell from keys that a person's given name is a city's name."""
    found = features_of(given_name="york", surname="york", city="york", district="york")
    singles = [found[name] for name in ("given", "surname", "city", "district")]
    assert len(set(singles)) == 4


@pytest.mark.parametrize(
    "nothing",
    [
        {"phone": "13800138000"},
        {"phone": "13888888888"},
        {"phone": "139****6789"},
        {"phone": "13912346789-1234"},
        {"phone": "18877771111 转 123"},
        {"birth_date": "1900-01-01"},
        {"birth_date": "1970-01-01"},
        {"email": "test@example.com"},
        {"email": "noreply@example.com"},
        {"name": "测试"},
        {"nickname": "小蔡蔡"},
        {"note": "张三 13912346789"},
        {"unionid": "null"},
        {"loyalty_card": "000000"},
        {"national_id": "110105********002X"},
        {"bank_card": "6222021234567890123"},
        {"gender": "保密"},
        {},
    ],
    ids=lambda fields: next(iter(fields.items()), "nothing at all"),
)
def test_what_names_nobody_gives_no_feature(nothing):
    """Invariant 3: fillers, masked and privacy numbers and preset dates are no evidence."""
    assert features_of(**nothing) == {}


def keys_of(features):
    """Every key, of single and of list features."""
    found = set()
    for value in features.values():
        found |= set(value) if isinstance(value, list) else {value}
    return found


# ── names ───────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SURNAMES), st.text(GIVEN, min_size=2, max_size=2), st.data())
def test_one_slip_in_a_given_name_is_near(surname, given_name, data):
    """One character dropped or mistaken in a Han given name leaves a key in common."""
    place = data.draw(st.integers(0, 1))
    wrong = data.draw(st.sampled_from(["", *GIVEN]))
    slipped = given_name[:place] + wrong + given_name[place + 1 :]
    one, other = features_of(name=surname + given_name), features_of(name=surname + slipped)
    assert share("name_near", one, other)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SURNAMES), st.sampled_from(SURNAMES), given_names)
def test_another_surname_is_never_one_slip(surname, other_surname, given_name):
    """张三 and 李三 are two people's names, not one name with a slip."""
    assume(surname != other_surname)
    one, other = (
        features_of(name=surname + given_name),
        features_of(name=other_surname + given_name),
    )
    assert not share("name_near", one, other)
    assert one["given"] == other["given"]


def test_a_given_name_of_one_character_has_no_slips():
    """Or every 张 would be near every other: 张三 and 张伟 share the surname alone."""
    one, other = features_of(name="张三"), features_of(name="张伟")
    assert not share("name_near", one, other)
    assert one["surname"] == other["surname"]


@settings(max_examples=60, deadline=None)
@given(latin, latin, st.data())
def test_one_slip_in_a_latin_name_is_near(given_name, surname, data):
    """A letter dropped, mistaken or exchanged with its neighbour leaves a key in common."""
    place = data.draw(st.integers(0, len(given_name) - 2))
    kind = data.draw(st.sampled_from(["dropped", "mistaken", "exchanged"]))
    first, second = given_name[place], given_name[place + 1]
    middle = {"dropped": second, "mistaken": "q" + second, "exchanged": second + first}[kind]
    slipped = given_name[:place] + middle + given_name[place + 2 :]
    one, other = (features_of(given_name=name, surname=surname) for name in (given_name, slipped))
    assume("name" in one and "name" in other)  # "customer" is a filler, and nobody's name
    assert share("given_near", one, other)
    assert share("surname_near", one, other)
    assert share("name_near", one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("蔡欣雨", "蔡新宇"), ("单小明", "单晓鸣"), ("john smith", "jon smyth"), ("李娜", "李那")],
)
def test_homophones_sound_the_same(one, other):
    """A name written as it was heard keeps its sound and nothing of its spelling."""
    heard, written = features_of(name=one), features_of(name=other)
    assert heard["sound"] == written["sound"]
    assert heard["name"] != written["name"]


def test_word_order_does_not_change_a_latin_name():
    """Smith, John is John Smith, in spelling and in sound."""
    one, other = features_of(name="Smith, John"), features_of(name="john SMITH")
    assert (one["name"], one["sound"]) == (other["name"], other["sound"])


def test_a_masked_name_shows_its_surname():
    """张** shares the surname with 张三丰, and no whole name with anybody."""
    masked, whole = features_of(name="张**"), features_of(name="张三丰")
    assert masked == {"surname": whole["surname"]}


def test_a_masked_name_shows_its_end():
    """蔡*雨 and 雨姐 share the last character with 蔡欣雨."""
    whole = features_of(name="蔡欣雨")
    assert features_of(name="蔡*雨") == {
        "surname": whole["surname"],
        "given_end": whole["given_end"],
    }
    assert features_of(name="雨姐")["given_end"] == whole["given_end"]


def test_a_form_of_address_tells_the_gender():
    """张女士 is a woman, as if a column said so; what a column says comes first."""
    woman = features_of(gender="女")["gender"]
    for title in ("女士", "姐", "阿姨"):
        assert features_of(name=f"张{title}")["gender"] == woman
    assert features_of(remark="朝阳店 张先生")["gender"] == features_of(gender="男")["gender"]
    assert features_of(name="张女士", gender="男") == features_of(name="张先生")
    assert "gender" not in features_of(name="张老师")


def test_a_mask_shows_no_surname_where_names_have_none():
    """阿** may be 阿依古丽·买买提, whose surname stands last; 张** and 阿*三 are what they seem."""
    assert features_of(name="阿**") == {}
    assert set(features_of(name="张**")) == {"surname"}
    assert set(features_of(name="艾*三")) == {"surname", "given_end"}
    whole = features_of(name="阿依古丽·买买提")
    masked = features_of(name="*依古丽·买买提")
    assert masked == {name: whole[name] for name in ("surname", "given_end")}


def test_a_rare_surname_before_a_title_tells_no_part():
    """王哥 is a 王 and 艳姐 a 艳; 明哥 may be a 明 or somebody whose name ends in 明."""
    assert set(features_of(name="明哥")) == {"gender"}
    assert features_of(name="王哥")["surname"] == features_of(name="王明")["surname"]
    assert features_of(name="明先生")["surname"] == features_of(name="明亮")["surname"]


def test_parts_of_a_name_are_the_whole_name():
    """A source with two columns gives what a source with one column gives."""
    assert features_of(surname="诸葛", given_name="小明") == features_of(name="诸葛小明")
    one = features_of(given_name="Matilda", surname="Nguyen")
    assert one["name"] == features_of(name="Matilda Nguyen")["name"]


def test_a_remark_names_a_person_as_a_name_column_does():
    """张三 朝阳店 is 张三; a name column beside it comes first."""
    assert features_of(remark="张三 朝阳店") == features_of(name="张三")
    assert features_of(remark="张三 朝阳店", name="李四") == features_of(name="李四")


# ── phones and dates ────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 9), st.text("0123456789", min_size=9, max_size=9), st.data())
def test_one_slip_in_a_phone_is_near(second, rest, data):
    """A digit mistaken or two exchanged leaves a key in common, and another number."""
    number = f"1{second}{rest}"
    place = data.draw(st.integers(2, 9))
    exchanged = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    digit = data.draw(st.sampled_from("0123456789"))
    mistaken = number[:place] + digit + number[place + 1 :]
    for slipped in (exchanged, mistaken):
        one, other = features_of(phone=number), features_of(phone=slipped)
        if one and other:  # neither is a filler
            assert share("phones_near", one, other)
            assert share("phones", one, other) == (slipped == number)


@settings(max_examples=60, deadline=None)
@given(days)
def test_day_and_month_exchanged_match(day):
    """A date whose parts were exchanged is found from both sides, and never by itself."""
    found = features_of(birth_date=day.isoformat())
    assume("birth" in found)
    swapped = features_of(birth_date=f"{day.year}-{day.day:02}-{day.month:02}")
    if day.day <= 12 and day.day != day.month:
        assert found["birth_swapped"] == swapped["birth"]
        assert swapped["birth_swapped"] == found["birth"]
    else:
        assert "birth_swapped" not in found


def test_an_id_number_gives_date_and_gender_where_nothing_else_does():
    """The number holds both; a date that the record gives itself comes first."""
    number = "11010519491231002X"
    alone = features_of(national_id=number)
    assert alone["birth"] == features_of(birth_date="1949-12-31")["birth"]
    assert alone["gender"] == features_of(gender="女")["gender"]
    beside = features_of(national_id=number, birth_date="1950-01-02", gender="男")
    assert beside["birth"] == features_of(birth_date="1950-01-02")["birth"]
    assert beside["gender"] == features_of(gender="男")["gender"]


# ── identifiers and places ──────────────────────────────────────────────────


def test_an_identifier_counts_within_its_scope_alone():
    """An openid of one app is nothing in another, and no loyalty card either."""
    one = features_of(openid=("oAbCdEf_123456", "wx1"))
    other = features_of(openid=("oAbCdEf_123456", "wx2"))
    card = features_of(buyer_id=("oAbCdEf_123456", "wx1"))
    assert len(keys_of(one) | keys_of(other) | keys_of(card)) == 3
    assert one == features_of(openid=("oAbCdEf_123456", "wx1"))


def test_a_short_local_part_is_no_evidence():
    """ab@ is at every provider; canary.bird@ is somebody."""
    assert "email_local" not in features_of(email="ab@example.com")
    one = features_of(email="canary.bird@example.com")
    other = features_of(email="canary.bird@mail.invalid")
    assert one["email_local"] == other["email_local"]
    assert one["email"] != other["email"]


def test_a_place_column_comes_before_the_address():
    """What the source says in a column of its own is not guessed from the address."""
    found = features_of(address="广东省深圳市南山区科技路12号", city="广州市")
    assert found["city"] == features_of(city="广州")["city"]
    assert found["district"] == features_of(district="南山区")["district"]
    assert {"street", "street_number"} <= set(found)


def test_the_key_is_asked_with_the_feature_it_is_for():
    """Every key is drawn under the name of its own feature, but for the exchanged date."""
    asked = []

    def key(feature, text):
        asked.append(feature)
        return KEY(feature, text)

    derive(values(**RECORD), key)
    assert set(asked) == set(features_of(**RECORD)) - {"birth_swapped"}
