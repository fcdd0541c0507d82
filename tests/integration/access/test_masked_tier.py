"""Clerks served without the keys: the masked tier, `cdp/access/opening.py`."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic import command

from cdp.access.answers import Denial, DenialKind, Shown
from cdp.access.principals import subject_of
from cdp.profiles.sealed import formed
from cdp.storage import migrate, schema
from cdp.vault.errors import CellRefused, KeyWithheld
from cdp.vault.ring_document import PURPOSES
from cdp.vault.roles import CONTACT, COUNTER, FULL, ROLES, ProcessRole
from connectors.record import Sensitive
from tests.integration.access.processes import Process, masked, process
from tests.integration.access.shop import MASKED, NATIONAL_ID, PHONE, Shop, fields_of

pytestmark = pytest.mark.integration
Start = Callable[[ProcessRole], Process]
HIDDEN = ("mask", "***")


@pytest.fixture
def start(shop: Shop) -> Iterator[Start]:
    """Starts processes and ends them."""
    started: list[Process] = []

    def begin(role: ProcessRole) -> Process:
        started.append(process(shop, role))
        return started[-1]

    yield begin
    for one in started:
        one.workspace.engine.dispose()


@pytest.mark.parametrize("who", ["clerk.bj01", "manager.bj01", "headquarters"])
def test_a_page_is_the_same_whatever_keys_the_process_has(shop: Shop, start: Start, who) -> None:
    """Invariant 1: once the forms are there, every role of a process shows the same."""
    masked(shop)
    seen = [start(role).view(who, shop.ada) for role in ROLES.values()]
    assert seen[0] == seen[1] == seen[2] == fields_of(shop.view(who, shop.ada))
    assert {name: seen[0][name] for name in MASKED} == MASKED


def test_no_clear_value_is_opened_for_a_clerk(shop: Shop, monkeypatch) -> None:
    """Invariant 1: a process with all keys opens nothing but the masked tier for a clerk."""
    masked(shop)
    tiers: list[str] = []
    kind = type(shop.retailer.workspace.vault)
    real = kind.open_cells

    def watched(self, tier, *rest):
        tiers.append(tier)
        return real(self, tier, *rest)

    monkeypatch.setattr(kind, "open_cells", watched)
    assert shop.view("clerk.bj01", shop.ada) is not None
    assert set(tiers) == {"masked"}
    assert isinstance(shop.reveal("manager.bj01", shop.ada, "phone"), Shown)
    assert tiers[-1] == "contact"


def test_without_forms_a_counter_shows_stars_and_others_mask(shop: Shop, start: Start) -> None:
    """Invariant 2: records from before are masked by who can, and stars for who cannot."""
    assert start(FULL).view("clerk.bj01", shop.ada) == MASKED
    assert start(COUNTER).view("clerk.bj01", shop.ada) == dict.fromkeys(MASKED, HIDDEN)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE kith_vault.masked SET masking = 'of other masks'",
        "UPDATE kith_vault.masked SET revision = 7",
        "DELETE FROM kith_keys.data_key WHERE tier = 'masked'",
        "UPDATE kith_keys.data_key SET key_version = 9 WHERE tier = 'masked'",
    ],
)
def test_forms_of_another_time_are_not_shown(shop: Shop, start: Start, change: str) -> None:
    """Invariant 2: forms of other masks or an older revision, or without a key, are as none."""
    masked(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.text(change))
    assert start(FULL).view("clerk.bj01", shop.ada) == MASKED
    assert start(COUNTER).view("clerk.bj01", shop.ada) == dict.fromkeys(MASKED, HIDDEN)


def test_a_form_moved_to_another_record_does_not_open(shop: Shop, start: Start) -> None:
    """A masked cell put into another person's row is refused, not shown."""
    masked(shop)
    columns = schema.masked.c
    with shop.engine.begin() as connection:
        far = connection.scalar(
            sa.select(schema.membership.c.record_id).where(
                schema.membership.c.profile_id == shop.far
            )
        )
        row = connection.execute(sa.select(columns.fields, columns.cells).where(
            columns.record_id == shop.till)).one()  # fmt: skip
        connection.execute(
            sa.update(schema.masked)
            .where(columns.record_id == far)
            .values(fields=row.fields, cells=row.cells)
        )
    with pytest.raises(CellRefused, match="field"):
        start(COUNTER).view("clerk.sz01", shop.far)


def test_a_counter_lowers_what_policy_shows_clear(shop: Shop, start: Start) -> None:
    """Invariant 3: a system that would get clear values gets masked ones from a counter."""
    masked(shop)
    clear = start(FULL)
    with clear.workspace.engine.begin() as connection:
        subject = _service(clear)
        full = clear.gate.view(connection, subject, shop.ada, "marketing")
    counter = start(COUNTER)
    with counter.workspace.engine.begin() as connection:
        lowered = counter.gate.view(connection, subject, shop.ada, "marketing")
    assert full.fields["phone"] == Shown(PHONE, "clear")
    assert lowered.fields["phone"] == Shown("139****6789", "mask")
    assert lowered.fields.keys() == full.fields.keys()


