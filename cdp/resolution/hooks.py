"""Webhooks that other systems send: whose they are, what becomes of them, and what is answered.

Invariants, each named by a test in ``tests/integration/hooks``:

1. Nothing of a body is read, stored or looked up before its signature is known to be good.
2. Acknowledged is committed: all of a message, or what is answered is an error.
3. A message that had its effect has none a second time, and is answered the same.
4. Whoever says who somebody is does it in the transaction that resolves them.
5. A row that is no record stands, sealed, among the rejected rows: its sender does not read
   answers. What was not asked for is counted by rule.
6. A row never replaces one with a greater order, where the source declares a cursor.
7. While a declared secret cannot be used nobody is told that theirs is bad.
8. A row that fails in a way that nobody foresaw is set aside, to be tried again; the others of its
   message are stored, and it is acknowledged. A deletion is never set aside.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Final

import sqlalchemy as sa

from cdp.errors import Retry
from cdp.ingest import happenings
from cdp.ingest.feed_sync import Departures
from cdp.ingest.storing import committed
from cdp.resolution.admission import Admission, Wait
from cdp.resolution.every_source import EverySource
from cdp.resolution.hooks_proof import HookSecrets, Proven
from cdp.resolution.hooks_storing import Message, store
from cdp.vault.event_keys import EventKeys
from cdp.workspace import Workspace
from connectors.hooks.rows import HookRows, Post, Sent

NOT_ASKED_FOR: Final = "not_asked_for"


class Hooks:
    """Takes in the webhooks of a workspace. Any number of threads may use it."""

    def __init__(
        self,
        workspace: Workspace,
        sources: EverySource,
        admission: Admission,
        departures: Departures,
    ) -> None:
        """Prepare; no secret is fetched yet. ``departures`` destroys what a source deleted."""
        self._workspace, self._sources, self._departures = workspace, sources, departures
        self.admission = admission
        declared = workspace.declaration.sources
        specs = {name: one.hook for name, one in declared.items() if one.hook}
        self._declared = {name: declared[name] for name in specs}
        self._rows = {name: HookRows(declared[name], one) for name, one in specs.items()}
        self._secrets = admission.secrets(self._declared, partial(HookSecrets, specs))

    @cached_property
    def _names(self) -> EventKeys:
        return EventKeys(self._workspace.keyring)  # not before: this process may lack its key

    def proven(self, source: str, post: Post) -> Proven | None:
        """Return a message that is its source's own; None for every other.

        Raises:
            Retry: it is not proven, and some secret cannot be used right now.
        """
        now = self._workspace.now()
        secrets = self._secrets.at(now)
        found = secrets.proven(source, post, self._names, now)
        if found is None and not secrets.whole:
            raise Retry("secrets_unavailable", "send the same again in a moment")
        return found

    def take_in(self, proven: Proven, post: Post) -> Wait | None:
        """Store a message, resolve what it says of people, and commit; None when it is done.

        Raises:
            BodyRefused: the body cannot be read; nothing was stored.
            Refused: others kept changing the same people, or destroy: send it again; or the
                source was removed.
            Retry: the database went away, or a key was retired meanwhile; send it again.
        """
        received, source = self._workspace.now(), proven.source
        wait = self.admission.enter(source, 1, received)
        if wait is not None:
            return wait
        rows = self._rows[source].of(post)
        if rows is None:
            # Not under the name of the message: its body may come again under a header that counts.
            name = self._names.unnamed(source, NOT_ASKED_FOR.encode() + proven.message)
            span, left_out = (received, proven.until), {NOT_ASKED_FOR: 1}
            self._count(lambda one: happenings.tally_once(one, source, name, span, left_out))
        else:
            self._store(proven, rows, received)
        return None

    def _store(self, proven: Proven, rows: Sequence[Sent], received: dt.datetime) -> None:
        source = proven.source
        message = Message(source, proven.message, proven.until, received)
        ways = partial(self._sources.arrivals, source), self._departures
        left_out = store(self._workspace, self._declared[source], message, rows, ways)
        if left_out:
            self._count(lambda one: happenings.tally(one, source, received.date(), left_out))

    def _count(self, count: Callable[[sa.Connection], None]) -> None:
        committed(self._workspace.engine, count)
