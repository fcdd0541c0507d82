import pytest

from cdp.ingest.normalise.gender import Gender, normalise_gender
from cdp.ingest.normalise.result import Problem


@pytest.mark.parametrize("text", ["男", "男性", "先生", "M", "m", "Male", "1", "１", " 男 "])
def test_words_for_male(text):
    """Words, letters, the GB/T 2261.1 code and forms of address say male."""
    assert normalise_gender(text) == Gender("male")


@pytest.mark.parametrize("text", ["女", "女士", "小姐", "F", "female", "2", "Mrs."])
def test_words_for_female(text):
    """Words, letters, the GB/T 2261.1 code and forms of address say female."""
    assert normalise_gender(text) == Gender("female")


@pytest.mark.parametrize("text", ["", "未知", "0", "9", "保密", "other", "null", "?"])
def test_anything_else_is_unknown_and_no_error(text):
    """A source that does not say is not wrong."""
    gender = normalise_gender(text)
    assert gender == Gender(None)
    assert gender.canonical == "unknown"


def test_a_novel_is_no_gender():
    """A long cell is refused before it is read."""
    answer = normalise_gender("m" * 65)
    assert isinstance(answer, Problem)
    assert answer.rule == "too_long"
