import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.phone import (
    Phone,
    PhoneKind,
    is_placeholder,
    normalise_phone,
    read_phone,
)
from cdp.ingest.normalise.result import Problem

MOBILE, LANDLINE, PRIVACY = PhoneKind.MOBILE, PhoneKind.LANDLINE, PhoneKind.PRIVACY
mobiles = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


@pytest.mark.parametrize(
    "text",
    [
        "13912345670",
        "+8613912345670",
        "+86 139-1234-5670",
        "+86-139 1234 5670",
        "008613912345670",
        "0086 139 1234 5670",
        "8613912345670",
        "86-13912345670",
        "013912345670",
        "139.1234.5670",
        "139-123-45670",
        "(139)12345670",
        "１３９１２３４５６７０",
        " 13912345670\t",
        "手机：13912345670",
        "联系电话: 139 1234 5670",
        "Tel. +86 139 1234 5670",
        "\u202a13912345670\u202c",
        "13912345670。",
        "'13912345670",
    ],
)
def test_every_spelling_of_a_mobile_is_one_number(text):
    """However a clerk types a mobile, its canonical form is the same E.164 text."""
    assert normalise_phone(text) == Phone("+8613912345670", MOBILE, None, placeholder=False)


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        ("18877771111-123", "123"),
        ("18877771111转123", "123"),
        ("18877771111 转接 1234", "1234"),
        ("18877771111,123", "123"),
        ("18877771111#123", "123"),
        ("18877771111 ext. 123", "123"),
        ("+86 188-7777-1111-123", "123"),
        ("18877771111[0123]", "0123"),
        ("+8618877771111;ext=9", "9"),
    ],
)
def test_a_mobile_with_an_extension_is_a_privacy_number(text, extension):
    """Invariant 2: a number with an extension on a mobile is a privacy number."""
    expected = Phone("+8618877771111", PRIVACY, extension, placeholder=False)
    assert normalise_phone(text) == expected


@pytest.mark.parametrize(
    ("text", "e164", "extension"),
    [
        ("010-62345678", "+861062345678", None),
        ("(0755)26712345", "+8675526712345", None),
        ("+86 21 5123 4567", "+862151234567", None),
        ("010-62345678-801", "+861062345678", "801"),
        ("021-51234567转8", "+862151234567", "8"),
    ],
)
def test_a_landline_keeps_its_area_code_and_desk(text, e164, extension):
    """A landline with an extension is a desk, not a privacy number."""
    assert normalise_phone(text) == Phone(e164, LANDLINE, extension, placeholder=False)


@pytest.mark.parametrize(
    ("text", "region", "e164", "kind"),
    [
        ("+852 9123 4567", "CN", "+85291234567", MOBILE),
        ("+1 650-253-0000", "CN", "+16502530000", MOBILE),
        ("(650) 253-0000", "US", "+16502530000", MOBILE),
        ("020 7031 3000", "GB", "+442070313000", LANDLINE),
        ("+8613912345670", "US", "+8613912345670", MOBILE),
        ("400-800-1234", "CN", "+864008001234", PhoneKind.OTHER),
    ],
)
def test_other_countries_and_services_are_read(text, region, e164, kind):
    """The region only decides about numbers that do not name their country."""
    assert normalise_phone(text, region) == Phone(e164, kind, None, placeholder=False)


def test_a_foreign_number_is_not_taken_for_a_chinese_mobile():
    """A plus sign before another country code is believed, whatever the digits look like."""
    phone = normalise_phone("+1 391 234 5670")
    assert isinstance(phone, Problem) or not phone.e164.startswith("+86")


@pytest.mark.parametrize(
    "text",
    [
        "13800138000",
        "138 0013 8000",
        "+8613800138000",
        "13800000000",
        "13888888888",
        "13812345678",
        "11111111111",
        "12345678900",
        "12345678901",
        "00000000000",
        "00000000",
        "99999",
        "13800138000-12",
    ],
)
def test_a_filler_number_is_flagged(text):
    """A number typed to get past a form is read, and flagged so that it joins nobody."""
    phone = normalise_phone(text)
    assert isinstance(phone, Phone)
    assert phone.placeholder
    assert normalise_phone(phone.canonical) == phone


