"""What one message may do, by what its source declares. No database; keys, and time as given.

Invariants, each named by a test in ``tests/unit/ingest/test_judging.py``:

1. With a key that is not trusted with identities nobody is asserted: a user's id counts only
   where it is signed, and then the id, its device and what its user agrees to, no trait.
2. An event that is not declared, that no consent covers, or that happened longer ago than
   events are kept, is not kept.
3. Whatever is left out is told by rule.
4. The same message has the same name, whether or not its sender named it; so has a body of them.
"""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from cdp.vault.event_keys import EventKeys, signed
from cdp.vault.keyed import RecordKeys
from cdp.vault.keyring import KeyRing
from connectors.declaration import SourceDeclaration
from connectors.events.event import TIMES_OF_SENDING, Event, Unusable, at_path
from connectors.events.keeping import Keeper
from connectors.events.telling import Teller, Told, device_id_of, preferences_of, stated
from connectors.record import Raw, Sensitive

REASON: Final = "name what a message is about"
NOT_TRUSTED, NOT_DECLARED = "identity_not_trusted", "event_not_declared"
NO_CONSENT, NOBODY, TOO_OLD = "no_consent", "nobody_named", "too_old"
SIGNATURE: Final = ("context", "signature")
_CONTENT: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
IdentityKey = Callable[[], Sensitive | None]
"""Gives the key; None where none is declared. Raises where it cannot be had."""


@dataclass(frozen=True, slots=True, eq=False)
class Assertion(Raw):
    """What a message says of who somebody is."""

    record_id: str = field(repr=False)  # as the source would name the record
    key: bytes  # of the record
    told: Told = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Judged(Raw):
    """A message that has an effect: the row of its event, and what it asserts.

    Attributes:
        message: names it.
        kind, name: of the event; no name where it only asserts.
        subject: keyed hash of whom it is about.
        device: keyed hash of the device that is theirs from now on.
        properties: as JSON.
        purposes: that its consent grants.
        at: when it happened.
        assertion: None where it only happened.
        left_out: a rule for each part that is not kept.
    """

    message: bytes = field(repr=False)
    kind: str
    name: str | None = field(repr=False)
    subject: bytes
    device: bytes | None = field(repr=False)
    properties: str = field(repr=False)
    purposes: tuple[str, ...]
    at: dt.datetime
    assertion: Assertion | None
    left_out: tuple[str, ...] = ()


class Judge:
    """Judges the messages of one source. Any number of threads may use it."""

    def __init__(
        self, keyring: KeyRing, declaration: SourceDeclaration, identity_key: IdentityKey
    ) -> None:
        if declaration.inbound is None:
            raise ValueError("nothing is sent to this source")
        self._declaration = declaration
        self._inbound = declaration.inbound
        self._trusted = declaration.inbound.trust == "identities"
        self._kept_for = dt.timedelta(days=declaration.keep_events)
        self._names = EventKeys(keyring)
        self._records = RecordKeys(keyring)
        self._identity_key = identity_key
        specs = [*self._inbound.events.values(), *self._inbound.pages.values()]
        self._keepers = {one.name: Keeper(one) for one in specs}

    @cached_property
    def teller(self) -> Teller:
        """Reads what messages of the source tell."""
        return Teller(self._declaration)

    def judge(self, event: Event, now: dt.datetime) -> Judged | str:
        """Return what a message does, or the rule by which it does nothing."""
        left_out: tuple[str, ...] = ()
        if event.user_id is not None and not self._trusted and not self._signed(event, now):
            if event.kind.asserts:
                return NOT_TRUSTED
            event, left_out = replace(event, user_id=None), (NOT_TRUSTED,)
        asserts = event.kind.asserts or self.teller.updates_consent(event)
        found = self._asserted(event) if asserts else self._happened(event, now)
        if isinstance(found, str) or not left_out:
            return found
        return replace(found, left_out=(*left_out, *found.left_out))

    def body(self, messages: Sequence[Event | Unusable]) -> bytes:
        """Return the name of a body: of all its messages, whatever becomes of them."""
        names = [
            self._names.unnamed(self._declaration.name, one.content.reveal(reason=REASON).encode())
            if isinstance(one, Unusable)
            else self._message(one)
            for one in messages
        ]
        return self._names.unnamed(self._declaration.name, b"".join(names))

    def _signed(self, event: Event, now: dt.datetime) -> bool:
        signature = at_path(event.row, SIGNATURE)
        if event.user_id is None or not isinstance(signature, str):
            return False
        key = self._identity_key()
        return key is not None and signed(
            key, self._declaration.name, event.user_id, signature, now
        )

    def _asserted(self, event: Event) -> Judged | str:
        if event.user_id is None and not self._trusted:
            return NOT_TRUSTED
        message = self._message(event)
        whose = self._whose(event)
        if whose is None:
            return NOBODY
        record_id, key = whose
        told = self.teller.told(event, message.hex(), ids_alone=not self._trusted)
        return Judged(
            message,
            event.kind.value,
            None,
            key,
            self._device(event) if event.kind.asserts and event.user_id is not None else None,
            "{}",
            self._purposes(event),
            event.time,
            Assertion(record_id, key, told),
        )

    def _happened(self, event: Event, now: dt.datetime) -> Judged | str:
        spec = self._inbound.kept(event.kind, event.name)
        whose = self._whose(event)
        if spec is None or whose is None:
            return NOT_DECLARED if spec is None else NOBODY
        if now - event.time > self._kept_for:
            return TOO_OLD
        purposes = self._purposes(event)
        if self._inbound.categories and not purposes:
            return NO_CONSENT
        kept = self._keepers[spec.name].kept(event)
        return Judged(
            self._message(event),
            event.kind.value,
            spec.name,
            whose[1],
            None,
            _CONTENT.encode(dict(kept.properties)),
            purposes,
            event.time,
            None,
            kept.left_out,
        )

    def _purposes(self, event: Event) -> tuple[str, ...]:
        consent = self._declaration.consent
        if consent is None:
            return ()
        refused, unstated = stated(self._inbound.categories, preferences_of(event))
        return tuple(sorted(set(consent.purposes) - refused - unstated))

    def _whose(self, event: Event) -> tuple[str, bytes] | None:
        if event.user_id is not None:
            record_id: str | None = event.user_id.reveal(reason=REASON)
        else:
            record_id = device_id_of(event)
        return (record_id, self._key(record_id)) if record_id else None

    def _device(self, event: Event) -> bytes | None:
        device = device_id_of(event)
        return self._key(device) if device else None

    def _key(self, record_id: str) -> bytes:
        return self._records.record_key(self._declaration.name, record_id)

    def _message(self, event: Event) -> bytes:
        name = self._declaration.name
        if event.message_id is not None:
            return self._names.named(name, event.message_id.reveal(reason=REASON))
        content = {n: v for n, v in event.row.items() if n not in TIMES_OF_SENDING}
        ids = [one and one.reveal(reason=REASON) for one in (event.user_id, event.anonymous_id)]
        whole = [event.kind.value, ids, content]
        return self._names.unnamed(name, _CONTENT.encode(whole).encode())
