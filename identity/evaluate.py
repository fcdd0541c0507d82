"""How good a partition of records is, measured against the truth.

Everything is counted from the contingency table of predicted clusters and true
clusters; no pair is ever enumerated, so the time grows with records, not with pairs.

With n_ij the records that predicted cluster i and true cluster j share, a_i and b_j
the sizes of both, and C2(x) = x (x - 1) / 2:

- pairs joined and true: TP = sum C2(n_ij); joined: sum C2(a_i); true: sum C2(b_j).
  Precision = TP / joined, recall = TP / true, F1 = their harmonic mean
  (Christen, *Data Matching*, 2012, chapter 7).
- linkable recall: the same recall with the linkable groups as the true clusters.
- B-cubed (Bagga and Baldwin, 1998): precision = sum n_ij^2 / a_i / records, recall =
  sum n_ij^2 / b_j / records.

A ratio with nothing below it is 1: no pair joined means no pair joined wrongly.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

_Label = TypeVar("_Label", bound=Hashable)


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
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    over_merge_rate: float  # of clusters of two or more records, those with two persons
    over_split_rate: float  # of persons with two or more records, those in two clusters
    exact_share: float  # of persons, those whose records are one cluster, and all of it
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
    # Labels of both sides are numbered, which also keeps a lost record's own cluster
    # apart from every label that a caller may have used.
    cluster_of = _numbered(predicted)
    lost = len(cluster_of)
    clusters: list[int] = []
    people: list[Hashable] = []
    groups: list[Hashable] = []
    unpredicted = 0
    for record, person in truth.items():
        cluster = cluster_of.get(record)
        if cluster is None:
            unpredicted += 1
            cluster = lost + unpredicted
        clusters.append(cluster)
        people.append(person)
        if linkable is not None:
            groups.append(linkable.get(record, ("alone", len(groups))))
    known = len(truth) - unpredicted
    return _measure(
        clusters,
        people,
        groups if linkable is not None else None,
        unlabelled=len(predicted) - known,
        unpredicted=unpredicted,
    )


def evaluate_labels(
    predicted: Sequence[Hashable],
    truth: Sequence[Hashable],
    linkable: Sequence[Hashable] | None = None,
) -> Evaluation:
    """Measure a partition given as labels in record order; all of one length.

    Raises:
        ValueError: The sequences differ in length.
    """
    lengths = {len(predicted), len(truth), len(truth if linkable is None else linkable)}
    if len(lengths) != 1:
        raise ValueError(f"labels must be of one length, not {sorted(lengths)}")
    return _measure(predicted, truth, linkable, unlabelled=0, unpredicted=0)


def _measure(
    clusters: Sequence[Hashable],
    people: Sequence[Hashable],
    groups: Sequence[Hashable] | None,
    *,
    unlabelled: int,
    unpredicted: int,
) -> Evaluation:
    records = len(clusters)
    shared = Counter(zip(clusters, people, strict=True))
    by_cluster, by_person = Counter(clusters), Counter(people)
    true_joined = _pairs(shared)
    precision = _ratio(true_joined, _pairs(by_cluster))
    recall = _ratio(true_joined, _pairs(by_person))
    bcubed_precision = _ratio(sum(n * n / by_cluster[c] for (c, _), n in shared.items()), records)
    bcubed_recall = _ratio(sum(n * n / by_person[p] for (_, p), n in shared.items()), records)
    return Evaluation(
        records=records - unpredicted,
        unlabelled=unlabelled,
        unpredicted=unpredicted,
        clusters=len(by_cluster),
        people=len(by_person),
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        linkable_recall=None if groups is None else _recall(clusters, groups),
        bcubed_precision=bcubed_precision,
        bcubed_recall=bcubed_recall,
        bcubed_f1=_harmonic(bcubed_precision, bcubed_recall),
        over_merge_rate=_mixed_share(by_cluster, ((c, p) for c, p in shared)),
        over_split_rate=_mixed_share(by_person, ((p, c) for c, p in shared)),
        exact_share=_exact_share(shared, by_cluster, by_person),
        consolidation=_ratio(records, len(by_cluster)),
        match_rate=_ratio(sum(n for n in by_cluster.values() if n > 1), records),
    )


def _numbered(predicted: Mapping[Hashable, Hashable]) -> dict[Hashable, int]:
    numbers: dict[Hashable, int] = {}
    return {record: numbers.setdefault(label, len(numbers)) for record, label in predicted.items()}


def _pairs(sizes: Counter[_Label]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes.values())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0


def _recall(clusters: Sequence[Hashable], groups: Sequence[Hashable]) -> float:
    return _ratio(_pairs(Counter(zip(clusters, groups, strict=True))), _pairs(Counter(groups)))


def _mixed_share(
    sizes: Mapping[Hashable, int], cells: Iterable[tuple[Hashable, Hashable]]
) -> float:
    """Return, of the sets with two or more records, the share that meets two sets."""
    met: defaultdict[Hashable, int] = defaultdict(int)
    for own, _ in cells:
        met[own] += 1
    large = [label for label, size in sizes.items() if size > 1]
    return sum(met[label] > 1 for label in large) / len(large) if large else 0.0


def _exact_share(
    shared: Mapping[tuple[Hashable, Hashable], int],
    by_cluster: Mapping[Hashable, int],
    by_person: Mapping[Hashable, int],
) -> float:
    exact = sum(n == by_cluster[c] == by_person[p] for (c, p), n in shared.items())
    return _ratio(exact, len(by_person))