@pytest.mark.parametrize("digits", ["13912345670", "18877771111", "75526712345"])
def test_an_ordinary_number_is_no_filler(digits):
    """Repeated digits inside a number do not make it a filler."""
    assert not is_placeholder(digits)


@pytest.mark.parametrize("text", ["138****8000", "138＊＊＊＊8000", "138xxxx8000", "*******5670"])
def test_a_masked_number_has_no_canonical_form(text):
    """Invariant 3: what a mask hides is not guessed."""
    answer = normalise_phone(text)
    assert isinstance(answer, Problem)
    assert answer.rule == "masked"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("无", "empty"),
        ("0", "empty"),
        ("1.39E+10", "spreadsheet_number"),
        ("abc", "not_a_number"),
        ("+", "not_a_number"),
        ("123", "too_short"),
        ("62345678", "no_area_code"),
        ("13912345670 13912345671", "too_many_digits"),
        ("139123456701", "invalid"),
        ("+999 123456", "invalid"),
        ("1" * 65, "too_long"),
        ("1391234\udc805670", "unreadable"),
    ],
)
def test_what_is_no_number_has_a_rule_and_a_next_step(text, rule):
    """Each refusal names its rule, says what to do, and does not repeat the value."""
    answer = normalise_phone(text)
    assert isinstance(answer, Problem)
    assert answer.rule == rule
    assert answer.next_step


@settings(max_examples=120, deadline=None)
@given(
    mobiles,
    st.sampled_from(["", "86", "+86", "0086", "+86 ", "86-"]),
    st.sampled_from(["", "-", " "]),
)
def test_the_fast_path_equals_the_full_path(mobile, prefix, gap):
    """Invariant 1: both paths give one answer, for assigned and unassigned ranges alike."""
    text = prefix + gap.join((mobile[:3], mobile[3:7], mobile[7:]))
    assert normalise_phone(text) == read_phone(text, "CN")


@settings(max_examples=120, deadline=None)
@given(
    st.from_regex(
        r"(\+86|0|\+44|\+1|00852|)[- ]?[0-9]{2,4}[- ]?[0-9]{6,9}"
        r"(转[0-9]{1,5}|-[0-9]{1,6}| x[0-9]{2})?",
        fullmatch=True,
    ),
    st.sampled_from(["CN", "US", "GB", "AU"]),
)
def test_a_canonical_number_stays_as_it_is(text, region):
    """Normalising a number twice is normalising it once."""
    phone = normalise_phone(text, region)
    if isinstance(phone, Phone):
        assert normalise_phone(phone.canonical, region) == phone


def test_clean_mobiles_are_read_much_faster_than_by_the_full_path():
    """The fast path earns its place: it takes less time than the full path."""

    def seconds(read):
        start = time.perf_counter()
        for _ in range(2_000):
            read()
        return time.perf_counter() - start

    fast = min(seconds(lambda: normalise_phone("13912345670")) for _ in range(3))
    full = min(seconds(lambda: read_phone("13912345670", "CN")) for _ in range(3))
    assert fast < full


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["", "+", "00", "0", "86", "+86", "+1", "+852", "0086"]),
    st.sampled_from(["13000000000", "0" * 7, "12345678", "1" * 11, "88888888", "12345678901"]),
    st.text("0123456789", max_size=3),
)
def test_a_canonical_filler_stays_as_it_is(prefix, filler, rest):
    """A filler keeps its flag and its form, however it is written."""
    phone = normalise_phone(prefix + filler + rest)
    if isinstance(phone, Phone):
        assert normalise_phone(phone.canonical) == phone


def test_an_unknown_region_is_a_mistake_of_the_declaration():
    """A region that does not exist is reported at once, and not as a bad number."""
    with pytest.raises(ValueError, match="ISO 3166"):
        normalise_phone("010-62345678", "XX")
