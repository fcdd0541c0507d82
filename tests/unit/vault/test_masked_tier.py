"""The vault's promises for the masked tier."""

import pytest

from cdp.vault import cells
from cdp.vault.errors import CellRefused, KeyWithheld, NotSealable, WrappedKeyRefused
from cdp.vault.roles import CONTACT, COUNTER, FULL, ROLES, first_that_opens, named
from cdp.vault.vault import NO_FORMS, TIERS, Vault
from connectors.vocabulary import IDENTITY_FIELDS, SENSITIVE_FIELDS

FORMS = {"name": "白**".encode(), "phone": b"138****1111"}
CLEAR = {"name": "白小满".encode(), "phone": b"+8613800001111"}


def said(value):
    return value.reveal(reason="test")


def test_forms_come_back_as_they_went_in(vault):
    """Masked forms open to what was sealed, with the masked key alone."""
    one = vault.seal_forms(12, 3, FORMS)
    sealed = dict(zip(one.fields, one.cells, strict=True))
    opened = vault.open_cells("masked", 12, 3, one.key, sealed)
    assert {name: said(form).encode() for name, form in opened.items()} == FORMS


def test_a_counter_opens_forms_and_nothing_else(ring, workspace, vault):
    """Promise 11: with the masked key alone forms open, and no clear value or feature does."""
    counter = Vault(ring.without(*COUNTER.withheld), workspace)
    forms, clear = vault.seal_forms(12, 3, FORMS), vault.seal_record(12, 3, CLEAR, CLEAR, b"f")
    assert said(counter.open_cell("masked", "name", 12, 3, forms.key, forms.cells[0])) == "白**"
    assert [tier for tier in TIERS if counter.holds(tier)] == ["masked"]
    for tier, key, cell in (
        ("contact", clear.contact_key, clear.contact_cells[0]),
        ("sensitive", clear.sensitive_key, clear.sensitive_cells[0]),
    ):
        with pytest.raises(KeyWithheld):
            counter.open_cell(tier, "name", 12, 3, key, cell)
        with pytest.raises(WrappedKeyRefused):
            counter.open_cell("masked", "name", 12, 3, key, cell)
    with pytest.raises(KeyWithheld):
        counter.open_features(12, 3, clear.contact_key, clear.features)
    with pytest.raises(KeyWithheld, match="record 12"):
        counter.seal_record(12, 3, CLEAR, {}, b"f")


@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier != "masked"])
def test_no_cell_is_swapped_between_tiers(vault, tier):
    """Promise 1: a form does not open as a clear value, nor a clear value as a form."""
    forms, clear = vault.seal_forms(12, 3, FORMS), vault.seal_record(12, 3, CLEAR, CLEAR, b"")
    own = getattr(clear, f"{tier}_key"), getattr(clear, f"{tier}_cells")[0]
    for key in (own[0], forms.key):
        with pytest.raises((CellRefused, WrappedKeyRefused)):
            vault.open_cell(tier, "name", 12, 3, key, forms.cells[0])
        with pytest.raises((CellRefused, WrappedKeyRefused)):
            vault.open_cell("masked", "name", 12, 3, key, own[1])


def test_the_holder_of_the_other_keys_opens_no_form_without_the_masked_one(ring, workspace, vault):
    """Promise 5: a process without the masked key works, and neither opens nor seals forms."""
    less, one = Vault(ring.without("masked"), workspace), vault.seal_forms(12, 3, FORMS)
    with pytest.raises(KeyWithheld, match="record 12"):
        less.open_cell("masked", "name", 12, 3, one.key, one.cells[0])
    with pytest.raises(KeyWithheld, match="record 12"):
        less.seal_forms(12, 3, FORMS)
    assert less.seal_forms(12, 3, {}) == NO_FORMS
    assert less.seal_record(12, 3, CLEAR, CLEAR, b"").sensitive_key is not None


def test_what_is_no_form_is_not_sealed(vault):
    """Out of range, or not bytes: an error that names the record and not the value."""
    for record, revision, forms in (
        (-1, 1, FORMS),
        (1, cells.MAX_REVISION + 1, FORMS),
        (1, 1, {"name": "白**"}),
    ):
        with pytest.raises(NotSealable) as caught:
            vault.seal_forms(record, revision, forms)
        assert "白" not in str(caught.value)


def test_every_sealing_of_a_form_has_its_own_key(vault):
    """Promise 3 and 8: equal forms seal to different bytes, under keys of their own."""
    one, two = vault.seal_forms(12, 3, FORMS), vault.seal_forms(12, 3, FORMS)
    assert one.key != two.key
    assert not set(one.cells) & set(two.cells)
    with pytest.raises(CellRefused):
        vault.open_cell("masked", "name", 12, 3, two.key, one.cells[0])


def test_a_role_has_what_it_needs_and_no_more():
    """Roles 1 and 2: a counter opens no field, and only ``full`` signs, seals or names records."""
    assert not [field for field in IDENTITY_FIELDS if COUNTER.opens(field)]
    assert {f for f in IDENTITY_FIELDS if not CONTACT.opens(f)} == SENSITIVE_FIELDS
    assert FULL.withheld == ()
    for role in (COUNTER, CONTACT):
        assert role.purposes.isdisjoint(
            {"sensitive", "features", "records", "rejects", "audit-signing", "shreds",
             "webhook-secrets", "published"}
        )  # fmt: skip
    assert first_that_opens("phone") is CONTACT
    assert first_that_opens("bank_card") is FULL
    assert all(named(name) is role for name, role in ROLES.items())
