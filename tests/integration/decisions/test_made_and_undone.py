"""People decide who is who, on a real database: made, kept and taken back."""

import pytest
import sqlalchemy as sa

from cdp.errors import Refused
from cdp.resolution import decisions
from cdp.resolution.deciding import Held
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.decisions.town import (
    AGAIN,
    ANNA,
    BELLA,
    CARLA,
    decide,
    homes,
    merge,
    not_same,
    number,
    own_id,
    settle,
    stored,
    tag,
    undo,
)
from tests.journeys.state import people

pytestmark = pytest.mark.integration


def test_a_merge_and_its_undo_leave_everybody_as_they_were(shop: Workspace) -> None:
    """Ids, golden values, attributes, tags and evidence come back byte for byte (invariant 3)."""
    settle(shop, ANNA, BELLA, CARLA, AGAIN)
    before = stored(shop)
    anna, bella, carla = (own_id(shop, one) for one in (ANNA, BELLA, CARLA))
    made = merge(shop, bella, anna)
    assert made.outcome.merges == ((anna, bella),)
    tag(shop)
    assert homes(shop, ANNA, BELLA, CARLA, AGAIN) == [anna, anna, carla, anna]
    assert people(shop)["redirects"] == {bella: anna}
    undone = undo(shop, made)
    assert undone.outcome.splits == ((bella, anna),)
    assert (undone.decision.undone_by, undone.decision.undo_reason) == ("headquarters", "a mistake")
    tag(shop)
    assert stored(shop) == before


def test_a_merge_takes_everybody_along(shop: Workspace) -> None:
    """Also a record that contradicts the other person joins; undone, all is as before (9)."""
    cousin = {**BELLA, "openid": "oBella002", "unionid": "", "phones": "13957140397"}
    settle(shop, ANNA, AGAIN, BELLA, cousin, CARLA)
    before = stored(shop)
    anna, bella, carla = (own_id(shop, one) for one in (ANNA, BELLA, CARLA))
    assert homes(shop, AGAIN, cousin) == [anna, bella]
    made = merge(shop, anna, bella)
    assert made.holds == (Held(anna, 4),)
    rows = (ANNA, AGAIN, BELLA, cousin, CARLA)
    assert homes(shop, *rows) == [anna, anna, anna, anna, carla]
    resolve(shop, full=True)
    assert homes(shop, *rows) == [anna, anna, anna, anna, carla]
    undone = undo(shop, made)
    assert undone.holds == tuple(Held(one, 2) for one in sorted((anna, bella)))
    tag(shop)
    assert stored(shop) == before


def test_a_merge_across_records_that_are_not_the_same_is_refused(shop: Workspace) -> None:
    """Two younger records that somebody told apart stand in the way of their people (9)."""
    cousin = {**BELLA, "openid": "oBella002"}
    settle(shop, ANNA, AGAIN, BELLA, cousin)
    made = not_same(shop, number(shop, AGAIN), number(shop, cousin))
    with pytest.raises(Refused, match="contradicts an earlier decision"):
        merge(shop, own_id(shop, ANNA), own_id(shop, BELLA))
    undo(shop, made)
    assert merge(shop, own_id(shop, ANNA), own_id(shop, BELLA)).outcome.merged == 1


def test_a_split_and_its_undo_leave_everybody_as_they_were(shop: Workspace) -> None:
    """Records that are taken out stay together, apart from the rest, until it is undone."""
    third = {**ANNA, "openid": "oAnna0003"}
    settle(shop, ANNA, AGAIN, third, BELLA)
    before, anna = stored(shop), own_id(shop, ANNA)
    taken = [number(shop, AGAIN), number(shop, third)]
    made = decide(shop, lambda by, on: by.split(on, anna, taken, "mother and daughter"))
    again = own_id(shop, AGAIN)
    assert homes(shop, ANNA, AGAIN, third) == [anna, again, again]
    assert people(shop)["redirects"] == {}
    undo(shop, made)
    tag(shop)
    # The id that the split gave out may be known elsewhere, so it goes on leading home.
    assert people(shop)["redirects"] == {again: anna}
    assert {**stored(shop), "redirect": []} == before


def test_decisions_outlive_every_run(shop: Workspace) -> None:
    """A resolve, and one under a newly learnt model, leaves what people decided."""
    settle(shop, ANNA, AGAIN, BELLA, CARLA)
    anna, bella = own_id(shop, ANNA), own_id(shop, BELLA)
    not_same(shop, number(shop, ANNA), number(shop, AGAIN))
    merge(shop, anna, bella)
    wanted = [anna, own_id(shop, AGAIN), anna, own_id(shop, CARLA)]
    for retrain in (False, True):
        resolve(shop, retrain=retrain)
        assert homes(shop, ANNA, AGAIN, BELLA, CARLA) == wanted
    settle(shop, {**ANNA, "name": "林小梅"}, AGAIN, BELLA, CARLA)
    assert homes(shop, ANNA, AGAIN, BELLA, CARLA) == wanted


def test_two_old_ids_that_lead_to_one_profile_can_be_told_apart(shop: Workspace) -> None:
    """A wrong merge of the machine's is undone by the two ids that were merged."""
    settle(shop, ANNA, {**AGAIN, "unionid": "uFour0004", "phones": "13957140619", "name": "高远"})
    anna, again = own_id(shop, ANNA), own_id(shop, AGAIN)
    assert homes(shop, ANNA, AGAIN) == [anna, again]
    settle(shop, ANNA, AGAIN)
    assert people(shop)["redirects"] == {again: anna}
    made = not_same(shop, again, anna)
    assert made.outcome.splits == ((again, anna),)
    assert homes(shop, ANNA, AGAIN) == [anna, again]
    undo(shop, made)
    assert homes(shop, ANNA, AGAIN) == [anna, anna]


def test_an_old_id_is_followed(shop: Workspace) -> None:
    """A decision about an id that redirects is about the person it leads to."""
    settle(shop, ANNA, BELLA, CARLA)
    anna, bella, carla = (own_id(shop, one) for one in (ANNA, BELLA, CARLA))
    merge(shop, anna, bella)
    made = merge(shop, carla, bella)
    assert made.decision.profiles == (carla, anna)
    assert set(homes(shop, ANNA, BELLA, CARLA)) == {anna}


def test_a_record_that_is_erased_takes_its_links_with_it(shop: Workspace) -> None:
    """What was decided about a record ends with it; the decision stays (invariant 5)."""
    settle(shop, ANNA, BELLA, CARLA)
    bella = number(shop, BELLA)
    not_same(shop, own_id(shop, ANNA), own_id(shop, BELLA))
    with shop.engine.begin() as connection:
        for table in ("membership", "profile"):
            column = "record_id" if table == "membership" else "anchor_id"
            statement = f"DELETE FROM kith.{table} WHERE {column} = :id"
            connection.execute(sa.text(statement), {"id": bella})
        connection.execute(sa.delete(schema.record).where(schema.record.c.id == bella))
        assert len(decisions.active_constraints(connection).cannot_low) == 0
        assert [one.links for one in decisions.read(connection)] == [()]
    resolve(shop)
