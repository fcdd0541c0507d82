"""The gate on a real database: who sees what of whom, and what it leaves in the log."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from cdp.access import gate as gates
from cdp.access import keys
from cdp.access.answers import NOT_FOUND, Denial, DenialKind, Page, Shown, View
from cdp.access.gate import Gate
from cdp.access.principals import subject_of, sync_principals
from cdp.audit import log
from cdp.errors import KithError, Refused, Stop
from cdp.profiles import reader
from cdp.storage import schema
from connectors.record import Sensitive
from policies.decision import Scope
from tests.integration.retailer import NOW, Retailer

pytestmark = pytest.mark.integration

NAME, PHONE, EMAIL, BORN = "欧阳金丝", "+8613912346789", "canary.bird@example.com", "1990-02-17"
CARD, OPENID, NATIONAL_ID = "V100200300", "oAbCdEfGh_123456", "11010519491231002X"
NOTE, NICK = "金丝雀备注", "金丝雀昵称"
VALUES = (NAME, PHONE, EMAIL, BORN, CARD, OPENID, NATIONAL_ID, NOTE, NICK)
NOBODY_ID = "p0000000000000000000z"
ROLES = (
    "clerk.bj01", "clerk.sz01", "manager.bj01", "manager.empty", "headquarters",
    "compliance", "operator", "crm", "weekly", "stray",
)  # fmt: skip


class Shop:
    """A retailer with two people, and its gate."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        self.retailer = Retailer(engine, home)
        self.engine = engine
        self.gate = Gate(self.retailer.workspace)
        self.till = self.retailer.record(
            "pos",
            {
                "name": NAME, "phone": PHONE, "birth_date": BORN, "gender": "female",
                "loyalty_card": CARD, "city": "北京市", "note": NOTE,
            },
            store="BJ01",
            attributes={"orders": 2},
        )  # fmt: skip
        legacy = self.retailer.record(
            "legacy",
            {"national_id": NATIONAL_ID, "email": EMAIL, "openid": OPENID, "nickname": NICK},
            purposes=("service",),
            attributes={"orders": 5},
        )
        self.ada = self.retailer.person(self.till, legacy)
        self.far = self.retailer.person(
            self.retailer.record(
                "shop",
                {"name": "赵一", "phone": PHONE},
                store="SZ01",
                refused=("marketing",),
                attributes={"orders": 1},
            )
        )
        with engine.begin() as connection:
            connection.execute(
                schema.tag.insert().values(
                    profile_id=self.ada, name="lifecycle", value="active", rule_version="1", at=NOW
                )
            )

    def subject(self, who: str):
        """Who asks, by id."""
        return subject_of(self.retailer.workspace, who)

    def view(self, who: str, profile_id: str, purpose: str = "service") -> View | None:
        """One person, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.view(connection, self.subject(who), profile_id, purpose)

    def find(self, who: str, field: str, typed: str, purpose="service", scope=None):
        """A look-up, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.find(
                connection, self.subject(who), field, scope, Sensitive(typed), purpose
            )

    def reveal(self, who: str, profile_id: str, field: str, reason="Call back about ticket 4711"):
        """A reveal for service, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.reveal(
                connection, self.subject(who), profile_id, field, "service", reason
            )

    def page(self, who: str, purpose="service", after=None, limit=50) -> Page | Denial:
        """A page, in a transaction of its own."""
        with self.engine.begin() as connection:
            return self.gate.list_page(connection, self.subject(who), purpose, after, limit)


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Shop:
    return Shop(engine, home)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> list[str]:
    """Every field that the vault opens, in order."""
    seen: list[str] = []
    real = type(shop.retailer.workspace.vault).open_cells

    def watched(self, tier, record_id, revision, wrapped, sealed):
        seen.extend(sealed)
        return real(self, tier, record_id, revision, wrapped, sealed)

    monkeypatch.setattr(type(shop.retailer.workspace.vault), "open_cells", watched)
    return seen


def fields_of(view: View | None) -> dict[str, tuple[str, str]] | None:
    return None if view is None else {f: (s.treatment, s.value) for f, s in view.fields.items()}


# ── who sees what ───────────────────────────────────────────────────────────

MASKED = {
    "name": ("mask", "欧阳**"),
    "phone": ("mask", "139****6789"),
    "email": ("mask", "c***@example.com"),
    "birth_date": ("mask", "1990-**-**"),
    "loyalty_card": ("mask", "****0300"),
    "gender": ("clear", "female"),
    "city": ("clear", "北京市"),
}
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


# ── denied, and silent ──────────────────────────────────────────────────────


def test_not_yours_and_no_such_person_are_one_answer(shop: Shop) -> None:
    """Invariant 4: nobody can tell a stranger's id from an id that does not exist."""
    fields = ["phone", "national_id", "nickname", "evidence", "no such field"]
    for who, field in product(ROLES, fields):
        asked = [
            (
                shop.view(who, profile_id) if shop.view(who, shop.far) is None else None,
                shop.reveal(who, profile_id, field),
            )
            for profile_id in (shop.far, NOBODY_ID, "+8613912345678")
        ]
        seen_by_whole_brand = who == "headquarters"
        if not seen_by_whole_brand:
            assert asked[0] == asked[1] == asked[2], who
        assert asked[1] == asked[2], who


