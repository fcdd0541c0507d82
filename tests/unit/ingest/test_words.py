"""Features of the words of a name, of the area of a postcode, and of old dates of birth."""

import dataclasses

import pytest

from cdp.ingest.features import derive
from cdp.ingest.name_features import MOST_WORDS
from cdp.ingest.values import read_record
from tests.unit.ingest.delivered import KEY, READING, features_of, record


def common(feature, one, other):
    """How many keys of a list feature two names have in common."""
    return len(set(features_of(name=one)[feature]) & set(features_of(name=other)[feature]))


def test_titles_middle_names_and_order_do_not_keep_two_names_apart():
    """What two people's ways of writing a name share is found word by word, and two by two."""
    assert common("words", "Thomas Clifford, 1st Baron Chudleigh", "thomas of chudleigh") == 2
    assert common("word_pairs", "Augustus Frederick Scott", "Scott, Augustus") == 1
    assert common("word_pairs", "Augustus Scott", "Augustus Gray") == 0


@pytest.mark.parametrize(
    ("one", "other"), [("Thomas Clifford", "Rhomas Gray"), ("Bill Scott", "William Gray")]
)
def test_a_slip_and_a_short_form_are_near(one, other):
    """A word is near what is one deletion away, and near the names it may be short for."""
    assert common("words", one, other) == 0
    assert common("words_near", one, other) > 0


def test_a_single_word_has_words_and_no_pair():
    """A bare first name can be found in a whole name; two words it has not."""
    found = features_of(name="Crowhurst")
    assert found["words"] == [KEY("words", "crowhurst")]
    assert not found["word_pairs"]
    assert "name" not in found


@pytest.mark.parametrize("name", ["张小明", "欧阳娜娜", "J*** Smith", "张**"])
def test_han_names_and_masked_names_have_no_words(name):
    """A Han name is one word; what a mask hides is not guessed."""
    assert not {"words", "words_near", "word_pairs"} & set(features_of(name=name))


def test_the_pairs_of_a_long_name_are_bounded():
    """Pairs grow with the square of the words, so that only the first ones count."""
    name = "anna bert carl dora emil fred gus hans ida jan"
    assert len(features_of(name=f"{name} karl lisa")["words"]) == 12
    assert len(features_of(name=f"{name} karl lisa")["word_pairs"]) == MOST_WORDS * 9 // 2


@pytest.mark.parametrize(
    ("postcode", "area"),
    [("TQ13 8DF", "TQ13"), ("k1a 0b1", "K1A"), ("3356", "335"), ("518000", "51800")],
)
def test_the_area_of_a_postcode_leaves_out_its_last_part(postcode, area):
    """Neighbouring postcodes have the area in common."""
    assert features_of(postcode=postcode)["postcode_area"] == KEY("postcode_area", area)


def test_a_register_of_the_dead_may_go_further_back():
    """A date of birth in 1630 is a slip at a till, and none in a register that says so."""
    born = record(birth_date="1630-08-01")
    register = dataclasses.replace(READING, oldest=1000)
    at_the_till = read_record(born, READING)
    assert [problem.rule for problem in at_the_till.problems] == ["too_old"]
    assert "birth" not in derive(at_the_till, KEY)
    assert derive(read_record(born, register), KEY)["birth"] == KEY("birth", "16300801")
