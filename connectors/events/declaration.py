"""What a source declares whose rows are sent by SDKs: how far its key is trusted, and what is kept.

Nothing that is not declared here or under ``fields`` and ``attributes`` is stored of a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from connectors.attribute_declaration import AttributeSpec, parse_attributes
from connectors.consent_declaration import ConsentSpec
from connectors.credentials import Reference
from connectors.errors import DeclarationError
from connectors.events.event import Kind

INBOUND: Final = frozenset({"segment", "rudder", "sensors", "cloudevents"})
"""Connectors whose rows are sent, not read."""
_TELL_CONSENT: Final = frozenset({"segment", "rudder"})
RECORD_ID: Final = ("$record",)  # a column of our own: the user, or else the device
WRITE_KEY: Final = "write_key"
IDENTITY_KEY: Final = "identity_key"
_KEYS: Final = (WRITE_KEY, "former_write_key", IDENTITY_KEY)
WRITE_KEYS: Final = frozenset(_KEYS) - {IDENTITY_KEY}  # each lets its holder in
PUBLIC_RATE: Final = 1000  # messages a second of a key that browsers hold
KEEP_EVENTS: Final = 400  # days: this month beside the same one of a year ago, and no longer
Trust = Literal["identities", "events"]


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One kind of event that is kept, and which of its properties."""

    name: str
    kind: Kind
    properties: Mapping[str, AttributeSpec]


@dataclass(frozen=True, slots=True)
class InboundSpec:
    """What holds for one write key.

    Attributes:
        trust: ``identities``: its holder says who somebody is. ``events``: it does not, since
            anybody may hold the key; an id counts only where it is signed.
        events: what is tracked and kept, by the name it is sent under.
        pages: what is kept of pages and screens, whatever their names.
        categories: a category of consent, as it is sent, and the purposes it stands for.
        origins: pages of these origins may send from a browser.
        most_per_second: messages; None: as many as come.
    """

    trust: Trust
    events: Mapping[str, EventSpec]
    pages: Mapping[Kind, EventSpec]
    categories: Mapping[str, tuple[str, ...]]
    origins: tuple[str, ...] = ()
    most_per_second: int | None = None

    def kept(self, kind: Kind, name: str) -> EventSpec | None:
        """Return what is kept of such an event; None: nothing."""
        return self.events.get(name) if kind is Kind.TRACK else self.pages.get(kind)


def parse_inbound(
    source: str, raw: Mapping[str, Any], consent: ConsentSpec | None
) -> InboundSpec | None:
    """Read what concerns an inbound source in an entry of ``sources:``; None for another connector.

    Args:
        source: its name.
        raw: the entry, valid by the schema.
        consent: its consent, read.

    Raises:
        DeclarationError: naming the path, the rule and the next step.
    """
    if raw["connector"] not in INBOUND:
        return None
    _require_keys(source, raw["credentials"])
    if "consent_categories" in raw and raw["connector"] not in _TELL_CONSENT:
        step = "Remove it: its messages carry no consent, and every event would be left out."
        raise DeclarationError(source, "consent_not_sent", step, field="consent_categories")
    found = [
        EventSpec(
            name,
            Kind(entry.get("kind", "track")),
            parse_attributes(source, f"events.{name}.properties", entry.get("properties", {})),
        )
        for name, entry in raw.get("events", {}).items()
    ]
    pages: dict[Kind, EventSpec] = {one.kind: one for one in found if one.kind != Kind.TRACK}
    if len(pages) < sum(one.kind != Kind.TRACK for one in found):
        step = "Declare one event of kind page and one of kind screen at the most."
        raise DeclarationError(source, "kind_twice", step, field="events")
    trust: Trust = raw["trust"]
    public = PUBLIC_RATE if trust == "events" else None
    return InboundSpec(
        trust,
        MappingProxyType({one.name: one for one in found if one.kind is Kind.TRACK}),
        MappingProxyType(pages),
        MappingProxyType(_categories(source, raw.get("consent_categories", {}), consent)),
        tuple(raw.get("origins", ())),
        raw.get("most_per_second", public),
    )


def _require_keys(source: str, credentials: Mapping[str, Any]) -> None:
    if WRITE_KEY not in credentials:
        step = f"Name where the write key lies: {WRITE_KEY}."
        raise DeclarationError(source, "key_missing", step, field="credentials")
    for name in sorted(set(credentials) - set(_KEYS)):
        step = f"Remove it. Used here: {', '.join(_KEYS)}."
        raise DeclarationError(source, "credential_not_used", step, field=f"credentials.{name}")


def require_own_keys(sources: Mapping[str, Mapping[str, Reference]]) -> None:
    """Refuse a write key that two sources refer to: it would let nobody into either.

    Args:
        sources: the credentials of each that SDKs send to.

    Raises:
        DeclarationError: naming the later source; never a key.
    """
    seen: dict[Reference, str] = {}
    for source, credentials in sources.items():
        for name in sorted(set(credentials) & WRITE_KEYS):
            other = seen.setdefault(credentials[name], source)
            if other != source:
                step = f"Give each source a key of its own: {other} refers to this one."
                field = f"credentials.{name}"
                raise DeclarationError(source, "write_key_shared", step, field=field)


def _categories(
    source: str, raw: Mapping[str, list[str]], consent: ConsentSpec | None
) -> dict[str, tuple[str, ...]]:
    granted = set(consent.purposes) if consent else set()
    for name, purposes in raw.items():
        if not set(purposes) <= granted:
            raise DeclarationError(
                source,
                "purpose_not_granted",
                "Name only purposes that consent.purposes lists.",
                field=f"consent_categories.{name}",
            )
    return {name: tuple(purposes) for name, purposes in raw.items()}
