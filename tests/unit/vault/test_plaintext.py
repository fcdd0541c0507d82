"""What stands inside a cell: the exact text, because cells of years ago must be read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cdp.vault import plaintext

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=4)


def test_values_are_pairs_of_value_and_scope_without_spaces():
    """A value without a scope has null; letters of any script stand as they are, in UTF-8."""
    assert plaintext.encode([]) == b"[]"
    assert plaintext.encode([("+8613800001111", None)]) == b'[["+8613800001111",null]]'
    several = [('say "o"\n', "wx\\1"), ("王芳", None)]
    assert plaintext.encode(several).decode() == r'[["say \"o\"\n","wx\\1"],["王芳",null]]'


@given(VALUES)
def test_what_is_written_is_json_and_comes_back(values):
    """Any value and scope, the empty one too, is the same after encoding and decoding."""
    written = plaintext.encode(iter(values))
    assert json.loads(written) == [list(pair) for pair in values]
    assert plaintext.decode(written.decode()) == values
