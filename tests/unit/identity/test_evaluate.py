import json
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.evaluate import evaluate, evaluate_labels

labels = st.integers(0, 4)
partitions = st.lists(st.tuples(labels, labels, labels), max_size=12)


def share(part, whole):
    return part / whole if whole else 1.0


def joined(values):
    return {(i, j) for i, j in combinations(range(len(values)), 2) if values[i] == values[j]}


def members(values, label):
    return {at for at, value in enumerate(values) if value == label}


def harmonic(one, other):
    return 2 * one * other / (one + other) if one + other else 0.0


@settings(max_examples=100)
@given(rows=partitions)
def test_pairwise_measures_equal_enumeration(rows):
    """Precision, recall, F1 and linkable recall equal what listing every pair gives."""
    predicted, truth, linkable = ([row[at] for row in rows] for at in range(3))
    result = evaluate_labels(predicted, truth, linkable)
    made, true, possible = joined(predicted), joined(truth), joined(linkable)
    assert result.precision == pytest.approx(share(len(made & true), len(made)))
    assert result.recall == pytest.approx(share(len(made & true), len(true)))
    assert result.f1 == pytest.approx(harmonic(result.precision, result.recall))
    assert result.linkable_recall == pytest.approx(share(len(made & possible), len(possible)))


@settings(max_examples=100)
@given(rows=partitions)
def test_bcubed_measures_equal_their_definition(rows):
    """B-cubed is the mean over records of the share of their cluster, and of their person."""
    predicted, truth = ([row[at] for row in rows] for at in range(2))
    result = evaluate_labels(predicted, truth)
    precision = recall = Fraction(0)
    for made, true in zip(predicted, truth, strict=True):
        cluster, person = members(predicted, made), members(truth, true)
        precision += Fraction(len(cluster & person), len(cluster))
        recall += Fraction(len(cluster & person), len(person))
    assert result.bcubed_precision == pytest.approx(float(share(precision, len(rows))))
    assert result.bcubed_recall == pytest.approx(float(share(recall, len(rows))))
    assert result.bcubed_f1 == pytest.approx(
        harmonic(result.bcubed_precision, result.bcubed_recall)
    )


@settings(max_examples=100)
@given(rows=partitions)
def test_cluster_measures_equal_their_definition(rows):
    """Over-merge, over-split, exact share, consolidation and match rate equal a plain count."""
    predicted, truth = ([row[at] for row in rows] for at in range(2))
    result = evaluate_labels(predicted, truth)
    clusters = [members(predicted, label) for label in set(predicted)]
    people = [members(truth, label) for label in set(truth)]
    large = [cluster for cluster in clusters if len(cluster) > 1]
    mixed = [cluster for cluster in large if len({truth[at] for at in cluster}) > 1]
    several = [person for person in people if len(person) > 1]
    split = [person for person in several if len({predicted[at] for at in person}) > 1]
    assert result.over_merge_rate == pytest.approx(len(mixed) / len(large) if large else 0)
    assert result.over_split_rate == pytest.approx(len(split) / len(several) if several else 0)
    assert result.exact_share == pytest.approx(
        share(sum(person in clusters for person in people), len(people))
    )
    assert result.consolidation == pytest.approx(share(len(rows), len(clusters)))
    assert result.match_rate == pytest.approx(share(sum(map(len, large)), len(rows)))
    assert (result.clusters, result.people) == (len(clusters), len(people))


@pytest.mark.parametrize(
    ("response", "precision"),
    [
        ((1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2), 0.762),
        ((1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1), 0.583),
    ],
)
def test_bcubed_gives_the_published_figures(response, precision):
    """The two responses of Bagga and Baldwin (1998) score 76 % and 58 %, with full recall."""
    truth = (1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3)
    result = evaluate_labels(response, truth)
    assert result.bcubed_precision == pytest.approx(precision, abs=5e-4)
    assert result.bcubed_recall == 1


