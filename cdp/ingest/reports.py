"""What a sync says of itself while it runs and when it has ended."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from cdp.ingest.findings import ContractFinding

Progress = Callable[[int, int | None], None]  # rows done, rows expected
COUNTS: Final = (
    "read",
    "added",
    "changed",
    "unchanged",
    "rejected",
    "set_aside",
    "shredded",
    "deleted",
    "superseded",
)


def quiet(done: int, expected: int | None) -> None:
    """Say nothing."""
    del done, expected


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, in rows. ``set_aside`` counts single values, not rows.

    ``shredded`` are rows of records that were destroyed, and may not come in again. Of a feed,
    ``deleted`` are records that the source deleted and that were destroyed here, and
    ``superseded`` are rows that a newer row of the same record made void.
    """

    source: str
    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    set_aside: int = 0
    resumed_at: int = 0
    shredded: int = 0
    deleted: int = 0
    superseded: int = 0
    findings: tuple[ContractFinding, ...] = ()  # what broke the contract, this time

    @property
    def accepted(self) -> int:
        """Rows that are a record now."""
        return self.added + self.changed + self.unchanged

    @property
    def nothing_new(self) -> bool:
        """Whether the database is as it was before."""
        return self.added == self.changed == self.deleted == 0

    def plus(self, **more: int) -> "SyncReport":
        """The same with these added to its counts."""
        totals = {name: getattr(self, name) + count for name, count in more.items()}
        return replace(self, **totals)

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        told = asdict(self)
        told["findings"] = [one.to_dict() for one in self.findings]
        return told | {"accepted": self.accepted}
