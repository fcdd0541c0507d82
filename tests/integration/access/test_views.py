"""The gate on a real database: who sees what of whom, and the log first."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from cdp.access.answers import Page, Shown, View
from cdp.audit import log
from cdp.errors import Stop
from cdp.profiles import reader
from cdp.storage import schema
from tests.integration.access.shop import (
    MASKED,
    NAME,
    NOBODY_ID,
    PHONE,
    VALUES,
    Shop,
    fields_of,
)
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


HEADQUARTERS = {**MASKED, "openid": ("mask", "****3456"), "nickname": ("mask", "***")}
MATRIX = [
    ("clerk.bj01", "service", MASKED),
    ("clerk.sz01", "service", None),
    ("manager.bj01", "service", MASKED),
    ("manager.empty", "service", None),
    ("headquarters", "service", HEADQUARTERS),
    ("compliance", "service", None),
    ("operator", "service", None),
    ("crm", "marketing", {"name": ("clear", NAME), "phone": ("clear", PHONE)}),
    ("weekly", "analysis", {"city": ("clear", "北京市"), "birth_date": ("mask", "1990-**-**")}),
    ("stray", "service", None),
    ("clerk.bj01", "marketing", None),
    ("crm", "service", None),
    ("headquarters", "fraud", None),
    ("headquarters", "no such purpose", None),
]


def test_every_view_is_decided_by_policy(shop: Shop) -> None:
    """Invariant 1: the same person as each role sees them, field by field, or not at all."""
    for who, purpose, expected in MATRIX:
        view = shop.view(who, shop.ada, purpose)
        assert fields_of(view) == expected, (who, purpose)
        if view is not None and purpose == "service":
            assert {"national_id", "note"} <= set(view.omitted)
            assert (view.attributes, view.tags) == ({"orders": 7}, {"lifecycle": "active"})
            assert view.consent.granted == ("analysis", "marketing", "service")
            assert (view.stores == ()) == (who == "clerk.bj01")


def test_a_view_for_a_purpose_counts_only_the_records_that_allow_it(shop: Shop) -> None:
    """Invariant 8: the old spreadsheet serves service, so analysis gets the till's orders alone."""
    view = shop.view("weekly", shop.ada, "analysis")
    assert view is not None
    assert view.attributes == {"orders": 2}


def test_a_refusal_of_a_purpose_hides_the_person_from_it(shop: Shop) -> None:
    """Invariant 8: who opted out of marketing does not exist for it, and the log says why."""
    assert shop.view("crm", shop.far, "marketing") is None
    assert shop.retailer.events()[-1]["reason"] == "no_consent"
    far = shop.view("headquarters", shop.far)
    assert far is not None
    assert far.consent.refused == ("marketing",)


def test_a_former_id_shows_the_current_person(shop: Shop) -> None:
    """A merged id leads on, and the answer says from where."""
    with shop.engine.begin() as connection:
        connection.execute(
            schema.redirect.insert().values(old_id=NOBODY_ID, new_id=shop.ada, at=NOW)
        )
    view = shop.view("clerk.bj01", NOBODY_ID)
    assert view is not None
    assert (view.profile_id, view.redirected_from) == (shop.ada, NOBODY_ID)


# ── the log first ───────────────────────────────────────────────────────────


def test_the_event_is_there_before_anything_is_opened(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 2: when the vault is asked, the event is already written in the transaction."""
    written: list[int] = []
    real = reader.open_many

    def watched(connection, *rest):
        written.append(connection.scalar(sa.select(sa.func.count(schema.audit_event.c.id))))
        return real(connection, *rest)

    monkeypatch.setattr(reader, "open_many", watched)
    assert shop.view("clerk.bj01", shop.ada) is not None
    assert isinstance(shop.reveal("manager.bj01", shop.ada, "phone"), Shown)
    assert len(shop.find("clerk.bj01", "phone", PHONE)) == 1
    assert isinstance(shop.page("headquarters"), Page)
    # The look-up also left the event of the person it may not show.
    assert written == [1, 2, 4, 6]


def test_what_is_omitted_is_never_opened(shop: Shop, opened: list[str]) -> None:
    """Invariant 3: the vault opens what is shown and nothing else, for every role."""
    for who, purpose, expected in MATRIX:
        opened.clear()
        shop.view(who, shop.ada, purpose)
        assert sorted(opened) == sorted(expected or {}), who
    opened.clear()
    shop.page("headquarters")
    assert set(opened) == {"name", "phone", "email"}


def test_what_is_masked_never_leaves_unmasked(shop: Shop) -> None:
    """Invariant 3: no clear contact value stands in anything these roles get."""
    answers = [
        answer
        for who in ("clerk.bj01", "manager.bj01", "headquarters")
        for answer in (shop.view(who, shop.ada), *shop.find(who, "phone", PHONE), shop.page(who))
    ]
    shown = " ".join(
        f"{s.value} {view.attributes} {view.tags} {view}"
        for answer in answers
        for view in (answer.people if isinstance(answer, Page) else [answer])
        if isinstance(view, View)
        for s in view.fields.values()
    )
    assert "139****6789" in shown
    assert not [value for value in VALUES if value in shown]


def test_no_audit_no_reveal(shop: Shop, monkeypatch: pytest.MonkeyPatch, opened: list[str]) -> None:
    """Invariant 7: when the event cannot be written, nothing is opened and nothing comes out."""

    def broken(*_: object) -> None:
        raise OSError("no room for events")

    monkeypatch.setattr(log, "append", broken)
    monkeypatch.setattr(log, "append_all", broken)
    calls: list[Callable[[], object]] = [
        lambda: shop.view("clerk.bj01", shop.ada),
        lambda: shop.reveal("manager.bj01", shop.ada, "phone"),
        lambda: shop.find("clerk.bj01", "phone", PHONE),
        lambda: shop.page("headquarters"),
    ]
    for call in calls:
        with pytest.raises(OSError, match="no room"):
            call()
    assert opened == []


def test_a_connection_that_commits_by_itself_shows_nothing(shop: Shop, opened: list[str]) -> None:
    """Invariant 7: without a transaction to keep event and reading together, the gate is shut."""
    with shop.engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(Stop, match="autocommit"):
            shop.gate.view(autocommit, shop.subject("clerk.bj01"), shop.ada, "service")
    assert opened == []
