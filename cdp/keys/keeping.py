"""Change the keys of a workspace: one person, one event, one edit of the ring.

Invariants, each named by a test in ``tests/integration/keys``:

1. Only who may configure changes keys. A refusal is kept in the log.
2. The event is committed before the ring is touched: no change without one. A change that
   then fails, on the ring or on the database, has an event of its own that says so.
3. A version is retired while nobody can write with it, and only if no row needs it.
4. Killed at any moment, ring and database belong together, and the same command works.
5. A ring that is older than the database is not edited.
6. From before a version leaves the ring the database refuses what is sealed with it, so that
   a slow writer loses nothing: it learns that it has to seal anew.
7. The provider of the root is asked before others are kept from writing, never meanwhile.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cdp.credentials import credentials_of
from cdp.errors import Refused
from cdp.keys import permission, usage
from cdp.keys.purposes import ROTATIONS, After, goes_on
from cdp.storage.schema import workspace as workspace_table
from cdp.vault import ring_edits
from cdp.vault.credentials import PURPOSE as CREDENTIALS_KEY
from cdp.vault.errors import KeyRingChanged, NotRotatable, VersionInUse
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_document import RingDocument
from cdp.vault.ring_editing import Change, RingEditor
from cdp.vault.roots.provider import RootProvider
from cdp.workspace import Workspace
from policies.decision import Subject

ROOT: Final = "root"
GRACE: Final = dt.timedelta(minutes=10)
"""How long after a rotation the version before it is kept: who had begun to seal with it, in
another process, has stored what it sealed by then."""


@dataclass(frozen=True, slots=True)
class KeyKeeper:
    """One person who looks after the keys."""

    workspace: Workspace
    subject: Subject

    def rotate(self, purpose: str, *, confirmed: bool = False) -> int:
        """Put a new version of ``purpose``, or of the ``root``, in force. Return its number.

        Args:
            purpose: one of `ROTATIONS`, or ``root``.
            confirmed: the person knows what it means where it changes things at once.

        Raises:
            Refused: not allowed, not confirmed, or the purpose is not rotated.
            KeyMissing: the ring lacks the purpose, or is older than the database.
            KeyRingChanged, KeyRingUnwritable, and what the provider of the root raises.
        """
        if purpose == ROOT:
            return self._do("root", first=self._new_root).roots.current
        if purpose not in ROTATIONS:
            known = ", ".join((ROOT, *ROTATIONS))
            raise Refused("there is no such key", f"name one of {known}", key=purpose)
        rotation = ROTATIONS[purpose]
        if rotation.after is After.REFUSED:
            raise NotRotatable(
                f"it is not rotated here: {rotation.means}", rotation.instead, key=purpose
            )
        if rotation.after is After.AT_ONCE and not confirmed:
            raise Refused(
                f"not confirmed: {rotation.means}", "run it again with --yes", key=purpose
            )

        def change(used: usage.Usage) -> Change:
            now, mine = self.workspace.now(), used.get(purpose, {})
            return lambda document: ring_edits.add_version(
                document, purpose, mine, system_randomness, now
            )

        version = self._do(f"rotate-{purpose}", change).keys[purpose].current
        self.workspace.keyring.secret(purpose, version)  # this process lacks it, so it looks again
        if purpose == CREDENTIALS_KEY:
            with suppress(KeyRingChanged):  # whoever stores a secret meanwhile renews the others
                credentials_of(self.workspace).renew()
        return version

    def resume(self, purpose: str) -> int:
        """Say in the log that this person goes on with a rotation. Return the version in force.

        Raises:
            Refused: not allowed, or nothing of this key is ever brought under a version.
            KeyWithheld, KeyMissing: the ring has no such key.
        """
        if not goes_on(purpose):
            raise Refused("nothing_to_resume", "see what waits with: cdp key status", key=purpose)
        permission.require(self.workspace, self.subject, f"resume-{purpose}")
        return self.workspace.keyring.current(purpose)

    def retire(self, purpose: str, version: int) -> None:
        """Take an old version of ``purpose`` out of the ring, for ever.

        Raises:
            Refused: not allowed, in force, still needed, or out of force for too short a time.
            KeyMissing: there is no such version, or the ring is older than the database.
            KeyRingChanged, KeyRingUnwritable, and what the provider of the root raises.
        """
        if purpose in ROTATIONS and ROTATIONS[purpose].kept:
            raise NotRotatable(
                "newer versions of this key build on the older ones",
                "leave it in the ring: by itself it gives nothing that is stored",
                key=purpose,
            )

        def change(used: usage.Usage) -> Change:
            now, mine = self.workspace.now(), used.get(purpose, {})

            def retired(document: RingDocument) -> RingDocument:
                left = ring_edits.retire(document, purpose, version, mine)
                _old_enough(document, purpose, version, now)
                usage.refuse_from_now_on(self.workspace.engine, purpose, version, now)
                return left

            return retired

        self._do(f"retire-{purpose}", change)

    def move(self, to: RootProvider) -> int:
        """Have ``to`` guard a new root. Return the version of that root.

        The old root is not carried over: who had it could open the new ring.
        """
        return self._do(f"move-to-{to.name}", first=self._new_root, to=to).roots.current

    def upgrade(self) -> list[str]:
        """Bring the ring to this release: its format, and the keys it lacks. Return those."""
        lacking = ring_edits.missing(one for one in ROTATIONS if self.workspace.keyring.holds(one))

        def change(used: usage.Usage) -> Change:
            now = self.workspace.now()
            return lambda document: ring_edits.add_purposes(document, used, system_randomness, now)

        self._do("upgrade", change)
        return lacking

    # ── inside ──────────────────────────────────────────────────────────────

    def _new_root(self, document: RingDocument) -> RingDocument:
        return ring_edits.rotate_root(document, system_randomness, self.workspace.now())

    def _do(
        self,
        what: str,
        change: Callable[[usage.Usage], Change] | None = None,
        first: Change | None = None,
        to: RootProvider | None = None,
    ) -> RingDocument:
        """Edit the ring: ``first`` before anybody is kept waiting, ``change`` when all stand still.

        The provider of the root is asked in between: somebody may have to type, or a KMS to
        answer, and nobody can write as long as versions are counted.
        """
        workspace = self.workspace
        editor = RingEditor(workspace.settings.key_ring, workspace.id, workspace.providers)
        with permission.tried(workspace, self.subject, what):
            edit = editor.begin(first, to)
            with workspace.engine.begin() as connection:
                usage.hold_still(connection)
                used = usage.needed(workspace, connection)
                written = edit.finish(change(used) if change else None)
                # From here on the database knows its ring by what no rotation changes.
                check = KeyRing.of(written).key_check(workspace.id)
                connection.execute(sa.update(workspace_table).values(key_check=check))
        return written


def _old_enough(document: RingDocument, purpose: str, version: int, now: dt.datetime) -> None:
    held = document.keys.get(purpose)
    made = held.made.get(held.current) if held else None
    if made is not None and now - made < GRACE:
        minutes = int(GRACE.total_seconds() // 60)
        raise VersionInUse(
            f"it went out of force less than {minutes} minutes ago, and others may still seal "
            "with it",
            f"try again {minutes} minutes after the rotation",
            key=purpose,
            version=version,
        )
