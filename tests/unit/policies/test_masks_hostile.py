"""Masks under hostile text: what is invisible, reversed, joined, broken or endless."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.masks import HIDDEN, MASKS, mask

GENUINE = {
    "phone": "13812348000",
    "name": "欧阳锋",
    "national_id": "11010519491231002X",
    "bank_card": "6222000011112222",
    "last_four": "oABCD1234_efgh",
    "email": "someone@example.com",
    "birth_year": "1990-02-17",
    "plate": "京A12345",
    "ip": "192.0.2.17",
}
INVISIBLE = {
    "zero-width joiner": "\u200d",
    "zero-width non-joiner": "\u200c",
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "right-to-left override": "\u202e",
    "first strong isolate": "\u2068",
    "variation selector": "\ufe0f",
    "ideographic variation selector": "\U000e0100",
    "combining acute": "\u0301",
    "combining enclosing keycap": "\u20e3",
    "tag letter": "\U000e0041",
    "high surrogate": "\ud83d",
    "low surrogate": "\ude00",
    "null": "\x00",
    "escape": "\x1b",
    "private use": "\ue000",
    "not a character": "\uffff",
}
EMOJI = ["👨\u200d👩\u200d👧", "🇨🇳", "👍🏽", "1️⃣", "🏴\U000e0067\U000e0062\U000e007f"]


@pytest.mark.parametrize("what", INVISIBLE)
@pytest.mark.parametrize("kind", GENUINE)
def test_a_value_with_something_invisible_in_it_shows_nothing(kind, what):
    """Invariants 1 and 4: before, within or behind a value, a character like this hides it all."""
    value, odd = GENUINE[kind], INVISIBLE[what]
    assert mask(kind, value) != HIDDEN
    for place in (0, 1, len(value) // 2, len(value) - 1, len(value)):
        spoilt = value[:place] + odd + value[place:]
        if unicodedata.normalize("NFKC", spoilt).strip() != value:
            assert mask(kind, spoilt) == HIDDEN, place


@pytest.mark.parametrize("emoji", EMOJI)
@pytest.mark.parametrize("kind", GENUINE)
def test_emoji_are_no_part_of_any_shape(kind, emoji):
    """Invariant 4: what people see as one picture is never cut, since nothing of it is shown."""
    for spoilt in (emoji, GENUINE[kind] + emoji, emoji + GENUINE[kind]):
        assert mask(kind, spoilt) == HIDDEN


def test_letters_that_compose_are_whole_letters():
    """Invariant 4: an accent that composes belongs to its letter; one that does not hides all."""
    assert mask("name", "E\u0301ric") == mask("name", "\u00c9ric") == "\u00c9***"
    assert mask("name", "E\u0301\u0323\u0331ric") == HIDDEN
    assert mask("name", "神\u3099田") == HIDDEN
    assert mask("name", "\u202eric") == HIDDEN


@pytest.mark.parametrize("kind", GENUINE)
def test_full_width_characters_count_as_plain_ones(kind):
    """A value typed in full-width letters and digits has the mask of the plain one."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in GENUINE[kind])
    assert mask(kind, wide) == mask(kind, GENUINE[kind]) != HIDDEN


@pytest.mark.parametrize("zero", [0x0660, 0x06F0, 0x0966, 0x0E50, 0x1040])
@pytest.mark.parametrize("kind", ["phone", "national_id", "bank_card", "birth_year", "ip", "plate"])
def test_digits_of_other_scripts_are_no_digits(kind, zero):
    """Invariant 1: Arabic, Persian, Indic, Thai and Burmese digits are another shape."""
    other = "".join(chr(zero + int(c)) if c in "0123456789" else c for c in GENUINE[kind])
    assert mask(kind, other) == HIDDEN


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize(
    "text",
    [
        "9" * 200,
        "1" * 199 + "x",
        "张" * 200,
        "张·" * 100,
        "a." * 100 + "@",
        "a@" + "a." * 99,
        "北京市" + "朝" * 197,
        "广东省" + "市" * 190,
        "A " * 100,
        "O'" * 100,
        " " * 200,
        "*" * 200,
        "\ufdfa" * 200,  # one character that composes to eighteen
        "1" * 10_000_000,
    ],
)
def test_no_text_takes_long(kind, text):
    """Invariant 1: the longest texts of each shape take no time, whatever they repeat."""
    began = time.process_time()
    shown = mask(kind, text)
    assert time.process_time() - began < 0.25
    assert len(shown) <= 60


def test_two_hundred_characters_are_the_longest_value():
    """Invariant 1: 200 characters are looked at, 201 are no value, however they were written."""
    district = "北京市朝阳区"
    assert mask("district", district.ljust(200, "x")) == f"{district}***"
    assert mask("district", district.ljust(201, "x")) == HIDDEN
    assert mask("district", district.ljust(194, "x")[:182] + "\ufdfa") == f"{district}***"
    assert mask("district", district.ljust(194, "x")[:183] + "\ufdfa") == HIDDEN  # composes to 18


VALUES = st.one_of(
    st.sampled_from(sorted(GENUINE.values())),
    st.text(max_size=20),
    st.text(st.characters(categories=["Cf", "Mn", "Me", "Cs", "Nd", "Zs", "Sk"]), max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MASKS)), VALUES, st.integers(3, 40))
def test_a_width_is_kept_whatever_the_text(kind, text, width):
    """Invariants 6, 3 and 1: every text has that width, twice is once, nothing is cut."""
    shown = mask(kind, text, width=width)
    assert len(shown) == width
    assert mask(kind, shown, width=width) == shown
    assert shown.rstrip() in {mask(kind, text), HIDDEN}


def test_a_width_hides_how_long_a_surname_is():
    """Invariant 6: of two masked names neither is longer than the other."""
    assert mask("name", "欧阳锋", width=8) == "欧阳**    "
    assert mask("name", "张三丰", width=8) == "张**     "
    assert mask("name", "Ada Byron", width=8) == "***     "
    assert mask("name", "Ada Byron", width=9) == "A*** B***"


@pytest.mark.parametrize("width", [2, 1, 0, -1])
def test_a_width_has_room_for_three_stars(width):
    """Invariant 6: a width that could not even show *** is a mistake of the caller's."""
    with pytest.raises(ValueError, match="at least the three stars"):
        mask("phone", "13812348000", width=width)
    assert mask("phone", "13812348000", width=3) == HIDDEN


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["phone", "bank_card", "national_id"]), st.integers(0, 10**15 - 1))
def test_a_mask_does_not_hold_what_it_hides(kind, hidden):
    """Invariant 2: the hidden digits stand nowhere in the mask."""
    text = {
        "phone": f"13{9 - hidden % 7}{hidden % 10_000:04d}8000",
        "bank_card": f"6222{hidden:015d}"[:15] + "2222",
        "national_id": f"11{hidden:015d}X",
    }[kind]
    shown = mask(kind, text)
    assert shown != HIDDEN
    assert sum(char.isdigit() for char in shown) <= {"phone": 7, "bank_card": 4}.get(kind, 2)
