import collections
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.demo.dice import Dice, Weighted
from cdp.demo.disjoint import DisjointSets
from cdp.demo.names import draw_given, draw_surname, sound_alike
from cdp.demo.numbers_cn import (
    PREFIXES,
    Phones,
    draw_id,
    dress,
    drop_digit,
    id_check,
    mask_phone,
    slip,
    transpose,
)
from cdp.demo.online import mask_name
from tests.unit.demo import reading

seeds = st.integers(0, 2**32)
numbers = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


def test_check_character_is_that_of_the_standard():
    """The check character fits the two worked examples of GB 11643-1999."""
    assert id_check("11010519491231002") == "X"
    assert id_check("44052418800101001") == "4"


@settings(max_examples=40)
@given(seed=seeds, born=st.dates(date(1930, 1, 1), date(2012, 1, 1)), gender=st.sampled_from("MF"))
def test_id_numbers_are_consistent(seed, born, gender):
    """A drawn ID number holds region, birth date and gender, and its check character."""
    number = draw_id(Dice(seed), "110105", born, gender)
    assert number.startswith(f"110105{born:%Y%m%d}")
    assert number[17] == id_check(number[:17])
    assert int(number[16]) % 2 == (gender == "M")


@settings(max_examples=40)
@given(seed=seeds, number=numbers)
def test_formatting_keeps_the_number(seed, number):
    """However a clerk formats a number, plain normalisation gives it back."""
    assert reading.phone(dress(Dice(seed), number)) == number


@settings(max_examples=40)
@given(seed=seeds, number=numbers)
def test_slips_change_the_number(seed, number):
    """A slip or a transposition gives another number, a dropped digit a shorter one."""
    dice = Dice(seed)
    for wrong in (slip(dice, number), transpose(dice, number)):
        assert wrong != number
        assert len(wrong) == 11
    assert len(drop_digit(dice, number)) == 10


@settings(max_examples=40)
@given(number=numbers)
def test_masked_phones_hide_four_digits(number):
    """A masked phone shows the first three and the last four digits."""
    masked = mask_phone(number)
    assert masked == f"{number[:3]}****{number[7:]}"


@settings(max_examples=40)
@given(seed=seeds, name=st.text("张三丰李", min_size=2, max_size=4))
def test_masked_names_hide_something(seed, name):
    """A masked name always holds an asterisk and never the full name."""
    masked = mask_name(Dice(seed), name)
    assert "*" in masked
    assert name not in masked


def test_phones_are_never_given_twice():
    """Two people never get one number by accident, and reserved numbers are nobody's."""
    drawn = [Phones(Dice(1)).draw() for _ in range(2)]
    assert drawn[0] == drawn[1]
    reserved = Phones(Dice(1), (drawn[0],))
    many = [reserved.draw() for _ in range(3000)]
    assert drawn[0] not in many
    assert len(set(many)) == 3000
    assert {number[:3] for number in many} == set(PREFIXES)


def test_surnames_follow_the_population():
    """The most frequent surnames take their share of the population; compound ones occur."""
    dice = Dice(1)
    drawn = collections.Counter(draw_surname(dice) for _ in range(30_000))
    assert 0.07 < drawn["王"] / 30_000 < 0.10
    assert drawn["王"] > drawn["陈"] > drawn["高"] > drawn["康"] > 0
    assert sum(count for name, count in drawn.items() if len(name) == 2) > 20


def test_given_names_follow_era_and_gender():
    """Names of the old and the young, of men and of women, differ."""
    dice = Dice(1)

    def common(gender, born):
        drawn = collections.Counter(draw_given(dice, gender, born) for _ in range(3000))
        return {name for name, _ in drawn.most_common(20)}

    assert len(common("F", 1955) & common("F", 1998)) <= 2
    assert len(common("M", 1980) & common("F", 1980)) <= 8


@settings(max_examples=40)
@given(seed=seeds, character=st.sampled_from("伟静丽芳敏王张陈"))
def test_sound_alikes_are_other_characters(seed, character):
    """A homophone is another character, and a character without one gives none."""
    assert sound_alike(Dice(seed), character) not in {character, None}
    assert sound_alike(Dice(seed), "囧") is None


def test_draws_follow_their_weights():
    """A weighted draw gives each item its share; an item of weight zero never comes."""
    dice = Dice(2)
    table = Weighted((("a", 3), ("b", 1), ("c", 0)))
    drawn = collections.Counter(dice.weighted(table) for _ in range(8000))
    assert set(drawn) == {"a", "b"}
    assert 0.72 < drawn["a"] / 8000 < 0.78


def test_a_choice_of_nothing_is_refused():
    """A table without a positive weight is refused."""
    with pytest.raises(ValueError, match="positive weight"):
        Weighted((("a", 0),))


@settings(max_examples=40)
@given(seed=seeds, low=st.integers(-5, 5), width=st.integers(0, 9))
def test_integers_stay_in_their_range(seed, low, width):
    """A draw between two integers includes both and nothing beyond."""
    dice = Dice(seed)
    drawn = {dice.between(low, low + width) for _ in range(200)}
    assert drawn <= set(range(low, low + width + 1))


@settings(max_examples=40)
@given(size=st.integers(1, 12), joins=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11))))
def test_disjoint_sets_are_connected_components(size, joins):
    """Two numbers are in one set exactly if a chain of joins leads from one to the other."""
    sets, labels = DisjointSets(size), list(range(size))
    for one, other in joins:
        if one < size and other < size:
            sets.join(one, other)
            old, new = labels[one], labels[other]
            labels = [new if label == old else label for label in labels]
    for one in range(size):
        for other in range(size):
            assert (sets.find(one) == sets.find(other)) == (labels[one] == labels[other])
