"""From opened values to what may be seen of them. Pure.

Invariants, each named by a test in ``tests/unit/access/test_showing.py``:

1. A field is shown only if its treatment says so; what is not understood is omitted.
2. A masked value passes through the mask of its field, whatever it is.
3. What is omitted is listed by what policy says, not by what the person has.
4. What this process may not open shows ``***``, as masked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from cdp.access.answers import Consent, Shown, View
from cdp.profiles.reader import StoredProfile
from connectors.record import Sensitive
from connectors.vocabulary import IDENTITY_FIELDS
from policies.masks import HIDDEN
from policies.vocabulary import DATA_FIELDS, FieldClass, Treatment

Treatments = Mapping[FieldClass, Treatment]
_PARTS: Final = frozenset(
    {FieldClass.PROFILE_ID, FieldClass.ATTRIBUTES, FieldClass.TAGS, FieldClass.STORES}
)
_MASKED: Final = Treatment.MASK.word
REASON: Final = "shown by the gate after an audit event"


@dataclass(frozen=True)
class Terms:
    """How values may be seen: for what, how much, and under which mask of each field."""

    purpose: str
    treatments: Treatments
    masker: Callable[[str], Callable[[str], str]]

    @cached_property
    def clear(self) -> frozenset[FieldClass]:
        """The field classes that are shown as they are; the same for every person."""
        return frozenset(f for f in DATA_FIELDS if self.treatments.get(f) is Treatment.CLEAR)

    @cached_property
    def shown(self) -> tuple[tuple[str, str, Callable[[str], str] | None], ...]:
        """Each field that is shown, in alphabetical order: its name, how, and under which mask.

        The same for every person. None: as it is.
        """
        return tuple(
            (field, treatment.word, None if treatment is Treatment.CLEAR else self.masker(field))
            for field, treatment in sorted((f.value, t) for f, t in self.treatments.items())
            if treatment is not Treatment.OMIT
        )

    @cached_property
    def omitted(self) -> tuple[str, ...]:
        """The field classes that nothing is shown of; the same for every person."""
        return omitted(self.treatments)


def to_open(treatments: Treatments) -> list[str]:
    """Return the identity fields that have to be opened, in alphabetical order."""
    return sorted(
        field.value
        for field, treatment in treatments.items()
        if field in IDENTITY_FIELDS and treatment is not Treatment.OMIT
    )


def shown(stored: StoredProfile, treatments: Treatments, purpose: str) -> tuple[str, ...]:
    """Return the field classes of this person that will be shown: what the audit event names."""
    present = stored.golden_for(purpose)
    return tuple(
        sorted(
            field.value
            for field, treatment in treatments.items()
            if (field in present and treatment is not Treatment.OMIT)
            or (field in _PARTS and treatment is Treatment.CLEAR)
        )
    )


def omitted(treatments: Treatments) -> tuple[str, ...]:
    """Return the field classes that nothing is shown of (invariant 3).

    Numbers, tags and stores have no masked form: a mask omits them.
    """
    return tuple(
        sorted(
            field.value
            for field in DATA_FIELDS
            if treatments.get(field, Treatment.OMIT) is Treatment.OMIT
            or (field not in IDENTITY_FIELDS and treatments[field] is not Treatment.CLEAR)
        )
    )


def view(
    stored: StoredProfile,
    opened: Mapping[str, Sensitive | None],
    tags: Mapping[str, str],
    terms: Terms,
) -> View:
    """Return the person as these terms show them.

    Args:
        stored: as loaded.
        opened: golden values or masked forms by field, None for what may not be opened;
            those that the terms omit are left out again.
        tags: all tags of the person.
        terms: of the subject and purpose.
    """
    clear = terms.clear
    return View(
        profile_id=stored.id,
        redirected_from=None,
        fields=fields(opened, terms),
        attributes=stored.attributes_for(terms.purpose) if FieldClass.ATTRIBUTES in clear else {},
        tags=dict(tags) if FieldClass.TAGS in clear else {},
        stores=stored.stores_for(terms.purpose) if FieldClass.STORES in clear else (),
        consent=Consent(granted=stored.purposes, refused=stored.refused),
        omitted=terms.omitted,
    )


def fields(opened: Mapping[str, Sensitive | None], terms: Terms) -> dict[str, Shown]:
    """Return the identity fields of a person as these terms show them, in alphabetical order."""
    shown: dict[str, Shown] = {}
    for field, word, masked in terms.shown:
        if field in opened:
            value = opened[field]
            if value is None:
                shown[field] = Shown(HIDDEN, _MASKED)
                continue
            text = value.reveal(reason=REASON)
            shown[field] = Shown(text if masked is None else masked(text), word)
    return shown


def redirected(seen: View, asked: str) -> View:
    """Return the view with the id that was asked for, if it was an older one."""
    return seen if seen.profile_id == asked else replace(seen, redirected_from=asked)
