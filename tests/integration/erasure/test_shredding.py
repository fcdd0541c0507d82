"""What is destroyed is gone, and those who stay are as if it had never been there."""

from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial
from cdp.erasure.shredding import LOOK, Shredded
from cdp.errors import Refused, Stop
from cdp.storage import schema
from cdp.vault.envelope import WrappedKey
from cdp.workspace import Workspace
from tests.integration.erasure.household import (
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CARD_NAME,
    SECOND_NAME,
    WHY,
    as_text,
    count,
    eraser,
    home_of,
    key,
    shred,
    stored_keys,
)
from tests.journeys.state import rows_as_stored

pytestmark = pytest.mark.integration

OF_A_RECORD = (
    schema.contact,
    schema.sensitive,
    schema.masked,
    schema.data_key,
    schema.blind_index,
    schema.block,
    schema.record_block,
    schema.membership,
    schema.membership_history,
    schema.reject,
)


def ids(workspace: Workspace) -> dict[str, int]:
    statement = sa.select(schema.record.c.key, schema.record.c.id)
    with workspace.engine.connect() as connection:
        found = {bytes(row.key): row.id for row in connection.execute(statement)}
    return {name: found[key(workspace, name)] for name in (*ALL, BELLA_NAME)}


def of(numbers: dict[str, int], table: sa.Table) -> sa.Select[tuple[int]]:
    """The rows of a table that name the records of Anna."""
    return sa.select(table.c.record_id).where(
        table.c.record_id.in_([numbers[name] for name in ALL])
    )


def test_the_household_is_two_people(shop: Workspace) -> None:
    """What the other tests take for granted: three records are Anna, one is Bella."""
    assert len({home_of(shop, name) for name in ALL}) == 1
    assert home_of(shop, BELLA_NAME) not in {home_of(shop, name) for name in ALL}


def test_nothing_of_a_destroyed_record_is_left(shop: Workspace) -> None:
    """Destroying 1: no row of any table names the record, its key or its profile."""
    numbers, profile_id = ids(shop), home_of(shop, CARD_NAME)
    with shop.engine.connect() as connection:
        held = {table.name for table in OF_A_RECORD if connection.scalars(of(numbers, table)).all()}
        indexes = set(
            connection.scalars(
                sa.select(schema.blind_index.c.value).where(
                    schema.blind_index.c.record_id.in_([numbers[name] for name in ALL])
                )
            )
        )
    assert indexes
    assert {one.name for one in OF_A_RECORD} - held <= {"membership_history", "reject"}
    assert profile_id
    shred(shop, profile_id)
    with shop.engine.connect() as connection:
        for table in OF_A_RECORD:
            assert not connection.scalars(of(numbers, table)).all()
        edges = connection.execute(sa.select(schema.edge.c.low_id, schema.edge.c.high_id)).all()
    assert not {n for pair in edges for n in pair} & {numbers[name] for name in ALL}
    text = as_text(shop, without=("shred", "audit_event"))
    assert profile_id not in text
    assert not [index for index in indexes if bytes(index).hex() in text]
    assert not [name for name in ALL if key(shop, name).hex() in text]


def test_those_who_stay_are_as_if_it_had_never_been_there(shop: Workspace) -> None:
    """Destroying 2: the other records of the person are one profile, and Bella is untouched."""
    before = [row for row in rows_as_stored(shop.engine)["kith.profile"] if "陈" in str(row)]
    bella = home_of(shop, BELLA_NAME)
    done = shred(shop, CARD_NAME)[0]
    assert home_of(shop, CARD_NAME) is None
    left = home_of(shop, ACCOUNT_NAME)
    assert left == home_of(shop, SECOND_NAME) != bella
    assert done.destroyed.changed == (left,)
    assert done.destroyed.repaired
    assert home_of(shop, BELLA_NAME) == bella
    assert before == [
        row for row in rows_as_stored(shop.engine)["kith.profile"] if "陈" in str(row)
    ]
    with shop.engine.connect() as connection:
        row = connection.execute(sa.select(schema.profile).where(schema.profile.c.id == left)).one()
    assert row.size == 2
    assert row.attributes == {}  # what was spent stood on the card alone
    assert row.stores == []


def test_what_is_left_behind_says_who_when_and_why(shop: Workspace) -> None:
    """Shredding 1: the ledger and the log name the person, the time and the reason."""
    done = shred(shop, CARD_NAME)[0]
    assert done.lines == (1,)
    with shop.engine.connect() as connection:
        line = connection.execute(sa.select(schema.shred)).one()
        logged = connection.scalars(
            sa.select(schema.audit_event.c.line).where(schema.audit_event.c.action == "vault.shred")
        ).all()
    assert (line.kind, bytes(line.key), line.actor, line.reason) == (
        "shred",
        key(shop, CARD_NAME),
        "officer",
        WHY,
    )
    assert len(logged) == 1
    assert WHY in logged[0]


