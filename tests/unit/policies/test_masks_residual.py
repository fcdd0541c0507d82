"""How many values could stand behind a mask: counted, not estimated."""

import string

import numpy as np
import pytest

from policies.masks import HIDDEN, MASKS, mask


def test_a_phone_hides_among_ten_thousand():
    """Invariant 5: behind one masked phone are at least as many numbers as declared."""
    declared = MASKS["phone"].residual_guesses
    for before, hidden, after in (
        ("138", 4, "8000"),
        ("+336", 4, "5678"),
        ("010-6", 5, "78"),
        ("0514-7", 4, "67"),
    ):
        behind = {f"{before}{n:0{hidden}d}{after}" for n in range(declared)}
        assert len({mask("phone", number) for number in behind} - {HIDDEN}) == 1
        assert len(behind) >= declared


@pytest.mark.parametrize(("country", "first_digits"), [("852", "235679"), ("65", "3689")])
def test_a_phone_of_eight_digits_hides_among_ten_thousand_in_use(country, first_digits):
    """Invariant 5, where the numbering plan leaves whole first digits unused.

    Hong Kong and Singapore: with four digits shown, the numbers that are in use and look
    like this would be fewer than declared.
    """
    behind = [f"+{country}{first}{n:05d}67" for first in first_digits for n in range(0, 10**5, 97)]
    assert len({mask("phone", number) for number in behind} - {HIDDEN}) == 1
    assert len(first_digits) * 10**5 >= MASKS["phone"].residual_guesses > len(first_digits) * 10**3


def test_a_name_hides_among_the_standard_characters():
    """Invariant 5: behind one masked name is at least every standard given name."""
    declared = MASKS["name"].residual_guesses
    for surname in ("张", "欧阳"):
        behind = {f"{surname}明{chr(0x4E00 + n)}" for n in range(declared)}
        assert {mask("name", name) for name in behind} == {f"{surname}**"}
        assert len(behind) >= declared


def test_a_latin_name_hides_among_as_many():
    """Invariant 5: three hidden letters, of the many a name has, are more than declared."""
    letters = string.ascii_lowercase
    behind = {f"A{a}{b}{c}" for a in letters for b in letters for c in letters}
    assert {mask("name", name) for name in behind} == {"A***"}
    assert len(behind) >= MASKS["name"].residual_guesses


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
    silent = {kind for kind, one in MASKS.items() if one.residual_guesses is None}
    assert silent == {"whole", "free_text"}
