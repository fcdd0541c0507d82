"""How good a partition of records is, measured against the truth.

Everything is counted from the contingency table of predicted clusters and true
clusters (``identity.partitions``).

With n_ij the records that predicted cluster i and true cluster j share, a_i and b_j
the sizes of both, and C2(x) = x (x - 1) / 2:

- pairs joined and true: TP = sum C2(n_ij); joined: sum C2(a_i); true: sum C2(b_j).
  Precision = TP / joined, recall = TP / true, F1 = their harmonic mean
  (Christen, *Data Matching*, 2012, chapter 7).
- linkable recall: the same recall with the linkable groups as the true clusters.
  Unlinkable share: of the true pairs, those in no linkable group. No threshold finds
  these: nothing true that survives in the files joins them.
- B-cubed (Bagga and Baldwin, 1998): precision = sum n_ij^2 / a_i / records, recall =
  sum n_ij^2 / b_j / records.

A ratio with nothing below it is 1: no pair joined means no pair joined wrongly. The
share of what is wrong (over-merged, over-split, unlinkable) is 0 then.
"""

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass

from identity.partitions import (
    Contingency,
    Ints,
    Labels,
    contingency,
    exact_sum,
    harmonic,
    numbered,
    numbered_or_alone,
    pairs_within,
    share,
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measures of one partition. Shares are between 0 and 1."""

    records: int  # records that were predicted and that the truth knows
    unlabelled: int  # predicted records that the truth does not know; left out
    unpredicted: int  # true records without prediction; counted as clusters of one
    clusters: int  # predicted clusters
    people: int  # true clusters
    precision: float  # of joined pairs, those of one person
    recall: float  # of one person's pairs, those joined
    f1: float
    linkable_recall: float | None  # of linkable pairs, those joined; None if not asked
    unlinkable_share: float | None  # of one person's pairs, those no evidence joins; or None
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    over_merge_rate: float  # of clusters of two or more records, those with two persons
    over_split_rate: float  # of persons with two or more records, those in two clusters
    exact_share: float  # of persons, those whose records are one cluster, and all of it
    cluster_exact_share: float  # of clusters, those that are one person, and all of them
    consolidation: float  # records per cluster
    match_rate: float  # of records, those in a cluster of two or more

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the measures by name, ready for JSON."""
        return asdict(self)


def evaluate(
    predicted: Mapping[Hashable, Hashable],
    truth: Mapping[Hashable, Hashable],
    linkable: Mapping[Hashable, Hashable] | None = None,
) -> Evaluation:
    """Measure a partition given as record -> label.

    Args:
        predicted: The predicted cluster of each record.
        truth: The person of each record.
        linkable: The linkable group of each record, for `linkable_recall`; a record
            that it lacks is linkable to nothing.

    Returns:
        The measures. Records that the truth lacks are left out and counted. True
        records without prediction, such as rejected rows, count as clusters of one,
        so that dropping a record never raises recall.
    """
    known = sum(map(predicted.__contains__, truth))
    return _measure(
        numbered_or_alone(predicted, truth),
        numbered(list(truth.values())),
        None if linkable is None else numbered_or_alone(linkable, truth),
        unlabelled=len(predicted) - known,
        unpredicted=len(truth) - known,
    )


def evaluate_labels(
    predicted: Labels,
    truth: Labels,
    linkable: Labels | None = None,
) -> Evaluation:
    """Measure a partition given as labels in record order; all of one length.

    Raises:
        ValueError: The sequences differ in length.
    """
    lengths = {len(predicted), len(truth), len(truth if linkable is None else linkable)}
    if len(lengths) != 1:
        raise ValueError(f"labels must be of one length, not {sorted(lengths)}")
    return _measure(
        numbered(predicted),
        numbered(truth),
        None if linkable is None else numbered(linkable),
        unlabelled=0,
        unpredicted=0,
    )


def _measure(
    clusters: Ints,
    people: Ints,
    groups: Ints | None,
    *,
    unlabelled: int,
    unpredicted: int,
) -> Evaluation:
    table = contingency(clusters, people)
    by_cluster, by_person = table.left_sizes, table.right_sizes
    true_joined = pairs_within(table.shared)
    precision = share(true_joined, pairs_within(by_cluster))
    recall = share(true_joined, pairs_within(by_person))
    bcubed_precision, bcubed_recall = _bcubed(table)
    exact = int(table.exact.sum())
    return Evaluation(
        records=table.records - unpredicted,
        unlabelled=unlabelled,
        unpredicted=unpredicted,
        clusters=len(by_cluster),
        people=len(by_person),
        precision=precision,
        recall=recall,
        f1=harmonic(precision, recall),
        linkable_recall=None if groups is None else _recall(clusters, groups),
        unlinkable_share=None if groups is None else 1 - _recall(groups, people),
        bcubed_precision=bcubed_precision,
        bcubed_recall=bcubed_recall,
        bcubed_f1=harmonic(bcubed_precision, bcubed_recall),
        over_merge_rate=_mixed_share(by_cluster, table.left_meets),
        over_split_rate=_mixed_share(by_person, table.right_meets),
        exact_share=share(exact, len(by_person)),
        cluster_exact_share=share(exact, len(by_cluster)),
        consolidation=share(table.records, len(by_cluster)),
        match_rate=share(int(by_cluster[by_cluster > 1].sum()), table.records),
    )


def _bcubed(table: Contingency) -> tuple[float, float]:
    squares = table.shared.astype(float) ** 2
    return (
        share(exact_sum(squares / table.left_sizes[table.left]), table.records),
        share(exact_sum(squares / table.right_sizes[table.right]), table.records),
    )


def _recall(found: Ints, sought: Ints) -> float:
    """Of the pairs within the groups ``sought``, the share within those ``found``."""
    table = contingency(found, sought)
    return share(pairs_within(table.shared), pairs_within(table.right_sizes))


def _mixed_share(sizes: Ints, meets: Ints) -> float:
    """Of the groups with two or more records, the share that meets two groups."""
    large = int((sizes > 1).sum())
    return int((meets > 1).sum()) / large if large else 0.0
