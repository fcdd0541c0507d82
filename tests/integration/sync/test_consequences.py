"""What a sync changes at once, and what it leaves to the next resolve."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from cdp.errors import KithError
from cdp.ingest.rejects import count_rejects
from cdp.ingest.reports import quiet
from cdp.ingest.side_by_side import sync_all
from cdp.profiles import reader
from cdp.resolution.run import SETTLED, is_outgrown, resolve
from cdp.storage import schema
from connectors.errors import ConnectorError
from identity.model import UNTRAINED
from tests.integration.sync.deliveries import Opener, deliver
from tests.journeys.tills import member

pytestmark = pytest.mark.integration


def purposes(workspace) -> list[list[str]]:
    with workspace.engine.connect() as connection:
        found = connection.scalars(sa.select(schema.profile.c.purposes))
        return sorted(list(one) for one in found)


def test_a_consent_withdrawn_in_one_record_counts_before_any_resolve(shop: Opener) -> None:
    """Who refuses marketing at the till is out of marketing as soon as the row is stored."""
    workspace = shop()
    deliver(workspace, member("C1"), member("C2", name="另一人", phone="13700000002"))
    resolve(workspace)
    assert purposes(workspace) == [["analysis", "marketing", "service"]] * 2
    deliver(workspace, member("C1", no_ads="yes"), member("C2", name="另一人", phone="13700000002"))
    assert purposes(workspace) == [["analysis", "marketing", "service"], ["analysis", "service"]]
    resolve(workspace)
    assert purposes(workspace) == [["analysis", "marketing", "service"], ["analysis", "service"]]


def test_a_store_that_the_organisation_lacks_is_set_aside(shop: Opener) -> None:
    """A mistyped store is listed, not stored: nobody could ever see its people."""
    workspace = shop()
    report = deliver(workspace, member("C1", store="stroe01"), member("C2", store="BJ01"))
    assert (report.added, report.set_aside) == (2, 1)
    with workspace.engine.connect() as connection:
        stores = set(connection.scalars(sa.select(schema.record.c.store)))
        rules = [(one.field, one.rule) for one in count_rejects(connection)]
    assert stores == {None, "BJ01"}
    assert rules == [("store", "unknown_store")]


def test_sources_side_by_side_give_what_they_give_one_by_one(shop: Opener) -> None:
    """A source that fails is reported beside those that went well."""
    workspace = shop()
    deliver(workspace, member("C1"))
    (workspace.settings.declaration.parent / "app.jsonl").unlink(missing_ok=True)
    reports, failed = sync_all(workspace, ["till", "app"], quiet)
    assert [(one.source, one.unchanged) for one in reports] == [("till", 1)]
    assert len(failed) == 1
    assert isinstance(failed[0], KithError | ConnectorError)
    assert "file_missing" in str(failed[0])


def test_another_order_of_trust_reaches_profiles_that_no_record_touched(shop: Opener) -> None:
    """Changing whom to trust builds every profile anew at the next resolve."""
    workspace = shop()
    deliver(workspace, member("C1"), member("C2", name="另一人", phone="13700000002"))
    resolve(workspace)
    with workspace.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(built_with="another order"))
        connection.execute(sa.update(schema.profile).values(golden={}))
    report = resolve(workspace)
    assert report.updated == 2
    assert resolve(workspace).updated == 0


def test_the_earlier_ids_of_a_person_are_found(shop: Opener) -> None:
    """Whoever asks who saw a person gets what was seen under every id they ever had."""
    workspace = shop()
    deliver(workspace, member("C1"), member("C2", name="另一人", phone="13700000002"))
    resolve(workspace)
    with workspace.engine.begin() as connection:
        current = connection.scalar(sa.select(schema.profile.c.id).limit(1))
        old = "p" + "0" * 20
        connection.execute(
            schema.redirect.insert().values(old_id=old, new_id=current, at=workspace.now())
        )
        assert reader.ids_of(connection, old) == (current, [old])
        assert reader.ids_of(connection, str(current)) == (current, [old])


@pytest.mark.parametrize(
    ("learnt_from", "records", "outgrown"),
    [(40, 79, False), (40, 80, True), (SETTLED - 1, 2 * SETTLED, True), (SETTLED, 10**7, False)],
)
def test_a_model_learnt_from_little_gives_way(learnt_from, records, outgrown) -> None:
    """An epoch of the first forty rows does not judge the next million."""
    assert is_outgrown(replace(UNTRAINED, learnt_from=learnt_from), records) is outgrown
