"""What differs between two identity models."""

from hypothesis import given
from hypothesis import strategies as st

from identity.epoch_diff import differences

EPOCH = {
    "join_bits": 3.0,
    "comparisons": {"name": [{"level": "equal", "m": 0.9, "u": 0.1, "bits": 3.17}]},
    "frequencies": {"name": {"0": 0.01, "5": 0.2, "6": 0.3}},
}


def test_each_number_that_differs_is_named_with_its_place():
    """A threshold, a level's weight and a level that only one has are three lines."""
    other = {
        "join_bits": 4.0,
        "comparisons": {
            "name": [
                {"level": "equal", "m": 0.8, "u": 0.1, "bits": 3.17},
                {"level": "differs", "m": 0.2},
            ]
        },
        "frequencies": EPOCH["frequencies"],
    }
    assert [(d.place, d.one, d.other) for d in differences(EPOCH, other)] == [
        ("join_bits", 3.0, 4.0),
        ("comparisons / name / equal / m", 0.9, 0.8),
        ("comparisons / name / differs / level", None, "differs"),
        ("comparisons / name / differs / m", None, 0.2),
    ]


def test_frequencies_are_counted_and_not_listed():
    """Of thousands of keyed values the difference gives how many, never which."""
    other = EPOCH | {"frequencies": {"name": {"0": 0.01, "5": 0.25}}}
    assert [line.to_dict() for line in differences(EPOCH, other)] == [
        {"place": "frequencies / name / values", "one": 3, "other": 2},
        {"place": "frequencies / name / shares that changed", "one": 0, "other": 1},
    ]


plain = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(one=st.dictionaries(st.sampled_from(["prior", "version", "more"]), plain))
def test_an_epoch_does_not_differ_from_itself(one):
    """Two copies of one file have no difference."""
    assert differences(one, dict(one)) == ()
