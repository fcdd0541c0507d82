"""What lies between two partitions of the same records: before and after a new epoch.

Only records that both partitions know are compared: a record that arrived meanwhile is
counted as added and disturbs nobody.
"""

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass

from identity.partitions import contingency, numbered


@dataclass(frozen=True, slots=True)
class Churn:
    """How far apart two partitions are."""

    records: int  # known to both
    added: int  # known to the later one alone
    removed: int  # known to the earlier one alone
    changed_share: float  # of records, those whose set of companions changed
    before: int  # profiles, earlier
    after: int  # profiles, later
    kept: int  # profiles with the same records before and after
    merged: int  # later profiles with records of two or more earlier ones
    split: int  # earlier profiles whose records are now in two or more

    def to_dict(self) -> dict[str, float | int]:
        """Return the figures by name, ready for JSON."""
        return asdict(self)


def churn(before: Mapping[Hashable, Hashable], after: Mapping[Hashable, Hashable]) -> Churn:
    """Compare two partitions given as record -> label; the labels need not agree.

    A profile that lost one record and won another counts as merged and as split.
    """
    common = [record for record in before if record in after]
    table = contingency(
        numbered([before[record] for record in common]),
        numbered([after[record] for record in common]),
    )
    exact = table.exact
    undisturbed = int(table.shared[exact].sum())
    return Churn(
        records=len(common),
        added=len(after) - len(common),
        removed=len(before) - len(common),
        changed_share=(len(common) - undisturbed) / len(common) if common else 0.0,
        before=len(table.left_sizes),
        after=len(table.right_sizes),
        kept=int(exact.sum()),
        merged=int((table.right_meets > 1).sum()),
        split=int((table.left_meets > 1).sum()),
    )
