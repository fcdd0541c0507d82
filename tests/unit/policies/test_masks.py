"""Masks: what is shown, and what can never be read from it."""

import re
import string

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.masks import HIDDEN, MASKS, mask

SHOWN = [
    ("phone", "13812348000", "138****8000"),
    ("phone", "+86 138-1234-8000", "138****8000"),
    ("phone", "008613812348000", "138****8000"),
    ("phone", "8613812348000", "138****8000"),
    ("phone", "１３８１２３４８０００", "138****8000"),
    ("phone", "+14155550123", "+1****0123"),
    ("phone", "0044 7911 123456", "+44****3456"),
    ("phone", "+852 9123 4567", "+852****4567"),
    ("phone", "010-62345678", "010****78"),
    ("phone", "+86 755 8234 5678", "0755****78"),
    ("phone", "(0514) 7234567", "0514****67"),
    ("name", "张三", "张**"),
    ("name", "张三丰", "张**"),
    ("name", "张**", "张**"),
    ("name", "张*", "张**"),
    ("name", "欧阳锋", "欧阳**"),
    ("name", "欧阳", "欧**"),
    ("name", "阿凡提·买买提", "阿**"),
    ("name", "Ada Byron", "A*** B***"),
    ("name", "Jean-Luc O'Brien", "J*** O***"),
    ("name", "Ａda", "A***"),
    ("name", "John F Kennedy", "J*** *** K***"),
    ("national_id", "11010519491231002x", "11****X"),
    ("bank_card", "6222 0000 1111 2222", "****2222"),
    ("last_four", "oABCD1234_efgh", "****efgh"),
    ("email", "someone@example.com", "s***@example.com"),
    ("email", "ab@example.com", "***@example.com"),
    ("email", "a@b.cn", "***@***.cn"),
    ("email", "zhang@zhang-family.com", "z***@***.com"),
    ("district", "北京市朝阳区建国路88号", "北京市朝阳区***"),
    ("district", "广东省 深圳市 南山区 科技园1号", "广东省深圳市南山区***"),
    ("district", "内蒙古自治区呼和浩特市新城区1号", "内蒙古自治区呼和浩特市新城区***"),
    ("birth_year", "1990-02-17", "1990-**-**"),
    ("birth_year", "1990/2/7", "1990-**-**"),
    ("birth_year", "19900217", "1990-**-**"),
    ("birth_year", "1990年2月17日", "1990-**-**"),
    ("plate", "京A12345", "京A****"),
    ("plate", "粤b·D12345", "粤B****"),
    ("ip", "192.0.2.17", "192.0.*.*"),
    ("ip", "2001:db8::17", "2001:db8:*"),
]

HIDDEN_SHAPES = [
    ("phone", "18877771111-123"),
    ("phone", "12345"),
    ("phone", "23812348000"),
    ("phone", "+8612345"),
    ("phone", "+999"),
    ("phone", "+861381234800"),
    ("phone", "+85291234"),
    ("phone", "+852912345"),
    ("phone", "4001234567"),
    ("phone", "13812348000,13912348000"),
    ("phone", "010-7234567"),
    ("phone", "138****80001"),
    ("phone", "١٣٨١٢٣٤٨٠٠٠"),
    ("name", "张"),
    ("name", "张三-VIP"),
    ("name", "张三 朝阳店"),
    ("name", "张🀄"),
    ("name", "👨‍👩‍👧"),
    ("name", "x̂́ric"),
    ("name", "\ud800三"),
    ("name", "यादव"),
    ("name", "O'"),
    ("name", "A"),
    ("name", "a b c d e f"),
    ("name", "一二三四五六七"),
    ("national_id", "110105491231002"),
    ("national_id", "E12345678"),
    ("national_id", "1101051949123100"),
    ("bank_card", "12345678901"),
    ("bank_card", "6222-0000-1111-2222-33333"),
    ("last_four", "1234567"),
    ("last_four", "张三12345678"),
    ("email", "not an address"),
    ("email", "a@localhost"),
    ("email", "a@b@c.cn"),
    ("email", "张三@example.com"),
    ("district", "北京市建国路88号朝阳区"),
    ("district", "北京市幸福小区3号"),
    ("district", "北京市张三收朝阳区1号"),
    ("district", "广东省张三深圳市南山区1号"),
    ("district", "12 Station Road"),
    ("district", "朝阳区建国路88号"),
    ("birth_year", "1990-02-30"),
    ("birth_year", "90-02-17"),
    ("birth_year", "17/02/1990"),
    ("birth_year", "1790-02-17"),
    ("birth_year", "1990"),
    ("plate", "A12345"),
    ("plate", "京I12345"),
    ("ip", "192.0.2"),
    ("ip", "999.1.1.1"),
    ("whole", "anything"),
    ("no such mask", "13812348000"),
    ("", "13812348000"),
]


