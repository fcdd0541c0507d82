"""What a verification found, in words an officer can act on."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PER_KIND: Final = 100
"""Findings of one kind that are kept; the rest are counted."""


class Kind(StrEnum):
    """What was done to the log, as far as the log itself can tell."""

    LINE_ALTERED = "line_altered"
    COLUMN_ALTERED = "column_altered"
    EVENT_DELETED = "event_deleted"
    EVENTS_SWAPPED = "events_swapped"
    EVENT_INSERTED = "event_inserted"
    TAIL_TRUNCATED = "tail_truncated"
    CHECKPOINT_REMOVED = "checkpoint_removed"
    CHECKPOINT_ALTERED = "checkpoint_altered"
    SIGNATURE_FORGED = "signature_forged"


_RESTORE: Final = "restore those events from a backup beside this log and compare"
NEXT_STEP: Final = {
    Kind.LINE_ALTERED: _RESTORE,
    Kind.COLUMN_ALTERED: "trust the line, which is signed, and set the columns from it",
    Kind.EVENT_DELETED: _RESTORE,
    Kind.EVENTS_SWAPPED: _RESTORE,
    Kind.EVENT_INSERTED: "trust none of those events; ask who may write to the database",
    Kind.TAIL_TRUNCATED: "restore the missing events from a backup; they were signed",
    Kind.CHECKPOINT_REMOVED: "restore the checkpoint from a backup or from an exported one",
    Kind.CHECKPOINT_ALTERED: "restore the checkpoint; the events under it are as signed",
    Kind.SIGNATURE_FORGED: "check that the key ring given is this workspace's, with its retired "
    "keys; if it is, restore the checkpoint and ask who may write to the database",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign of tampering: what, where, and what to do now."""

    kind: Kind
    where: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verification."""

    events: int
    sealed: int  # events that a checkpoint has given a leaf
    unsealed: int  # events that wait for the next checkpoint and are not yet protected
    checkpoints: int
    findings: tuple[Finding, ...]
    omitted: int  # findings beyond the first hundred of their kind

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.findings


class Findings:
    """Collects findings without growing with the damage."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._count: Counter[Kind] = Counter()

    def add(self, kind: Kind, where: str) -> None:
        """Note one finding."""
        self._count[kind] += 1
        if self._count[kind] <= PER_KIND:
            self._kept.append(Finding(kind, where, NEXT_STEP[kind]))

    def report(self, *, events: int, sealed: int, checkpoints: int) -> Report:
        """Close the list."""
        return Report(
            events=events,
            sealed=sealed,
            unsealed=events - sealed,
            checkpoints=checkpoints,
            findings=tuple(self._kept),
            omitted=self._count.total() - len(self._kept),
        )
