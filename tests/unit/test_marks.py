"""The search for marked values sees them, and is not misled by chance."""

import pytest

from tests.journeys import marks

WANTED = marks.needles(["13957149163", "11010519491231002X"])


@pytest.mark.parametrize(
    "held",
    ["tel 13957149163", "(7,57149163)", "8613957149163", "1101051949123100", "x7149163957"],
)
def test_a_number_is_found_whole_and_in_parts(held: str) -> None:
    """As a column of its own, beside a country code, without its end, backwards or cut short."""
    assert bool(marks.search({"table": held.encode()}, WANTED)) == (held != "x7149163957")


def test_a_few_digits_within_a_keyed_integer_are_chance() -> None:
    """But not where they stand anywhere else too, nor as many as a whole number has."""
    assert marks.search({"table": b"(4611686013957149042,1)"}, WANTED) == []
    assert marks.search({"table": b"(4611686013957149042,1) 1395714"}, WANTED) != []
    assert marks.search({"table": b"(4611613957149163042,1)"}, WANTED) != []
