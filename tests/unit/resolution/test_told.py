"""Which new profiles are stored with what they say."""

import numpy as np
import pytest

from cdp.resolution.changes import NONE, compare
from cdp.resolution.storing import Seen, _told

IDS = np.array([2, 3, 5, 7, 11])
NOW = np.array([2, 3, 2, 3, 3])


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ([2, 3, 5, 7, 11], {2: [2, 5], 3: [3, 7, 11]}),
        ([3, 5, 7, 11], {3: [3, 7, 11]}),
        ([2, 5, 7], {2: [2, 5]}),
        ([], {}),
    ],
)
def test_only_people_whose_records_are_all_held(
    waiting: list[int], expected: dict[int, list[int]]
) -> None:
    """What somebody else may change at this moment is read once the profile can be seen."""
    seen = Seen(IDS, np.ones(5, np.int64), np.isin(IDS, waiting))
    fresh = compare(IDS, np.full(5, NONE), NOW).fresh
    assert _told(seen, fresh, NOW) == expected


def test_people_who_were_there_are_left_to_the_rebuild() -> None:
    """Only who is new is stored whole; nobody new is nobody."""
    seen = Seen(IDS, np.ones(5, np.int64), np.ones(5, np.bool_))
    was = np.array([2, NONE, 2, NONE, NONE])
    assert _told(seen, compare(IDS, was, NOW).fresh, NOW) == {3: [3, 7, 11]}
    assert _told(seen, compare(IDS, NOW, NOW).fresh, NOW) == {}
