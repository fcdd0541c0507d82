import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.phonetic import latin_sound
from cdp.ingest.normalise.pinyin import fuzzy_sound, sound

han = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), max_size=4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("单小明", "shan xiao ming"),
        ("曾国", "zeng guo"),
        ("仇英", "qiu ying"),
        ("解明", "xie ming"),
        ("查文", "zha wen"),
        ("区明", "ou ming"),
        ("任明", "ren ming"),
        ("长孙明", "zhang sun ming"),
        ("尉迟明", "yu chi ming"),
        ("欧阳明", "ou yang ming"),
        ("張明", "zhang ming"),
        ("吕明", "lv ming"),
        ("买买提·艾力", "mai mai ti ai li"),
        ("丂明", "kao ming"),
        ("", ""),
        ("abc*", ""),
    ],
)
def test_a_surname_is_read_as_a_surname(text, expected):
    """A character that reads differently in a surname gets the surname's reading."""
    assert sound(text) == expected


def test_a_given_name_alone_is_not_read_as_a_surname():
    """The first character of a given name keeps its usual reading."""
    assert sound("单", surname_first=False) == "dan"


def test_homophones_sound_alike():
    """Two spellings that a clerk hears as one name have one sound."""
    assert sound("王晓明") == sound("汪小铭")


@pytest.mark.parametrize(
    ("one", "other"),
    [("张三", "臧三"), ("陈明", "岑明"), ("石磊", "司磊"), ("林娜", "林拉"), ("王京", "王金")],
)
def test_southern_confusions_merge(one, other):
    """Curled and flat initials, n and l, front and back nasals are one fuzzy sound."""
    assert sound(one) != sound(other)
    assert fuzzy_sound(one) == fuzzy_sound(other)


def test_f_and_h_merge_only_on_request():
    """Few speakers merge f and h, so it is asked for."""
    assert fuzzy_sound("黄飞") != fuzzy_sound("房辉")
    assert fuzzy_sound("黄飞", fh=True) == fuzzy_sound("房辉", fh=True)


@settings(deadline=None)  # the first call loads the dictionary
@given(han)
def test_a_dropped_character_leaves_the_other_sounds(text):
    """Each character has one reading, whatever stands beside it."""
    alone = [sound(character, surname_first=False) for character in text]
    assert sound(text, surname_first=False) == " ".join(filter(None, alone))


@pytest.mark.parametrize(
    ("one", "other"), [("Smith", "smyth"), ("O'Brien", "OBRIAN"), ("Catherine", "Kathryn")]
)
def test_latin_names_that_sound_alike_have_one_code(one, other):
    """The Metaphone code joins spellings of one sound."""
    assert latin_sound(one) == latin_sound(other) != ""


def test_each_latin_word_has_its_own_code():
    """Words are coded one by one, and words without Latin letters have no code."""
    assert latin_sound("john smith") == f"{latin_sound('john')} {latin_sound('smith')}"
    assert latin_sound("张三") == ""


@settings(deadline=None)
@given(st.text())
def test_sounds_are_total(text):
    """No text breaks the sounds, lone surrogates included."""
    assert isinstance(fuzzy_sound(text, fh=True), str)
    assert isinstance(latin_sound(text + "\ud800"), str)
