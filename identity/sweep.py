"""The same pairs decided at several thresholds, each measured against the truth.

How a threshold becomes a partition is the caller's: a function. So the sweep is the same
for records in memory, in DuckDB or in a test.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass

from identity.evaluate import evaluate

Partition = Mapping[Hashable, Hashable]
Decide = Callable[[float], Partition]


@dataclass(frozen=True, slots=True)
class Row:
    """The measures at one threshold."""

    threshold: float  # bits
    precision: float
    recall: float
    f1: float
    bcubed_f1: float
    linkable_recall: float | None  # None if the truth names no linkable groups
    over_merge_rate: float
    profiles: int  # of all records, whether the truth knows them or not

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the measures by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows in the order of thresholds, at least one."""

    rows: tuple[Row, ...]

    @property
    def best(self) -> Row:
        """The row with the best F1; of equals the highest threshold.

        Joining too much is the worse error, so a tie goes to caution.
        """
        return max(self.rows, key=lambda row: (row.f1, row.threshold))

    def precise(self, wish: float) -> Row | None:
        """The lowest threshold whose precision is at least ``wish``; None if none has it."""
        return next((row for row in self.rows if row.precision >= wish), None)


def sweep(
    thresholds: Iterable[float],
    decide: Decide,
    truth: Partition,
    linkable: Partition | None = None,
) -> Sweep:
    """Decide at each threshold and measure.

    Args:
        thresholds: bits; each is tried once, in ascending order.
        decide: gives the profile of each record at a threshold.
        truth: the person of each record.
        linkable: the linkable group of each record, if known.

    Raises:
        ValueError: there is no threshold.
    """
    rows = tuple(_row(bits, decide(bits), truth, linkable) for bits in sorted(set(thresholds)))
    if not rows:
        raise ValueError("a sweep needs a threshold")
    return Sweep(rows)


def _row(bits: float, found: Partition, truth: Partition, linkable: Partition | None) -> Row:
    measured = evaluate(found, truth, linkable)
    return Row(
        threshold=bits,
        precision=measured.precision,
        recall=measured.recall,
        f1=measured.f1,
        bcubed_f1=measured.bcubed_f1,
        linkable_recall=measured.linkable_recall,
        over_merge_rate=measured.over_merge_rate,
        profiles=len(set(found.values())),
    )