def _service(one: Process):
    return subject_of(one.workspace, "crm")


def test_a_counter_refuses_to_reveal_and_the_log_says_so(shop: Shop, start: Start) -> None:
    """Gate 9: a reveal without the key is a refusal that names who can, with its event."""
    masked(shop)
    answer = start(COUNTER).reveal("manager.bj01", shop.ada, "phone")
    assert isinstance(answer, Denial)
    assert (answer.kind, answer.reason) == (DenialKind.FORBIDDEN, "key_withheld")
    assert "--role contact" in answer.sentence
    last = shop.retailer.events()[-1]
    assert (last["decision"], last["reason"], last["action"]) == (
        "deny", "key_withheld", "profile.reveal",
    )  # fmt: skip
    assert last["profile_id"] == shop.ada
    assert isinstance(start(CONTACT).reveal("manager.bj01", shop.ada, "phone"), Shown)


def test_what_policy_refuses_is_refused_as_policy_says(shop: Shop, start: Start) -> None:
    """Gate 9: a clerk hears from a counter what they hear everywhere, not which keys it has."""
    for role in ROLES.values():
        answer = start(role).reveal("clerk.bj01", shop.ada, "phone")
        assert isinstance(answer, Denial)
        assert answer.reason != "key_withheld"


@pytest.mark.parametrize("role", [COUNTER, CONTACT], ids=lambda role: role.name)
def test_a_process_holds_the_keys_of_its_role_and_no_other(shop: Shop, start: Start, role) -> None:
    """The ring of a process has the purposes of its role, and gives no other key."""
    ring = start(role).workspace.keyring
    assert {one for one in PURPOSES if ring.holds(one)} == role.purposes
    for purpose in role.withheld:
        with pytest.raises(KeyWithheld):
            ring.secret(purpose, 1)
    held = {
        secret.expose() for versions in ring._keys.values() for secret in versions.secrets.values()
    }
    whole = shop.retailer.workspace.keyring
    assert held == {whole.secret(one).expose() for one in role.purposes}


def test_look_ups_work_at_a_counter(shop: Shop, start: Start) -> None:
    """A clerk finds a customer by the phone number that the customer gives."""
    masked(shop)
    counter = start(COUNTER)
    with counter.workspace.engine.begin() as connection:
        subject = subject_of(counter.workspace, "clerk.bj01")
        found = counter.gate.find(connection, subject, "phone", None, Sensitive(PHONE), "service")
    assert [one.profile_id for one in found] == [shop.ada]


def test_the_sensitive_tier_has_masked_forms_too(shop: Shop) -> None:
    """An ID number's form is sealed under the masked key, and says what its mask says."""
    masked(shop)
    vault = shop.retailer.workspace.vault
    with shop.engine.begin() as connection:
        legacy = connection.scalar(sa.select(schema.sensitive.c.record_id))
        version = shop.retailer.workspace.forms.version
        ((_, number, _, one),) = formed(connection, {"x": {"national_id": legacy}}, version)
    opened = vault.open_cells("masked", number, one.revision, one.wrapped, one.cells)
    shown = opened["national_id"].reveal(reason="test")
    assert shown == f"{NATIONAL_ID[:2]}****{NATIONAL_ID[-1]}"


def test_a_ring_of_an_earlier_release_serves_as_before(shop: Shop) -> None:
    """Without the `masked` key nothing is opened from that tier, and values are masked."""
    masked(shop)
    workspace = shop.retailer.workspace
    older = Process(replace(workspace, keyring=workspace.keyring.without("masked")))
    assert older.view("clerk.bj01", shop.ada) == MASKED


def test_a_database_from_before_goes_on(shop: Shop, start: Start) -> None:
    """A database of the release before is migrated, shows the same, and gets its forms later."""
    configuration = migrate._configuration()
    with shop.engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0007")
    migrate.upgrade(shop.engine)
    assert migrate.is_current(shop.engine)
    assert start(FULL).view("clerk.bj01", shop.ada) == MASKED
    assert start(COUNTER).view("clerk.bj01", shop.ada) == dict.fromkeys(MASKED, HIDDEN)
    masked(shop)
    assert start(COUNTER).view("clerk.bj01", shop.ada) == MASKED


def test_a_counter_looks_nobody_up_by_parts(shop: Shop, start: Start) -> None:
    """Gate 9: candidates would have to be opened to be compared, so the look-up is refused."""
    parts = {"surname": Sensitive("欧阳"), "phone_tail_4": Sensitive("6789")}
    counter = start(COUNTER)
    with counter.workspace.engine.begin() as connection:
        subject = subject_of(counter.workspace, "clerk.bj01")
        answer = counter.gate.find_by_parts(connection, subject, parts, "service")
    assert isinstance(answer, Denial)
    assert answer.reason == "key_withheld"
    assert shop.retailer.events()[-1]["reason"] == "key_withheld"
