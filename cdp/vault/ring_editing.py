"""Change a key ring file: read, change, open again, and only then put it in place.

1. What is written was opened again with the provider that guards it: a root that cannot be
   got back never takes the place of one that can.
2. A change is made to the ring that was read, or not at all; the file's own promises are in
   `cdp.vault.ring_file`.
3. An extract is not changed: its keys would drift from those of the whole ring.
4. No error shows key material, nor do the frames it passed.
5. `RingEditor.begin` asks the provider of the root whatever there is to ask; `Edit.finish` then
   asks it nothing about the roots that it was shown, so that nobody is kept waiting meanwhile.
"""

import datetime as dt
from collections.abc import Callable, Collection
from pathlib import Path
from uuid import UUID

from cdp.vault import ring_document, ring_edits, ring_file
from cdp.vault.errors import NotRotatable, OtherWorkspace
from cdp.vault.primitives import Randomness, system_randomness
from cdp.vault.ring_document import RingDocument
from cdp.vault.roots.asked import AskedRoot
from cdp.vault.roots.provider import RootPlace, RootProvider, RootProviders
from cdp.vault.secret import Secret

Change = Callable[[RingDocument], RingDocument]  # of `ring_edits`


class RingEditor:
    """Who changes the ring of one workspace.

    Args:
        path: where the ring is.
        workspace: whose ring it must be.
        providers: that may guard the root.
        randomness: of nonces.
    """

    def __init__(
        self,
        path: Path,
        workspace: UUID,
        providers: RootProviders,
        randomness: Randomness = system_randomness,
    ) -> None:
        self._path = path
        self._workspace = workspace
        self._providers = providers
        self._randomness = randomness

    def edit(self, change: Change, to: RootProvider | None = None) -> RingDocument:
        """Write what ``change`` makes of the ring, guarded as before or by ``to``.

        Returns:
            What is now in the file, as it was read back. Holds the root: keep it short-lived.

        Raises:
            KeyRingChanged: somebody else was faster; the same call may work now.
            KeyRingMissing, KeyRingExposed, KeyRingGarbled, KeyRingUnwritable, OtherWorkspace.
            What ``change`` or a provider raises. Then the ring is as it was.
        """
        return self.begin(change, to).finish()

    def begin(self, change: Change | None = None, to: RootProvider | None = None) -> "Edit":
        """Read the ring and have the provider guard its roots; nothing is written.

        Args:
            change: what is known already, such as a new root; the rest follows in `Edit.finish`.
            to: who guards the roots from now on; None: who did before.

        Raises:
            KeyRingMissing, KeyRingExposed, KeyRingGarbled, OtherWorkspace.
            What ``change`` or a provider raises.
        """
        before = Secret(ring_file.read(self._path))
        document = ring_document.decode(before.expose(), self._path, self._providers)
        self._check_workspace(document)
        if ring_edits.is_extract(document):
            raise NotRotatable(
                "this key ring is an extract for one kind of process",
                "change keys where the whole ring is, then run: cdp key extract",
                key_ring=self._path,
            )
        guard = AskedRoot(to or self._providers.named(document.provider))
        changed = document if change is None else change(document)
        roots = changed.roots.secrets.items()
        guard.ask({RootPlace(changed.workspace, version): root for version, root in roots})
        read = ring_file.digest(before.expose())
        return Edit(self._path, read, changed, guard, self._providers, self._randomness)

    def extract(
        self, purposes: Collection[str], target: Path, guard: RootProvider, now: dt.datetime
    ) -> None:
        """Write a ring of its own for a process that holds these keys and no other.

        Its root is new, and guarded by ``guard``; this ring's root does not derive from it.

        Raises:
            KeyMissing: this ring has not all of them.
            KeyRingExists, KeyRingUnwritable: of ``target``.
            KeyRingMissing, KeyRingExposed, KeyRingGarbled, OtherWorkspace: of this ring.
            What a provider raises.
        """
        content = Secret(ring_file.read(self._path))
        document = ring_document.decode(content.expose(), self._path, self._providers)
        self._check_workspace(document)
        part = ring_edits.extract(document, purposes, self._randomness, now)
        written = Secret(part.encode(self._randomness, guard))
        ring_document.decode(written.expose(), target, self._providers.adding(guard))
        ring_file.write_new(target, written.expose())

    def _check_workspace(self, document: RingDocument) -> None:
        if document.workspace != self._workspace:
            raise OtherWorkspace(
                f"the key ring belongs to workspace {document.workspace}",
                "put the key ring of this workspace in its place",
                workspace=self._workspace,
            )

    def __repr__(self) -> str:
        return f"<editor of {self._path}>"


class Edit:
    """A ring that was read to be changed. Holds the root: keep it short-lived.

    Args:
        path: of the ring.
        read: digest of the file that was read.
        document: what it said, and what was changed in it since.
        guard: of its roots, asked already.
        providers: that may guard roots.
        randomness: of nonces.
    """

    __slots__ = ("_document", "_guard", "_path", "_providers", "_randomness", "_read")

    def __init__(
        self,
        path: Path,
        read: bytes,
        document: RingDocument,
        guard: AskedRoot,
        providers: RootProviders,
        randomness: Randomness,
    ) -> None:
        self._path = path
        self._read = read
        self._document = document
        self._guard = guard
        self._providers = providers
        self._randomness = randomness

    def finish(self, change: Change | None = None) -> RingDocument:
        """Write what ``change`` makes of the ring; see `RingEditor.edit`."""
        document = self._document if change is None else change(self._document)
        after = Secret(document.encode(self._randomness, self._guard))
        known = self._providers.adding(self._guard)
        written = ring_document.decode(after.expose(), self._path, known)
        ring_file.replace(self._path, self._read, after.expose())
        return written

    def __repr__(self) -> str:
        return f"<edit of {self._path}>"
