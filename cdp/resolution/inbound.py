"""What SDKs send: who may, what becomes of it, and what the sender is told.

Invariants, each named by a test in ``tests/integration/inbound/test_inbound.py``:

1. Nothing is stored or looked up before the write key is known.
2. Acknowledged is committed: all of a body, or what is answered is an error.
3. The same messages sent again change nothing.
4. Whoever says who somebody is does it in the transaction that resolves them.
5. What is left out is counted by rule, and refused messages are named to their sender, who
   still has them; nothing of them is stored.
6. Too much, or too many at once, is answered with how long to wait.
7. While a declared key cannot be read nobody is told that theirs, or a signature, is bad.
8. A message that fails in a way that nobody foresaw is refused as others are, with the number of
   its crash, and the rest of its body has its effect.
9. A write key that two sources have lets nobody in, and that is said before anybody sends.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cdp import logs
from cdp.errors import Retry
from cdp.ingest.judging import Judge, Judged
from cdp.resolution.admission import Admission, Found, Wait
from cdp.resolution.every_source import EverySource
from cdp.resolution.inbound_storing import Body, Refusal, Storing
from cdp.vault.event_keys import WriteKeys
from cdp.workspace import Workspace
from connectors.events.declaration import IDENTITY_KEY
from connectors.events.event import Event, Unusable
from connectors.record import Sensitive

_log = logs.get_logger("kith.inbound")
NAMED: Final = 20  # refused messages that an answer names


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a body.

    Attributes:
        stored: messages that had their effect now.
        repeated: messages that had it before.
        left_out: how many messages or parts were left out, by rule.
        refused: the first messages that cannot be used.
    """

    stored: int
    repeated: int
    left_out: Mapping[str, int]
    refused: tuple[Refusal, ...]


class Inbound:
    """Takes in what is sent to a workspace. Any number of threads may use it."""

    def __init__(self, workspace: Workspace, sources: EverySource, admission: Admission) -> None:
        self._workspace = workspace
        self._sources = sources
        self.admission = admission
        declared = workspace.declaration.sources.values()
        self._declared = {one.name: one for one in declared if one.inbound is not None}
        self._keys = admission.secrets(self._declared, self._fetched)
        self._told: tuple[tuple[str, ...], ...] = ()  # sources that share a key, as last logged
        self._judges: dict[str, Judge] = {}

    def source(self, write_key: str, connectors: Iterable[str]) -> str | None:
        """Return the source that a write key is for, if it has one of these connectors.

        Raises:
            Retry: it is none that is known, and some cannot be read right now: who is told that
                its key is bad drops what it has to send.
        """
        keys = self._keys.at(self._workspace.now())
        found = keys.known.source(write_key)
        if found is None and not keys.readable:
            raise Retry("write_keys_unavailable", "send the same again in a moment")
        if found is None or self._declared[found].connector not in set(connectors):
            return None
        return found

    def look(self) -> None:
        """Look at the keys now: what is wrong with them is in the log before anybody sends.

        They are not kept for it: the first message is judged by those of its own time.
        """
        if self._declared and self.admission.is_able():
            self.admission.secrets(self._declared, self._fetched).at(self._workspace.now())

    def _fetched(self, found: Found) -> "_Keys":
        keys = _Keys(found)
        if keys.known.shared != self._told:
            self._told = keys.known.shared
            for source in sorted({one for several in self._told for one in several}):
                _log.warning("write_key_shared", source=source)
        return keys

    def origins(self, source: str | None = None) -> frozenset[str]:
        """Return the origins whose pages may send to a source, or to any."""
        chosen = self._declared.values() if source is None else [self._declared[source]]
        return frozenset(origin for one in chosen if one.inbound for origin in one.inbound.origins)

    def connector(self, source: str) -> str:
        """Return the connector of a source."""
        return self._declared[source].connector

    def take_in(self, source: str, messages: Sequence[Event | Unusable]) -> Delivered | Wait:
        """Store messages, resolve what they say of people, and commit.

        Raises:
            Refused: others kept changing the same people: send all of it again; or the source
                was removed.
            Retry: the database went away, a key was retired meanwhile, or cannot be read right
                now; send all of it again.
        """
        received = self._workspace.now()
        wait = self.admission.enter(source, len(messages), received)
        if wait is not None:
            return wait
        judge = self._judge(source)
        body = Body([], received, Counter(), [], partial(judge.body, messages))
        for position, message in enumerate(messages, start=1):
            if isinstance(message, Unusable):
                body.refuse(Refusal(position, message.rule, message.next_step))
            elif isinstance(found := judge.judge(message, received), Judged):
                body.messages.append((position, found))
            else:
                body.left_out[found] += 1
        arrivals = partial(self._sources.arrivals, source)
        stored, repeated = Storing(self._workspace, source, judge.teller, arrivals).store(body)
        return Delivered(stored, repeated, dict(body.left_out), tuple(body.refused[:NAMED]))

    def _judge(self, source: str) -> Judge:
        found = self._judges.get(source)
        if found is None:
            key = partial(self._identity_key, source)
            found = Judge(self._workspace.keyring, self._declared[source], key)
            self._judges[source] = found
        return found

    def _identity_key(self, source: str) -> Sensitive | None:
        """The key that signs ids of a source; None where it declares none."""
        declared = self._keys.at(self._workspace.now()).identity[source]
        if None in declared:
            raise Retry("identity_key_unavailable", "send the same again in a moment")
        return declared[0] if declared else None


class _Keys:
    """The keys of every source as they were fetched, and whether all that are declared were."""

    def __init__(self, found: Found) -> None:
        write = {
            source: [key for name, key in several.items() if name != IDENTITY_KEY]
            for source, several in found.items()
        }
        self.identity = {
            source: [key for name, key in several.items() if name == IDENTITY_KEY]
            for source, several in found.items()
        }
        known = {source: [one for one in keys if one is not None] for source, keys in write.items()}
        self.known = WriteKeys(known)
        self.readable = not any(None in keys for keys in write.values())

    @property
    def whole(self) -> bool:
        """Whether all could be fetched."""
        return self.readable and not any(None in keys for keys in self.identity.values())