@pytest.mark.parametrize(("kind", "value", "shown"), SHOWN)
def test_known_shapes_show_their_agreed_part(kind, value, shown):
    """A known shape shows exactly the part that was agreed."""
    assert mask(kind, value) == shown
    assert mask(kind, f"  {value}\n") == shown


@pytest.mark.parametrize(("kind", "value"), HIDDEN_SHAPES)
def test_unknown_shapes_show_nothing(kind, value):
    """Invariants 1 and 4: whatever a mask does not understand becomes ***."""
    assert mask(kind, value) == HIDDEN


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize(
    "value", ["", " ", "\n\t", "\u3000", "*", "\x00", "9" * 100_000, "张" * 999]
)
def test_empty_blank_and_endless_values_show_nothing(kind, value):
    """Invariant 1: nothing, blanks and two megabytes are no values of a known shape."""
    assert mask(kind, value) == HIDDEN


@pytest.mark.parametrize(("kind", "value", "shown"), SHOWN)
def test_a_masked_value_stays_as_it_is(kind, value, shown):
    """Invariant 3: a value that arrives masked, as shops deliver them, is shown as it is."""
    assert mask(kind, shown) == shown


pieces = st.sampled_from(
    [
        *"0189+-.@:*·/ 张三欧阳市区县aZ_é😀",
        "138",
        "****",
        "2345",
        "北京市",
        "朝阳区",
        "qq.com",
        "\u0301",
    ]
)
values = st.one_of(
    st.text(max_size=30),
    st.lists(pieces, max_size=12).map("".join),
    st.sampled_from([value for _, value, _ in SHOWN]),
    st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True),
    st.from_regex(r"[a-z.]{1,8}@[a-z-]{1,8}\.(com|cn)", fullmatch=True),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MASKS)), values)
def test_masking_twice_is_masking_once(kind, value):
    """Invariant 3, for any text under any mask."""
    once = mask(kind, value)
    assert mask(kind, once) == once


SHAPES = {
    "whole": r"\*{3}",
    "phone": r"1\d\d\*{4}\d{4}|0\d{2,3}\*{4}\d\d|\+\d{1,3}\*{4}\d{4}",
    "name": r"\w{1,2}\*\*|(?:\w?\*{3} ?)+",
    "national_id": r"\d\d\*{4}[\dX]",
    "bank_card": r"\*{4}\d{4}",
    "last_four": r"\*{4}[\w-]{4}",
    "email": r"\w?\*{3}@(?:\*{3}|[a-z0-9.]+)\.[a-z]+",
    "district": r"[\u4e00-\u9fff]{4,25}\*{3}",
    "birth_year": r"\d{4}-\*\*-\*\*",
    "plate": r"[\u4e00-\u9fff][A-Z]\*{4}",
    "ip": r"\d+\.\d+\.\*\.\*|[\da-f]+:[\da-f]+:\*",
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MASKS)), values)
def test_every_mask_has_one_of_few_shapes(kind, value):
    """Invariants 1 and 4: the output is *** or the declared shape, never cut inside a letter."""
    shown = mask(kind, value)
    assert shown == HIDDEN or re.fullmatch(SHAPES[kind], shown, re.ASCII if kind == "ip" else 0)
    shown.encode("utf-8")


digits = st.text(string.digits, min_size=4, max_size=4)
han = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=2)
latin = st.text(string.ascii_lowercase, min_size=1, max_size=12)


@given(digits, digits)
def test_hidden_digits_of_a_phone_have_no_influence(one, other):
    """Invariant 2 for mobiles, other countries, cards and identifiers."""
    for kind, before, after in (
        ("phone", "138", "8000"),
        ("phone", "+4479", "3456"),
        ("bank_card", "62220000", "2222"),
        ("last_four", "card", "1234"),
        ("national_id", "1101051990", "123X"),
    ):
        shown = mask(kind, before + one + after)
        assert shown == mask(kind, before + other + after)
        assert shown != HIDDEN


