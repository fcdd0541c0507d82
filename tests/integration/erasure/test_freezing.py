"""A frozen record is stored and not read: nothing of it is shown on any road."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.access.answers import Denial, Page, Shown, View
from cdp.access.principals import subject_of
from cdp.access.reveal_gate import RevealGate
from cdp.ingest.sync import sync
from cdp.profiles import reader
from cdp.publish.run import run as publish
from cdp.resolution import membership
from cdp.resolution.history import at_time
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.vault.blind import BlindIndexer
from cdp.workspace import Workspace
from connectors.record import Sensitive
from connectors.vocabulary import IDENTITY_FIELDS
from tests.integration.erasure.household import (
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CARD,
    CARD_NAME,
    SECOND_NAME,
    freeze,
    home_of,
    key,
    settle,
    tag,
    unfreeze,
)
from tests.journeys.state import rows_as_stored
from tests.journeys.tills import write_till

pytestmark = pytest.mark.integration

ON_THE_CARD_ALONE = ("anna.marked", "11010519491231002X", "1949", "4711", "C900001", "BJ01")


def shown(workspace: Workspace, who: str, work: Callable[..., Any]) -> Any:
    with workspace.engine.begin() as connection:
        return work(RevealGate(workspace), connection, subject_of(workspace, who))


def everything(workspace: Workspace, profile_id: str) -> str:
    """All that head office is shown of a person, on every road but publishing, as text."""
    found: list[Any] = [
        shown(workspace, "headquarters", lambda g, on, who, p=p: g.view(on, who, profile_id, p))
        for p in ("service", "marketing", "analysis")
    ]
    page = shown(workspace, "headquarters", lambda g, on, who: g.list_page(on, who, "service"))
    assert isinstance(page, Page)
    found += [view for view in page.people if view.profile_id == profile_id]
    found = [in_words(view) for view in found if view is not None]
    for field in sorted(IDENTITY_FIELDS):
        answer = shown(
            workspace,
            "headquarters",
            lambda g, on, who, f=field: g.reveal(on, who, profile_id, f, "service", "asked"),
        )
        found += [answer.value] if isinstance(answer, Shown) else []
    with workspace.engine.connect() as connection:
        found.append(at_time(connection, profile_id, workspace.now()))
        stored = reader.load_many(connection, [profile_id], ()).get(profile_id)
        assert stored is not None
        found.append((stored.golden, stored.attributes, stored.records[0].fields))
        found.append([(one.fields, dict(one.attributes), one.store) for one in stored.records])
        opened = reader.open_fields(connection, workspace.vault, stored, IDENTITY_FIELDS, None)
        found.append({name: value.reveal(reason="test") for name, value in opened.items()})
        found.append(reader.tags_of(connection, [profile_id]))
        found.append(reader.evidence(connection, profile_id))
    return repr(found)


def in_words(view: View) -> str:
    """All that a view shows: it does not show it by itself."""
    fields = {name: one.value for name, one in view.fields.items()}
    return repr((fields, dict(view.attributes), dict(view.tags), view.stores))


def test_nothing_of_a_frozen_record_is_shown(shop: Workspace) -> None:
    """Shredding 5, reader 6: what stood on the frozen card alone is on no road."""
    profile_id = str(home_of(shop, CARD_NAME))
    before = everything(shop, profile_id)
    assert not [mark for mark in ON_THE_CARD_ALONE if mark not in before]
    changed = freeze(shop, CARD_NAME)
    assert (changed.records, changed.profiles) == (1, (profile_id,))
    after = everything(shop, profile_id)
    assert not [mark for mark in ON_THE_CARD_ALONE if mark in after]
    assert "欧阳晓梅" in after  # of the accounts, which are not frozen


def test_the_person_stays_one(shop: Workspace) -> None:
    """Shredding 5: freezing moves nobody, and a full resolve moves nobody either."""
    before = {name: home_of(shop, name) for name in (*ALL, BELLA_NAME)}
    freeze(shop, CARD_NAME)
    assert {name: home_of(shop, name) for name in before} == before
    resolve(shop, full=True)
    assert {name: home_of(shop, name) for name in before} == before
    with shop.engine.connect() as connection:
        size = sa.select(schema.profile.c.size).where(schema.profile.c.id == before[CARD_NAME])
        assert connection.scalar(size) == 3


def test_a_frozen_record_is_not_found_by_its_identifiers(shop: Workspace) -> None:
    """Reader 6: the card number alone leads to nobody; the phone still leads over the accounts."""
    indexer = BlindIndexer(shop.keyring)
    phone = "+8613957140286"

    def found(field: str, value: str) -> list[str]:
        with shop.engine.connect() as connection:
            return reader.find(connection, indexer, field, None, value)

    assert found("email", "anna.marked@example.com")
    freeze(shop, CARD_NAME)
    assert found("email", "anna.marked@example.com") == []
    assert found("phone", phone) == [home_of(shop, ACCOUNT_NAME)]
    answer = shown(
        shop,
        "headquarters",
        lambda g, on, who: g.find(
            on, who, "email", None, Sensitive("anna.marked@example.com"), "service"
        ),
    )
    assert answer == [] or isinstance(answer, Denial)


def test_consent_of_a_frozen_record_counts_no_more_and_its_refusal_does(shop: Workspace) -> None:
    """Shredding 5: a grant is read no more; a refusal still counts for the person."""
    folder = shop.settings.declaration.parent
    write_till(folder, [{**CARD, "no_ads": "yes"}])
    sync(shop, "till")
    resolve(shop)
    profile_id = home_of(shop, CARD_NAME)

    def purposes() -> list[str]:
        with shop.engine.connect() as connection:
            row = sa.select(schema.profile.c.purposes).where(schema.profile.c.id == profile_id)
            return list(connection.scalar(row) or ())

    assert purposes() == ["analysis", "service"]
    freeze(shop, CARD_NAME)
    # Analysis was granted by the card alone; marketing by the accounts, and refused by it.
    assert purposes() == ["service"]
    unfreeze(shop, CARD_NAME)
    assert purposes() == ["analysis", "service"]


def test_new_content_of_a_frozen_record_is_stored_and_not_read(shop: Workspace) -> None:
    """Shredding 5: a delivery does not thaw, nor grant anything at once."""
    freeze(shop, CARD_NAME)
    profile_id = str(home_of(shop, CARD_NAME))
    folder = shop.settings.declaration.parent
    write_till(folder, [{**CARD, "email": "anna.marked.new@example.com"}])
    assert sync(shop, "till").changed == 1
    with shop.engine.connect() as connection:
        row = connection.execute(
            sa.select(schema.profile.c.purposes).where(schema.profile.c.id == profile_id)
        ).one()
    assert "analysis" not in row.purposes
    resolve(shop)
    tag(shop)
    after = everything(shop, profile_id)
    assert not [mark for mark in ON_THE_CARD_ALONE if mark in after]


def test_nothing_of_a_frozen_record_is_published_or_exported(
    shop: Workspace, tmp_path: Path
) -> None:
    """Shredding 5: the file that goes out, and the list of members, do without it."""
    out = shop.settings.declaration.parent / "exports" / "crm.csv"
    assert publish(shop, ["crm"])[0].stopped is None
    assert "anna.marked" in out.read_text("utf-8")
    freeze(shop, CARD_NAME)
    assert publish(shop, ["crm"])[0].stopped is None
    text = out.read_text("utf-8")
    assert not [mark for mark in ON_THE_CARD_ALONE if mark in text]
    assert "欧阳晓梅" in text
    members = tmp_path / "members.csv"
    with shop.engine.connect() as connection:
        membership.export(connection, shop.vault, members)
    with members.open(encoding="utf-8") as file:
        names = {row["record_id"] for row in csv.DictReader(file)}
    assert names == {"oAnnaMarked01", "oAnnaMarked02", "oBellaStays1"}


def test_thawed_all_is_as_before(shop: Workspace) -> None:
    """Freezing and thawing leaves every profile as it was; twice changes nothing more."""
    profile_id = str(home_of(shop, CARD_NAME))
    before = everything(shop, profile_id)
    freeze(shop, profile_id)
    assert freeze(shop, CARD_NAME).records == 0
    assert unfreeze(shop, profile_id).records == 3
    tag(shop)
    after = everything(shop, profile_id)
    # The moment of the last change is another one.
    assert [mark for mark in ON_THE_CARD_ALONE if mark in after] == [
        mark for mark in ON_THE_CARD_ALONE if mark in before
    ]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(frozen=st.sets(st.sampled_from(ALL)))
def test_whatever_is_frozen_only_the_others_speak(shop: Workspace, frozen: set[str]) -> None:
    """Shredding 5, as a law: golden fields, attributes, stores and grants are of the others."""
    for name in ALL:
        (freeze if name in frozen else unfreeze)(shop, name)
    profile_id = home_of(shop, CARD_NAME)
    records = schema.record.c
    with shop.engine.connect() as connection:
        row = connection.execute(
            sa.select(schema.profile).where(schema.profile.c.id == profile_id)
        ).one()
        ids = {
            bytes(one.key): one.id for one in connection.execute(sa.select(records.key, records.id))
        }
    silent = {ids[key(shop, name)] for name in frozen}
    assert not silent & set(row.golden.values())
    assert row.size == 3
    assert row.stores == ([] if CARD_NAME in frozen else ["BJ01"])
    assert row.attributes == ({} if CARD_NAME in frozen else {"total_spent": "4711.07"})
    granted = set() if CARD_NAME in frozen else {"service", "marketing", "analysis"}
    granted |= {"service", "marketing"} if {ACCOUNT_NAME, SECOND_NAME} - frozen else set()
    assert set(row.purposes) == granted


def test_a_second_sync_of_the_same_content_leaves_it_frozen(shop: Workspace) -> None:
    """Delivered as it is known, a frozen record stays untouched."""
    freeze(shop, CARD_NAME)
    before = rows_as_stored(shop.engine)["kith.record"]
    settle(shop)
    assert rows_as_stored(shop.engine)["kith.record"] == before
