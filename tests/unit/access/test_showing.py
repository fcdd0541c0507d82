"""From opened values to what may be seen of them."""

import datetime as dt
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.access import showing
from cdp.access.showing import Terms
from cdp.profiles.reader import StoredProfile
from cdp.profiles.survivorship import RecordFacts
from connectors.record import Sensitive
from policies.vocabulary import DATA_FIELDS, FieldClass, Treatment

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECRET = "canary"
OPENED = {field.value: Sensitive(SECRET) for field in (FieldClass.NAME, FieldClass.PHONE)}

treatments = st.fixed_dictionaries(
    {field: st.sampled_from(Treatment) for field in DATA_FIELDS}
) | st.dictionaries(st.sampled_from(DATA_FIELDS), st.sampled_from(Treatment))


def _stored() -> StoredProfile:
    record = RecordFacts(
        id=1,
        source="pos",
        fields=frozenset(OPENED),
        purposes=frozenset({"service"}),
        refused=frozenset({"marketing"}),
        first_seen=NOW,
        last_seen=NOW,
        store="BJ01",
        attributes={"orders": 1},
    )
    return StoredProfile("p1", 1, 1, ("BJ01",), {}, {"orders": 1}, ("service",), NOW, (record,))


def _masker(field: str) -> Callable[[str], str]:
    return lambda text: f"<{field} of {len(text)}>"


@settings(max_examples=200)
@given(treatments)
def test_a_treatment_decides_what_is_shown(given_treatments) -> None:
    """Invariants 1 and 2: omitted is gone, masked went through its mask, only clear is clear."""
    seen = showing.view(
        _stored(), OPENED, {"lifecycle": "new"}, Terms("service", given_treatments, _masker)
    )
    for field in (FieldClass.NAME, FieldClass.PHONE):
        treatment = given_treatments.get(field, Treatment.OMIT)
        shown = seen.fields.get(field.value)
        assert (shown is None) == (treatment is Treatment.OMIT)
        if shown is not None:
            assert shown.value == (SECRET if treatment is Treatment.CLEAR else f"<{field} of 6>")
            assert SECRET not in repr(seen)
    clear = {field for field, treatment in given_treatments.items() if treatment is Treatment.CLEAR}
    assert bool(seen.attributes) == (FieldClass.ATTRIBUTES in clear)
    assert bool(seen.tags) == (FieldClass.TAGS in clear)
    assert bool(seen.stores) == (FieldClass.STORES in clear)
    assert (seen.consent.granted, seen.consent.refused) == (("service",), ("marketing",))


@settings(max_examples=100)
@given(treatments)
def test_the_list_of_omissions_says_nothing_about_the_person(given_treatments) -> None:
    """Invariant 3: with values or without, the same field classes are listed as omitted."""
    terms = Terms("service", given_treatments, _masker)
    with_values = showing.view(_stored(), OPENED, {"a": "b"}, terms)
    without = showing.view(_stored(), {}, {}, terms)
    assert with_values.omitted == without.omitted == showing.omitted(given_treatments)
    assert not set(with_values.omitted) & set(with_values.fields)


@settings(max_examples=100)
@given(treatments)
def test_what_is_omitted_is_not_asked_of_the_vault(given_treatments) -> None:
    """Only identity fields that are masked or clear are opened, and audited as shown."""
    asked = showing.to_open(given_treatments)
    assert not set(asked) & set(showing.omitted(given_treatments))
    assert not {"profile_id", "tags", "attributes", "stores", "evidence"} & set(asked)
    named = showing.shown(_stored(), given_treatments, "service")
    assert set(named) & set(OPENED) == set(asked) & set(OPENED)
    assert not set(showing.shown(_stored(), given_treatments, "marketing")) & set(OPENED)


@given(treatments)
def test_what_may_not_be_opened_shows_stars(given_treatments) -> None:
    """Invariant 4: without the key every field that is shown at all is three stars, as masked."""
    closed = dict.fromkeys(OPENED)
    seen = showing.view(_stored(), closed, {}, Terms("service", given_treatments, _masker))
    assert {(one.value, one.treatment) for one in seen.fields.values()} <= {("***", "mask")}
    assert seen.fields.keys() == {
        name for name in OPENED if given_treatments.get(FieldClass(name), Treatment.OMIT)
    }
