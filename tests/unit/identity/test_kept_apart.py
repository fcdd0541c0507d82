"""What the catalogue says of an identifier, through a whole run: unique, most people."""

import pytest

from identity import batch, sharing
from identity.constraints import Constraints
from identity.model import UNTRAINED
from tests.unit.identity.tables import LIMITS, delivered
from tests.unit.identity.test_constraints import constraints

WHO = {
    "name": 7_001, "sound": 7_002, "surname": 7_003, "given": 7_004, "name_near": [7_001],
    "phones": [7_005], "phones_near": [7_005], "birth": 7_006, "birth_year": 7_007,
    "birth_day": 7_008, "unionid": 7_009,
}  # fmt: skip


def people(found, rows, decided=None):
    """The anchors of these rows, under the epoch of the small world."""
    resolution, _ = batch.resolve(
        delivered(rows),
        found.model,
        UNTRAINED,
        LIMITS,
        constraints=decided or Constraints.none(),
    )
    return resolution.anchors.tolist()


def club(number, kind=1):
    """What a unique identifier of one kind makes of a record."""
    return {"unique_kinds": [kind], "unique_ids": [100 * kind + number]}


def test_two_values_of_a_unique_identifier_are_two_people(found):
    """Whatever else agrees; a record that tells none goes to one of them, and not to both."""
    assert people(found, [WHO, WHO]) == [1, 1]
    assert people(found, [WHO | club(1), WHO | club(1)]) == [1, 1]
    assert people(found, [WHO | club(1), WHO | club(2)]) == [1, 2]
    assert people(found, [WHO | club(1), WHO | club(2, kind=2)]) == [1, 1]
    three = people(found, [WHO | club(1), WHO, WHO | club(2)])
    assert three[0] != three[2]
    assert three[1] in (three[0], three[2])


def test_a_person_may_join_what_the_catalogue_keeps_apart(found):
    """A must link outweighs a unique identifier, as it does an ID number."""
    assert people(found, [WHO | club(1), WHO | club(2)], constraints([(1, 2)])) == [1, 1]


@pytest.mark.parametrize("held", [{"email": 9_000}, {"counted": [sharing.counted_key(9_000, 4)]}])
def test_a_card_or_mailbox_of_everybody_joins_nobody(found, held):
    """A card used for one more person than its limit is no evidence for anybody."""
    card = [{"name": n, "name_near": [n], **held} for n in (1, 1, 2, 3, 4)]
    one, two, *others = people(found, card)
    assert one == two
    assert one not in others
    crowded = people(found, [*card, {"name": 5, "name_near": [5], **held}])
    assert crowded == [1, 2, 3, 4, 5, 6]
