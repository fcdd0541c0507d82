"""What the gate answers: what may be seen of a person, or why not."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.record import AttributeValue, Raw


@dataclass(frozen=True, slots=True)
class Shown(Raw):
    """One value as it may be seen. Its ``repr`` hides it: it is personal even when masked."""

    value: str = field(repr=False)
    treatment: str  # mask | clear


@dataclass(frozen=True, slots=True)
class Revealed(Shown):
    """One clear value, and until when it may be looked at.

    Attributes:
        shown_until: whoever shows it takes it away then.
        request: the approved request that it used up, or the broken glass.
        review_by: when the broken glass must be reviewed; None: none was broken.
    """

    shown_until: dt.datetime
    request: str | None = None
    review_by: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to and what they refused. Refused in one record is refused."""

    granted: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View(Raw):
    """One person as one subject may see them for one purpose.

    Attributes:
        profile_id: the current id.
        redirected_from: the older id that was asked for; None when it was this one.
        fields: identity fields that have a value the purpose may use.
        attributes, tags, stores: empty when omitted.
        consent: always given, so that nobody can use the rest without knowing it.
        omitted: field classes that the subject does not get, whether or not this person
            has a value there: the list says nothing about the person.
    """

    profile_id: str
    redirected_from: str | None
    fields: Mapping[str, Shown]
    attributes: Mapping[str, AttributeValue] = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    stores: tuple[str, ...]
    consent: Consent
    omitted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of people in their order. ``after`` asks for the next; None: no more."""

    people: tuple[View, ...]
    after: str | None


class DenialKind(StrEnum):
    """What a denial is about."""

    FORBIDDEN = "forbidden"  # the subject may not do this, whoever it is about
    NOT_FOUND = "not_found"  # there is no such person for this subject
    UNUSABLE = "unusable"  # what was given cannot be used: an identifier, a reason
    SETTLED = "settled"  # it was decided before, or has ended
    LIMITED = "limited"  # too much of it within a time


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal: its kind, a code, and a sentence for the person who asked.

    ``again_at`` is when the same may be possible, if that is known.
    """

    kind: DenialKind
    reason: str
    sentence: str
    again_at: dt.datetime | None = None


NOT_FOUND = Denial(
    DenialKind.NOT_FOUND, "not_found", "There is no such person among those you may see."
)