@given(rows=st.lists(st.tuples(labels, labels), max_size=10), names=st.permutations(range(5)))
def test_labels_are_only_names(rows, names):
    """Renaming clusters changes nothing."""
    predicted, truth = ([row[at] for row in rows] for at in range(2))
    renamed = [f"cluster {names[label]}" for label in predicted]
    assert evaluate_labels(renamed, truth) == evaluate_labels(predicted, truth)


def test_mappings_and_sequences_agree():
    """A partition measures the same as labels in order and as record -> label."""
    predicted, truth, linkable = (1, 1, 2, 2), ("a", "a", "a", "b"), ("a1", "a1", "a2", "b1")
    by_record = [dict(enumerate(values)) for values in (predicted, truth, linkable)]
    assert evaluate(*by_record) == evaluate_labels(predicted, truth, linkable)


def test_records_that_the_truth_lacks_are_left_out():
    """A record without truth is counted as unlabelled and changes no measure."""
    truth = {"r1": "a", "r2": "a", "r3": "b"}
    clean = evaluate({"r1": 1, "r2": 1, "r3": 2}, truth)
    mixed = evaluate({"r1": 1, "r2": 1, "r3": 2, "x": 1, "y": 3}, truth)
    assert (clean.unlabelled, mixed.unlabelled) == (0, 2)
    assert {**mixed.to_dict(), "unlabelled": 0} == clean.to_dict()


def test_a_record_without_prediction_costs_recall():
    """A true record that was never predicted counts as a cluster of its own."""
    result = evaluate({"r1": 0, "r2": 0}, {"r1": "a", "r2": "a", "r3": "a", "r4": "b"})
    assert (result.records, result.unpredicted, result.clusters) == (2, 2, 3)
    assert result.recall == pytest.approx(1 / 3)
    assert result.precision == 1


def test_a_record_without_group_is_linkable_to_nothing():
    """A record that the linkable groups lack adds no linkable pair."""
    same = {"r1": 1, "r2": 1, "r3": 1}
    result = evaluate({"r1": 1, "r2": 1, "r3": 2}, same, {"r1": "g", "r2": "g"})
    assert result.linkable_recall == 1
    assert evaluate(same, same).linkable_recall is None


def test_nothing_is_measured_as_faultless():
    """Without records no pair is wrong and none is missed."""
    result = evaluate({}, {}, {})
    assert (result.precision, result.recall, result.linkable_recall) == (1, 1, 1)
    assert (result.records, result.clusters) == (0, 0)


def test_labels_of_different_length_are_refused():
    """Sequences that do not describe the same records are refused."""
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        evaluate_labels([1], [1, 2])


def test_measures_are_ready_for_json():
    """The measures print as one JSON object."""
    measures = json.loads(json.dumps(evaluate_labels([1, 1], [1, 1]).to_dict()))
    assert measures["precision"] == 1
    assert measures["linkable_recall"] is None


@settings(max_examples=100)
@given(rows=partitions)
def test_exact_clusters_and_unlinkable_pairs_equal_a_plain_count(rows):
    """Of clusters those that are one whole person; of true pairs those in no linkable group."""
    predicted, truth, linkable = ([row[at] for row in rows] for at in range(3))
    result = evaluate_labels(predicted, truth, linkable)
    clusters = [members(predicted, label) for label in set(predicted)]
    people = [members(truth, label) for label in set(truth)]
    exact = share(sum(cluster in people for cluster in clusters), len(clusters))
    assert result.cluster_exact_share == pytest.approx(exact)
    true = joined(truth)
    assert result.unlinkable_share == pytest.approx(
        len(true - joined(linkable)) / len(true) if true else 0
    )


def test_unlinkable_share_by_hand():
    """Of three pairs of one person, two lead to the record that nothing joins."""
    result = evaluate_labels([1, 1, 2], ["a", "a", "a"], ["x", "x", "y"])
    assert result.unlinkable_share == pytest.approx(2 / 3)
    assert result.linkable_recall == 1
    assert evaluate_labels([1], ["a"]).unlinkable_share is None
