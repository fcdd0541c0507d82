import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.formula import is_formula, safe_cell


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("https://x.invalid")',
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "+1+1",
        "-A1",
    ],
)
def test_a_formula_is_recognised(text):
    """What a spreadsheet would evaluate is a formula."""
    assert is_formula(text)


@pytest.mark.parametrize(
    "text",
    [
        "+8613800001111",
        "+86 138-0000-1111",
        "+1 (415) 555-0100",
        "-12.5",
        "+3.2E+5",
        "-5%",
        "-",
        "--",
        "",
        "a=b",
        "张三",
    ],
)
def test_a_value_is_not_a_formula(text):
    """Phones, signed numbers and lone dashes stay values."""
    assert not is_formula(text)


def test_free_text_may_open_with_a_dash():
    """In a note or nickname only = begins a formula."""
    assert not is_formula("- likes red", free_text=True)
    assert not is_formula("@小店", free_text=True)
    assert is_formula("=1+1", free_text=True)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_a_safe_cell_never_opens_a_formula(text):
    """A written cell begins with no sign that a spreadsheet acts on, unless it is a number."""
    cell = safe_cell(text)
    assert cell in {text, "'" + text}
    opening = cell.lstrip()[:1] or cell[:1]
    assert opening not in set("=@＝＋－＠") or cell.startswith("'")
    if opening in {"+", "-"}:
        float(cell)


@pytest.mark.parametrize("text", ["\t=1", "\r=1", " =1", "\n@x", "-1+1", "＝1"])
def test_hidden_openings_are_made_safe(text):
    """A tab, a line break or a wide sign before a formula does not hide it."""
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["+8613800001111", "-12.5", "plain"])
def test_numbers_and_text_are_written_as_they_are(text):
    """A phone with its plus sign arrives as it was."""
    assert safe_cell(text) == text
