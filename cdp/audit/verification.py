"""Judge a stored log: its rows go in one by one, in leaf order, and a report comes out.

Pure: no database, no clock. How each way of tampering shows:

* line altered: a root differs from the signed one, and no event is missing or extra.
* column altered: every root is right, and a column disagrees with its line.
* event deleted: a gap in the leaf numbers, or fewer events than were signed where a
  root differs too (the gap was closed).
* events swapped: a root differs, and ids run backwards between two seals. A seal numbers
  events in id order, so in an honest log they never do.
* event inserted: a leaf twice, events past the last seal, or more events than were signed
  where a root differs too.
* tail truncated: fewer events than a genuine checkpoint, stored or trusted, signed.
* checkpoint removed: a seal leaves an event of its own as the last leaf of what it seals;
  that event is there and its checkpoint is not.
* checkpoint altered: the signature is genuine for the root that the events give.
* signature forged: the signature is genuine neither for the stored nor for that root.

Once a root differs, every later root does: later tampering of lines hides behind the
first until that is repaired. The report says where the first one is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from cdp.audit.checkpoint import Checkpoint
from cdp.audit.digests import same
from cdp.audit.findings import Findings, Kind, Report
from cdp.audit.merkle import CompactRange, leaf_hash

SEAL_ACTION: Final = "audit.seal"
"""The action of the event that a seal leaves of itself."""


class StoredEvent(NamedTuple):
    """One row of the log. ``at`` is text, as `event.utc_text` writes it, and the era."""

    id: int
    leaf: int | None
    line: str
    actor: str
    action: str
    profile_id: str | None
    at: str


@dataclass(slots=True)
class _Stretch:
    """The leaves since the last root that was right."""

    first: int
    columns: list[str]  # places where a column disagrees with its line
    backwards: list[int]  # leaves whose id is below that of the leaf before
    seals: list[int]  # leaves that hold a seal's own event


class Verification:
    """The state of one verification. Feed `event`, then ask for `report` once."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        keys: Mapping[int, bytes],
        trusted: Checkpoint | None = None,
    ) -> None:
        self.events = 0
        self._sealed = 0
        self._keys = keys
        self._trusted = trusted
        self._checkpoints = sorted(checkpoints, key=lambda c: c.size)
        self._sizes = {c.size for c in checkpoints}
        self._reached = 0  # checkpoints that the leaves have reached
        self._signed = 0  # largest size with a genuine signature among those
        self._explained = 0  # leaves before this one are under a checkpoint or a seal's event
        self._range = CompactRange()
        self._due = 0  # the leaf number that must come next
        self._gap = False
        self._wrong: _Stretch | None = None  # where the first wrong root is
        self._stretch = _Stretch(0, [], [], [])
        self._last_id: int | None = None  # since the last seal
        self._findings = Findings()

    def event(self, row: StoredEvent) -> None:
        """Take the next row: sealed ones in leaf order, then the unsealed ones."""
        self.events += 1
        agrees = _agrees(row)
        if row.leaf is None:
            if not agrees:
                self._findings.add(Kind.COLUMN_ALTERED, f"event {row.id}, not yet sealed")
            return
        self._sealed += 1
        self._place(row.id, row.leaf)
        if not agrees:
            self._stretch.columns.append(f"leaf {row.leaf}, event {row.id}")
        if row.action == SEAL_ACTION:
            self._stretch.seals.append(row.leaf)
            self._last_id = None
        self._range.append(leaf_hash(row.line.encode()))
        self._reach()

    def report(self) -> Report:
        """Judge what only the end shows, and return everything found."""
        if self._wrong is None and not self._gap:
            self._match_seals()
        self._columns()
        ahead = [c for c in self._checkpoints[self._reached :] if self._genuine(c, None)]
        signed = max([self._signed, *(c.size for c in ahead)])
        if self._wrong is not None:
            self._name_wrong(self._wrong, signed)
        elif not self._gap and self._due > max(self._explained, signed):
            self._findings.add(Kind.EVENT_INSERTED, _leaves(self._explained, self._due - 1))
        if self._trusted is not None:
            signed = max(signed, self._trusted.size)
        if self._due < signed and self._wrong is None:
            self._findings.add(Kind.TAIL_TRUNCATED, _leaves(self._due, signed - 1))
        return self._findings.report(
            events=self.events, sealed=self._sealed, checkpoints=len(self._checkpoints)
        )

    def _place(self, event_id: int, leaf: int) -> None:
        if leaf > self._due:
            self._findings.add(Kind.EVENT_DELETED, _leaves(self._due, leaf - 1))
            self._gap = True
        elif leaf < self._due:
            self._findings.add(Kind.EVENT_INSERTED, f"a second leaf {leaf}, event {event_id}")
            self._gap = True
        self._due = max(self._due, leaf + 1)
        if self._last_id is not None and event_id < self._last_id:
            self._stretch.backwards.append(leaf)
        self._last_id = event_id

    def _reach(self) -> None:
        """Judge the checkpoints whose size the leaves have now reached or passed."""
        checkpoints = self._checkpoints
        while self._reached < len(checkpoints) and checkpoints[self._reached].size <= self._due:
            checkpoint = checkpoints[self._reached]
            self._reached += 1
            comparable = checkpoint.size == self._due and not self._gap and self._wrong is None
            self._judge(checkpoint, self._range.root() if comparable else None)
        if self._trusted is not None and self._trusted.size == self._due:
            self._judge_trusted(self._trusted)

    def _judge(self, checkpoint: Checkpoint, root: bytes | None) -> None:
        genuine = self._genuine(checkpoint, root)
        if genuine is None:
            return
        self._signed = checkpoint.size
        if root is None:
            return
        if same(genuine.root, root):
            self._good(checkpoint.size)
        else:
            self._wrong, self._stretch = self._stretch, _Stretch(checkpoint.size, [], [], [])

    def _genuine(self, checkpoint: Checkpoint, root: bytes | None) -> Checkpoint | None:
        """Return the checkpoint as it was signed, and note what was changed about it."""
        place = f"checkpoint of size {checkpoint.size}"
        if checkpoint.is_signed_by(self._keys):
            return checkpoint
        if root is not None and not same(checkpoint.root, root):
            mended = replace(checkpoint, root=root)
            if mended.is_signed_by(self._keys):
                self._findings.add(Kind.CHECKPOINT_ALTERED, place)
                return mended
        self._findings.add(Kind.SIGNATURE_FORGED, place)
        return None

    def _good(self, size: int) -> None:
        """The root is right, so every line up to here is as it was sealed."""
        self._match_seals()
        self._columns()
        for leaf in self._stretch.backwards:
            self._findings.add(Kind.COLUMN_ALTERED, f"leaf {leaf}, its id")
        self._explained = max(self._explained, size)
        self._stretch = _Stretch(size, [], [], [])

    def _match_seals(self) -> None:
        for leaf in self._stretch.seals:
            self._explained = max(self._explained, leaf + 1)
            if leaf + 1 not in self._sizes:
                self._findings.add(Kind.CHECKPOINT_REMOVED, f"checkpoint of size {leaf + 1}")

    def _columns(self) -> None:
        for place in self._stretch.columns:
            self._findings.add(Kind.COLUMN_ALTERED, place)

    def _judge_trusted(self, trusted: Checkpoint) -> None:
        if self._gap or self._wrong is not None or same(trusted.root, self._range.root()):
            return
        self._findings.add(
            Kind.LINE_ALTERED,
            f"{_leaves(0, trusted.size - 1)}, against the trusted checkpoint",
        )

    def _name_wrong(self, wrong: _Stretch, signed: int) -> None:
        """Say what made the first wrong root, as far as the rest of the log tells."""
        first = f"from leaf {wrong.first} on"
        if self._due > signed:
            kind, places = Kind.EVENT_INSERTED, [f"{first}: {self._due - signed} more than signed"]
        elif self._due < signed:
            kind, places = Kind.EVENT_DELETED, [f"{first}: {signed - self._due} fewer than signed"]
        elif wrong.backwards:
            kind, places = Kind.EVENTS_SWAPPED, [f"leaf {leaf}" for leaf in wrong.backwards]
        else:
            # A column that disagrees tells which line; without one, only the stretch is known.
            kind, places = Kind.LINE_ALTERED, wrong.columns or [first]
        for place in places:
            self._findings.add(kind, place)


def _leaves(first: int, last: int) -> str:
    return f"leaf {first}" if first == last else f"leaves {first} to {last}"


def _agrees(row: StoredEvent) -> bool:
    """Say whether the columns are those of the line."""
    start = f'{{"action":"{row.action}","actor":"{row.actor}","at":"{row.at[:-3]}","'
    person = f',"profile_id":"{row.profile_id}",'
    # The line as Kith writes it, told by its text alone: much faster than reading the JSON.
    # A column with a quote could pose as two parts of a line; a quote that a person typed
    # is escaped in the line, so nothing else can pose as one of these four.
    if (
        row.line.startswith(start)
        and person in row.line
        and row.at.endswith(" AD")
        and '"' not in f"{row.action}{row.actor}{row.profile_id}"
    ):
        return True
    return _agrees_as_json(row)


def _agrees_as_json(row: StoredEvent) -> bool:
    try:
        content = json.loads(row.line)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and (
        content.get("action") == row.action
        and content.get("actor") == row.actor
        and content.get("profile_id") == row.profile_id
        and f"{content.get('at')} AD" == row.at
    )