@pytest.mark.parametrize("who", ["headquarters", "manager"])
def test_who_may_not_erase_is_refused_and_that_is_kept(shop: Workspace, who: str) -> None:
    """Shredding 1: only who may erase does; the refusal is in the log."""
    before = stored_keys(shop)
    for work in (eraser(shop, who).shred, eraser(shop, who).freeze, eraser(shop, who).readmit):
        assert isinstance(work(CARD_NAME, WHY), Denial)
    assert stored_keys(shop) == before
    assert count(shop, schema.shred) == 0
    with shop.engine.connect() as connection:
        lines = connection.scalars(
            sa.select(schema.audit_event.c.line).where(schema.audit_event.c.actor == who)
        ).all()
    assert len(lines) == 3
    assert all('"decision":"deny"' in line for line in lines)


def test_a_reason_with_a_number_in_it_is_refused(shop: Workspace) -> None:
    """Shredding 1: a phone number cannot be typed into a ledger that stays for ever."""
    assert isinstance(eraser(shop).shred(CARD_NAME, "she is 13957140286"), Denial)
    assert count(shop, schema.shred) == 0


def test_a_rehearsal_changes_nothing_and_is_kept(shop: Workspace) -> None:
    """Shredding 4: every row stays as it was; the log says that somebody looked."""
    before = rows_as_stored(shop.engine)
    done = eraser(shop).shred(CARD_NAME, WHY, rehearse=True)
    assert isinstance(done, Shredded)
    assert done.lines == ()
    assert done.destroyed.rows["record"] == 1
    assert done.destroyed.rows["sensitive"] == 1
    after = rows_as_stored(shop.engine)
    looked = [row for row in after.pop("kith.audit_event") if LOOK in str(row)]
    assert len(looked) == 1
    before.pop("kith.audit_event")
    assert after == before
    assert not shop.settings.shred_ledger.exists()


def test_a_name_that_means_nothing_is_refused(shop: Workspace) -> None:
    """Destroyed twice, never stored, no such source: each says what it is."""
    shred(shop, CARD_NAME)
    with pytest.raises(Refused, match="already_shredded"):
        eraser(shop).shred(CARD_NAME, WHY)
    with pytest.raises(Stop, match="no_such_record"):
        eraser(shop).freeze("till:C000404", WHY)
    with pytest.raises(Stop):
        eraser(shop).shred("nowhere:C1", WHY)
    with pytest.raises(Stop, match="record_name"):
        eraser(shop).shred("till:", WHY)


def test_a_record_that_waits_to_be_resolved_can_be_destroyed(shop: Workspace) -> None:
    """Destroying 4: with no epoch in force, records go all the same."""
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.epoch).values(active=False))
    done = shred(shop, CARD_NAME, BELLA_NAME)
    assert [one.destroyed.repaired for one in done] == [False, False]
    assert stored_keys(shop) == {key(shop, ACCOUNT_NAME), key(shop, SECOND_NAME)}
    with shop.engine.connect() as connection:
        assert connection.scalar(sa.select(schema.workspace.c.blocked_with)) is None
        dirty = connection.scalars(sa.select(schema.record.c.dirty)).all()
    assert dirty == [True, True]


def test_a_record_that_does_not_open_any_more_can_be_destroyed(shop: Workspace) -> None:
    """Destroying 4: without its data key it cannot be compared, and goes all the same."""
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.data_key))
    shred(shop, CARD_NAME)
    assert key(shop, CARD_NAME) not in stored_keys(shop)


def test_a_neighbour_with_damaged_features_stops_no_shred(shop: Workspace) -> None:
    """Destroying 4: what identity itself refuses to read is left for a full resolve."""
    number = ids(shop)[ACCOUNT_NAME]
    record, keys = schema.record.c, schema.data_key.c
    with shop.engine.begin() as connection:
        mine = sa.select(record.revision, keys.key_version, keys.wrapped).where(
            record.id == number, keys.record_id == record.id, keys.tier == "contact"
        )
        row = connection.execute(mine).one()
        wrapped = WrappedKey(row.key_version, bytes(row.wrapped))
        damaged = shop.vault.seal_features(number, row.revision, wrapped, b"not features")
        change = sa.update(schema.record).where(record.id == number).values(features=damaged)
        connection.execute(change)
    assert not shred(shop, CARD_NAME)[0].destroyed.repaired
    assert key(shop, CARD_NAME) not in stored_keys(shop)


def events(workspace: Workspace) -> list[Any]:
    with workspace.engine.connect() as connection:
        return list(connection.execute(sa.select(schema.profile_event)))