@given(han, han, latin, latin)
def test_hidden_letters_of_a_name_have_no_influence(one, other, first, second):
    """Invariant 2 for names, whatever their length."""
    assert mask("name", f"张{one}") == mask("name", f"张{other}") == "张**"
    assert mask("name", f"A{first} B{second}") == "A*** B***"


@given(latin, latin)
@example("abcdefgh", "x")
def test_hidden_part_of_an_address_has_no_influence(one, other):
    """Invariant 2 for e-mail and postal addresses."""
    first, second = (mask("email", f"abc{part}@{part}.cn") for part in (one, other))
    assert first == second == "a***@***.cn"
    places = {mask("district", f"北京市朝阳区{part}") for part in (one, other, "建国路88号")}
    assert places == {"北京市朝阳区***"}


def test_a_phone_hides_among_ten_thousand():
    """Invariant 5: behind one masked phone are at least as many numbers as declared."""
    declared = MASKS["phone"].residual_guesses
    for before, after in (("138", "8000"), ("+65", "4567"), ("010-6", "78")):
        hidden = 5 if before.startswith("010") else 4
        behind = {f"{before}{n:0{hidden}d}{after}" for n in range(declared)}
        assert len({mask("phone", number) for number in behind} - {HIDDEN}) == 1
        assert len(behind) >= declared


def test_a_name_hides_among_the_standard_characters():
    """Invariant 5: behind one masked name is at least every standard given name."""
    declared = MASKS["name"].residual_guesses
    behind = {f"张{chr(0x4E00 + n)}" for n in range(declared)}
    assert {mask("name", name) for name in behind} == {"张**"}
    assert len(behind) >= declared


def test_an_id_number_hides_among_a_million_valid_ones():
    """Invariant 5: one area alone has more valid numbers behind a mask than declared.

    Valid as GB 11643 has it: a real date of birth, a sequence number, and the check
    character, which is the sum of weighted digits modulo 11.
    """
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    dates = np.arange("1950-01-01", "2010-01-01", dtype="datetime64[D]").astype(str)
    births = np.array([[int(c) for c in day.replace("-", "")] for day in dates])
    area = np.array([1, 1, 0, 1, 0, 5])
    serials = np.array([[n // 100, n // 10 % 10, n % 10] for n in range(1000)])
    sums = (
        (area @ weights[:6]) + (births @ weights[6:14])[:, None] + (serials @ weights[14:])[None, :]
    ) % 11
    rows, columns = np.nonzero(sums == 0)  # all of these end in the check character 1
    assert len(rows) >= MASKS["national_id"].residual_guesses
    for row, column in zip(rows[::4001], columns[::4001], strict=True):
        number = f"110105{dates[row].replace('-', '')}{column:03d}1"
        assert mask("national_id", number) == "11****1"


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("last_four", lambda n: f"{n:04d}wxyz"),
        ("email", lambda n: f"a{string.ascii_lowercase[n // 26 % 26]}{n:04d}@example.com"),
        ("district", lambda n: f"北京市朝阳区建国路{n}号"),
        ("birth_year", lambda n: str(np.datetime64("1990-01-01") + n)),
        ("ip", lambda n: f"192.0.{n // 256}.{n % 256}"),
        ("plate", lambda n: f"京A{n:05d}"),
    ],
)
def test_every_other_mask_hides_among_what_it_declares(kind, make):
    """Invariant 5: the declared number of different values share one masked form."""
    declared = MASKS[kind].residual_guesses
    step = max(1, declared // 5000)
    assert len({mask(kind, make(n)) for n in range(0, declared, step)} - {HIDDEN}) == 1
    assert make(0) != make(declared - 1)


def test_bank_cards_hide_among_ten_million():
    """Invariant 5: eight hidden digits, of which the check digit fixes one, leave 10^7."""
    assert MASKS["bank_card"].residual_guesses == 10 ** (12 - 4 - 1)
    shown = {mask("bank_card", f"{n:08d}2222") for n in range(0, 10**8, 20_011)}
    assert shown == {"****2222"}


def test_a_mask_that_shows_nothing_declares_no_number():
    """A field's own range bounds the guesses when nothing of it is shown."""
    assert MASKS["whole"].residual_guesses is None