def test_the_same_work_is_done_for_both(shop: Shop) -> None:
    """Invariant 4: the statements behind "not yours" and "no such person" are the same."""
    statements: list[str] = []
    sa.event.listen(shop.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    shop.view("clerk.bj01", shop.far)
    not_mine, statements[:] = list(statements), []
    shop.view("clerk.bj01", NOBODY_ID)
    assert statements == not_mine
    assert len(statements) == 2


def test_a_denied_attempt_is_in_the_log(shop: Shop) -> None:
    """Invariant 5: who tried what, with whom, for what, and which rule said no."""
    shop.view("clerk.sz01", shop.ada)
    shop.view("clerk.bj01", NOBODY_ID)
    shop.view("compliance", "+8613912345678")
    shop.reveal("clerk.bj01", shop.ada, "phone")
    shop.find("clerk.bj01", "national_id", NATIONAL_ID)
    shop.find("clerk.bj01", "phone", "139****6789")
    shop.find("clerk.sz01", "loyalty_card", CARD)
    shop.find("clerk.bj01", "phone", "13711112222")
    shop.page("clerk.bj01")
    shop.view("headquarters", shop.ada, "13912345678")
    told = [
        (e["actor"], e["action"], e["reason"], e["profile_id"], e["fields"])
        for e in shop.retailer.events()
    ]
    assert told == [
        ("clerk.sz01", "profile.read", "outside_scope", shop.ada, []),
        ("clerk.bj01", "profile.read", "no_store", NOBODY_ID, []),
        ("compliance", "profile.read", "no_rule", None, []),
        ("clerk.bj01", "profile.reveal", "denied", shop.ada, ["phone"]),
        ("clerk.bj01", "profile.find", "no_rule", None, ["national_id"]),
        ("clerk.bj01", "profile.find", "identifier_unusable", None, ["phone"]),
        ("clerk.sz01", "profile.find", "outside_scope", shop.ada, ["loyalty_card"]),
        ("clerk.bj01", "profile.find", "no_such_profile", None, ["phone"]),
        ("clerk.bj01", "profile.list", "no_rule", None, []),
        ("headquarters", "profile.read", "unknown_purpose", shop.ada, []),
    ]
    events = shop.retailer.events()
    assert {e["decision"] for e in events} == {"deny"}
    assert events[-1]["purpose"] == "unknown"
    assert not [value for value in VALUES if value in str(events)]


def test_why_nobody_is_shown_can_be_asked(shop: Shop) -> None:
    """A role that sees nobody is told why; a role that sees some people is told nothing."""
    gate = shop.gate
    for who in ("compliance", "operator", "stray"):
        denial = gate.refusal(shop.subject(who), "read", "service")
        assert denial is not None
        assert denial.kind is DenialKind.FORBIDDEN
        assert denial.sentence.endswith(".")
    for who in ("clerk.bj01", "manager.bj01", "manager.empty", "headquarters"):
        assert gate.refusal(shop.subject(who), "read", "service") is None


# ── look-ups ────────────────────────────────────────────────────────────────


def test_a_clerk_finds_the_member_who_stands_before_them(shop: Shop) -> None:
    """Invariant 6: a whole number, however typed, finds the members of one's own store alone."""
    (view,) = shop.find("clerk.bj01", "phone", "139 1234-6789")
    assert view.profile_id == shop.ada
    assert fields_of(view) == MASKED
    assert {one.profile_id for one in shop.find("headquarters", "phone", PHONE)} == {
        shop.ada,
        shop.far,
    }
    assert shop.find("clerk.bj01", "loyalty_card", CARD)[0].profile_id == shop.ada
    assert shop.find("clerk.bj01", "loyalty_card", CARD, scope="kith")[0].profile_id == shop.ada
    assert shop.find("clerk.bj01", "loyalty_card", CARD, scope="other") == []


REFUSED_SEARCHES = [
    ("clerk.bj01", "phone", "1391234", DenialKind.UNUSABLE, "no_area_code"),
    ("clerk.bj01", "phone", "139****6789", DenialKind.UNUSABLE, "masked"),
    ("clerk.bj01", "phone", "13800138000", DenialKind.UNUSABLE, "filler"),
    ("clerk.bj01", "name", NAME, DenialKind.FORBIDDEN, "no_rule"),
    ("clerk.bj01", "openid", OPENID, DenialKind.FORBIDDEN, "no_rule"),
    ("headquarters", "birth_date", BORN, DenialKind.FORBIDDEN, "no_rule"),
    ("headquarters", "national_id", NATIONAL_ID, DenialKind.FORBIDDEN, "no_rule"),
    ("crm", "phone", PHONE, DenialKind.FORBIDDEN, "no_rule"),
    ("compliance", "phone", PHONE, DenialKind.FORBIDDEN, "no_rule"),
]


def test_nobody_searches_by_what_is_masked_for_them(shop: Shop) -> None:
    """Invariant 6: parts, masks, fillers and every other field find nobody."""
    for who, field, typed, kind, reason in REFUSED_SEARCHES:
        denial = shop.find(who, field, typed)
        assert isinstance(denial, Denial)
        assert (denial.kind, denial.reason) == (kind, reason), (who, field)
        assert typed not in repr(denial)


def test_a_shared_number_shows_at_most_twenty(shop: Shop) -> None:
    """A number with more people than twenty names nobody, so the answer is cut."""
    for _ in range(gates.MOST_FOUND + 2):
        shop.retailer.person(shop.retailer.record("pos", {"phone": "+8613711112222"}, store="BJ01"))
    assert len(shop.find("clerk.bj01", "phone", "13711112222")) == gates.MOST_FOUND


# ── reveals ─────────────────────────────────────────────────────────────────


def test_an_allowed_reveal_leaves_its_event(shop: Shop, opened: list[str]) -> None:
    """A manager gets one clear field, and the log keeps who, whom, what and why."""
    shown = shop.reveal("manager.bj01", shop.ada, "phone")
    assert shown == Shown(PHONE, "clear")
    assert opened == ["phone"]
    (event,) = shop.retailer.events()
    assert (event["action"], event["decision"], event["fields"]) == (
        "profile.reveal", "allow", ["phone"],
    )  # fmt: skip
    assert event["detail"] == "Call back about ticket 4711"
    assert event["profile_id"] == shop.ada
    assert event["policy_version"] == shop.retailer.workspace.policy.version
    assert PHONE not in repr(shown) + str(event)


REFUSED_REVEALS = [
    ("clerk.bj01", "phone", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("manager.bj01", "national_id", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("headquarters", "national_id", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("compliance", "phone", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "birth_date", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "attributes", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "no such", "ticket 4711", DenialKind.FORBIDDEN, "unknown_field"),
    ("manager.bj01", "phone", " ", DenialKind.UNUSABLE, "detail_length"),
    ("manager.bj01", "phone", "x" * 201, DenialKind.UNUSABLE, "detail_length"),
    ("manager.bj01", "phone", "call 13912345678", DenialKind.UNUSABLE,
     "detail_like_personal_number"),
    ("manager.bj01", "phone", f"mail {EMAIL}", DenialKind.UNUSABLE, "detail_like_email"),
    ("manager.bj01", "address", "ticket 4711", DenialKind.NOT_FOUND, "no_value"),
    ("clerk.sz01", "phone", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("manager.empty", "phone", "ticket 4711", DenialKind.NOT_FOUND, "not_found"),
]  # fmt: skip


def test_a_refused_reveal_says_why(shop: Shop, opened: list[str]) -> None:
    """Invariant 5: each refusal has its reason, opens nothing and stands in the log."""
    for who, field, reason, kind, code in REFUSED_REVEALS:
        denial = shop.reveal(who, shop.ada, field, reason)
        assert isinstance(denial, Denial)
        assert (denial.kind, denial.reason) == (kind, code), (who, field)
    assert opened == []
    events = shop.retailer.events()
    assert [event["decision"] for event in events] == ["deny"] * len(REFUSED_REVEALS)
    assert not [value for value in VALUES if value in str(events)]


def test_a_value_whose_key_is_gone_is_no_value(shop: Shop) -> None:
    """After erasure a reveal finds nothing, and fails no louder than an empty field."""
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.data_key))
    denial = shop.reveal("manager.bj01", shop.ada, "phone")
    assert isinstance(denial, Denial)
    assert denial.reason == "no_value"
    view = shop.view("manager.bj01", shop.ada)
    assert view is not None
    assert view.fields == {}


# ── pages ───────────────────────────────────────────────────────────────────


def test_a_page_holds_the_people_of_the_scope_in_the_order_of_ids(shop: Shop) -> None:
    """Invariant 6: pages have one order and one filter, the scope; one event for each person."""
    first = shop.page("headquarters", limit=1)
    assert isinstance(first, Page)
    second = shop.page("headquarters", after=first.after, limit=1)
    assert isinstance(second, Page)
    ids = [view.profile_id for page in (first, second) for view in page.people]
    assert ids == sorted([shop.ada, shop.far])
    assert second.after is None
    assert [event["profile_id"] for event in shop.retailer.events()] == ids
    marketing = shop.page("headquarters", "marketing")
    assert isinstance(marketing, Page)
    assert [view.profile_id for view in marketing.people] == [shop.ada]


def test_a_page_starts_after_an_id_and_nothing_else(shop: Shop) -> None:
    """A cursor that is no profile id is refused and not repeated."""
    denial = shop.page("headquarters", after="139\0")
    assert isinstance(denial, Denial)
    assert denial.reason == "cursor_unusable"


def test_an_empty_scope_is_false_and_never_absent(shop: Shop) -> None:
    """Who has no store under them gets a filter that lets nobody through."""
    with shop.engine.connect() as connection:
        for scope, expected in [
            (Scope(all=False, stores=frozenset()), 0),
            (Scope(all=False, stores=frozenset({"BJ01"})), 1),
            (Scope(all=True, stores=frozenset()), 2),
        ]:
            statement = sa.select(sa.func.count(schema.profile.c.id)).where(gates.inside(scope))
            assert connection.scalar(statement) == expected


# ── evidence ────────────────────────────────────────────────────────────────


def test_evidence_is_for_those_who_may_judge_it(shop: Shop) -> None:
    """A manager sees why the records are one person, a clerk does not; both are in the log."""
    with shop.engine.begin() as connection:
        answers = [
            shop.gate.evidence(connection, shop.subject(who), profile_id, "service")
            for who, profile_id in [
                ("manager.bj01", shop.ada),
                ("clerk.bj01", shop.ada),
                ("manager.bj01", shop.far),
                ("manager.bj01", NOBODY_ID),
            ]
        ]
    assert [member.source for member in answers[0].records] == ["pos", "legacy"]
    assert answers[1].kind is DenialKind.FORBIDDEN
    assert answers[2] == answers[3] == NOT_FOUND
    assert [event["decision"] for event in shop.retailer.events()] == ["allow", *["deny"] * 3]


# ── principals ──────────────────────────────────────────────────────────────


def test_a_service_gets_the_contract_of_its_destination(shop: Shop) -> None:
    """Principals 2: fields and purpose come from the destination; without one, nothing does."""
    crm, stray = shop.subject("crm"), shop.subject("stray")
    assert crm.contract_fields == {"profile_id", "name", "phone", "tags"}
    assert crm.contract_purpose == "marketing"
    assert (stray.contract_fields, stray.contract_purpose) == (frozenset(), None)
    with pytest.raises(Stop, match="no_such_principal"):
        shop.subject("somebody")


def test_who_left_is_gone_and_their_keys_are_revoked(shop: Shop) -> None:
    """Principals 1: syncing again changes nothing; a principal who left loses their keys."""
    workspace, later = shop.retailer.workspace, NOW + dt.timedelta(hours=1)
    with shop.engine.begin() as connection:
        assert sync_principals(connection, workspace.declaration, later) == 0
        key = keys.issue(connection, shop.retailer.keys, "clerk.bj01", NOW)
        left = {"clerk.bj01", "operator"}
        remaining = {
            name: replace(one, node="south") if name == "clerk.sz01" else one
            for name, one in workspace.declaration.principals.items()
            if name not in left
        }
        changed = replace(workspace.declaration, principals=MappingProxyType(remaining))
        assert sync_principals(connection, changed, later) == 3
        stored = dict(
            connection.execute(sa.select(schema.principal.c.id, schema.principal.c.node)).all()
        )
        assert stored["clerk.sz01"] == "south"
        assert "clerk.bj01" in stored  # its key still names it
        assert "operator" not in stored
        assert keys.authenticate(connection, shop.retailer.keys, key.text, later) is None
        assert sync_principals(connection, changed, later) == 0


# ── keys ────────────────────────────────────────────────────────────────────


def test_a_key_is_shown_once_and_stored_as_a_digest(shop: Shop) -> None:
    """Keys 1: neither the table nor a listing nor a repr holds the secret half."""
    with shop.engine.begin() as connection:
        key = keys.issue(connection, shop.retailer.keys, "crm", NOW)
        secret = key.text.rpartition("_")[2]
        row = connection.execute(sa.select(schema.api_key)).one()
        (listed,) = keys.list_keys(connection, NOW)
    assert key.text == f"kith_{key.id}_{secret}"
    assert secret not in f"{key!r} {listed!r} {row!r}"
    assert secret.encode() not in bytes(row.digest)
    assert bytes.fromhex(secret) not in bytes(row.digest)
    assert (listed.principal_id, listed.state) == ("crm", "active")


def test_every_bad_key_gets_one_answer(shop: Shop) -> None:
    """Keys 2: unknown, garbled, wrong, expired and revoked keys are nobody's."""
    records, day = shop.retailer.keys, dt.timedelta(days=1)
    with shop.engine.begin() as connection:
        good = keys.issue(connection, records, "crm", NOW)
        short = keys.issue(connection, records, "crm", NOW, day)
        ended = keys.issue(connection, records, "crm", NOW)
        assert keys.revoke(connection, ended.id, NOW + day)
        assert not keys.revoke(connection, ended.id, NOW)
        assert not keys.revoke(connection, "none", NOW)
        assert keys.authenticate(connection, records, good.text, NOW) == "crm"
        assert keys.authenticate(connection, records, short.text, NOW) == "crm"
        bad = [
            short.text, ended.text, "", "kith", "kith__", good.text + "0", good.text[:-1],
            good.text.upper(), f"kith_{'0' * 16}_{'0' * 64}", f"kith_{good.id}_{'0' * 64}",
            f"kith_{short.id}_{good.text.rpartition('_')[2]}", "\0\ud800",
        ]  # fmt: skip
        for text in bad:
            assert keys.authenticate(connection, records, text, NOW + day) is None
        states = {key.id: key.state for key in keys.list_keys(connection, NOW + day)}
    assert states == {good.id: "active", short.id: "expired", ended.id: "revoked"}


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_key_ends(shop: Shop, days: int) -> None:
    """Keys 3: a key without an end, or with one too far off, is not issued."""
    with shop.engine.begin() as connection, pytest.raises(Refused, match="key_life"):
        keys.issue(connection, shop.retailer.keys, "crm", NOW, dt.timedelta(days=days))
    with shop.engine.begin() as connection, pytest.raises(KithError, match="no_such_principal"):
        keys.issue(connection, shop.retailer.keys, "somebody", NOW)
