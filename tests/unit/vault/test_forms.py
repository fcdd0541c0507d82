"""What is stored of a value for who must not open it: `cdp/vault/forms.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.vault.forms import AT_COUNTER, Forms
from connectors.vocabulary import IDENTITY_FIELDS, SENSITIVE_FIELDS
from policies import masks
from policies.declarations import load_masking

MASKING = load_masking()
FORMS = Forms(MASKING)
SAID = {
    "name": "欧阳晓梅",
    "phone": "+8613957140286",
    "email": "anna.marked@example.com",
    "birth_date": "1949-12-31",
    "national_id": "11010519491231002X",
    "bank_card": "6222021987112349171",
    "address": "北京市朝阳区建国路88号",
    "loyalty_card": "QX7190825613",
}
VALUES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(sorted(SAID.values())),
    st.from_regex(r"\+861[3-9][0-9]{9}", fullmatch=True),
    st.from_regex(r"[a-z]{1,12}@(qq\.com|kith\.example)", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{16}[0-9X]", fullmatch=True),
)


@given(st.sampled_from(sorted(IDENTITY_FIELDS - AT_COUNTER)), VALUES)
def test_a_form_is_the_mask_of_its_value(field: str, value: str) -> None:
    """Promise 1: what is stored is the mask of the clear value, or nothing for three stars."""
    mask = masks.mask(MASKING[field], value)
    assert FORMS.of([(field, value)]) == ({} if mask == masks.HIDDEN else {field: mask})


@given(st.sampled_from(sorted(IDENTITY_FIELDS)), VALUES)
def test_a_form_shows_what_its_value_shows(field: str, value: str) -> None:
    """Promise 2: masking the form once more shows what masking the value itself shows."""
    form = FORMS.of([(field, value)]).get(field, masks.HIDDEN)
    assert masks.mask(MASKING[field], form) == masks.mask(MASKING[field], value)


def test_no_form_holds_what_its_mask_hides() -> None:
    """Promise 1: of a person's values the forms hold what masks show, and not the values."""
    made = FORMS.of(SAID.items())
    assert made.keys() == SAID.keys()
    assert not [field for field, form in made.items() if SAID[field] in form]
    assert made["phone"] == "139****0286"


@pytest.mark.parametrize("field", sorted(AT_COUNTER))
def test_what_clerks_see_is_stored_as_it_is(field: str) -> None:
    """Promise 1: the few fields that a clerk sees clear are stored so, and none identifies."""
    assert FORMS.of([(field, "北京市")]) == {field: "北京市"}
    assert field not in SENSITIVE_FIELDS


def test_a_field_of_the_workspaces_own_has_no_form() -> None:
    """Promise 1: a field that no mask is declared for is not stored."""
    assert FORMS.of([("shoe_card", "12345678"), ("record_id", "C1"), ("masked_name", "张*")]) == {}


def test_other_masks_have_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 3: another declaration, another list of fields or other masks: another version."""
    assert Forms(dict(reversed(MASKING.items()))).version == FORMS.version
    seen = {FORMS.version, Forms({**MASKING, "email": "whole"}).version}
    monkeypatch.setattr("cdp.vault.forms.AT_COUNTER", frozenset({"gender"}))
    seen.add(Forms(MASKING).version)
    monkeypatch.setattr(masks, "VERSION", masks.VERSION + 1)
    seen.add(Forms(MASKING).version)
    assert len(seen) == 4
    assert all(len(version) == 16 for version in seen)


def test_the_version_of_the_masks_is_raised_when_they_change() -> None:
    """Promise 3: these are the masked forms of version 1; a change raises ``masks.VERSION``."""
    assert masks.VERSION == 1
    assert FORMS.of(SAID.items()) == {
        "name": "欧阳**",
        "phone": "139****0286",
        "email": "a***@example.com",
        "birth_date": "1949-**-**",
        "national_id": "11****X",
        "bank_card": "****9171",
        "address": "北京市朝阳区***",
        "loyalty_card": "****5613",
    }
