"""The epoch file; invariants of `identity/model.py`."""

import copy
import json
import math

import pytest

from identity import features, model
from identity.comparisons import COMPARISONS
from identity.errors import ModelVersionError
from identity.model import Model
from identity.sharing import MOST_HOLDERS


def made_up():
    """An epoch with different numbers everywhere."""
    return Model(
        prior=1e-3,
        weights={
            c.name: tuple((0.5 / (place + 1), 0.01 * (place + 1)) for place in range(len(c.levels)))
            for c in COMPARISONS
        },
        frequencies={"name": {9: 0.25, 0: 0.01, 2**62: 0.5}, "city": {0: 0.5}},
        join_bits=3.0,
        suggest_bits=-3.0,
        most_people=4,
    )


def stored():
    return json.loads(made_up().to_text())


def test_a_model_comes_back_as_it_was():
    """What is written is read back to the last bit, also through a database's JSON."""
    assert Model.from_json(stored()) == made_up()
    assert Model.from_json(made_up().to_json()).to_text() == made_up().to_text()


def test_the_same_epoch_always_writes_the_same_text():
    """Invariant 3: the order in which an epoch was put together does not show."""
    one = made_up()
    backwards = Model(
        prior=one.prior,
        weights=dict(reversed(one.weights.items())),
        frequencies={
            feature: dict(reversed(shares.items()))
            for feature, shares in reversed(one.frequencies.items())
        },
        join_bits=one.join_bits,
        suggest_bits=one.suggest_bits,
        most_people=one.most_people,
    )
    assert backwards.to_text() == one.to_text()


def test_the_file_can_be_read_by_a_person():
    """Every level stands there by its name with its bits."""
    text = made_up().to_text()
    for comparison in COMPARISONS:
        assert f'"{comparison.name}"' in text
        assert all(f'"{level.label}"' in text for level in comparison.levels)
    first = stored()["comparisons"]["name"][0]
    assert first == {"level": "equal", "m": 0.5, "u": 0.01, "bits": 5.644}


def test_bits_are_the_log_of_m_to_u():
    """Levels count from "differs", 0, to the best; the prior is log2 of its odds."""
    epoch = made_up()
    best = len(COMPARISONS[0].levels) - 1
    assert epoch.bits("name", best) == math.log2(0.5 / 0.01)
    assert epoch.bits("name", 0) == math.log2((0.5 / (best + 1)) / (0.01 * (best + 1)))
    assert epoch.prior_bits == pytest.approx(-9.9643, abs=1e-4)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("version", model.VERSION + 1),
        ("version", None),
        ("feature_version", features.VERSION + 1),
        ("feature_version", None),
    ],
)
def test_another_version_is_refused(part, value):
    """Invariant 2: another version of the file or of the features is never guessed at."""
    with pytest.raises(ModelVersionError, match=r"another version.*--retrain"):
        Model.from_json(stored() | {part: value})


def test_an_empty_file_is_refused():
    """Invariant 2: what names no version has another version."""
    with pytest.raises(ModelVersionError):
        Model.from_json({})


def broken(change):
    """The stored epoch, changed."""
    found = copy.deepcopy(stored())
    change(found)
    return found


DAMAGE = {
    "no prior": lambda d: d.pop("prior"),
    "prior that is text": lambda d: d.update(prior="0.001"),
    "prior that is nothing": lambda d: d.update(prior=None),
    "prior of one": lambda d: d.update(prior=1.0),
    "prior of zero": lambda d: d.update(prior=0),
    "no threshold": lambda d: d.pop("join_bits"),
    "threshold that is text": lambda d: d.update(join_bits="3"),
    "threshold without end": lambda d: d.update(join_bits=float("inf")),
    "no comparisons": lambda d: d.update(comparisons=None),
    "comparison gone": lambda d: d["comparisons"].pop("name"),
    "comparison renamed": lambda d: d["comparisons"].update(name=[]),
    "level gone": lambda d: d["comparisons"]["name"].pop(),
    "levels exchanged": lambda d: d["comparisons"]["name"].reverse(),
    "level without m": lambda d: d["comparisons"]["name"][0].pop("m"),
    "m of zero": lambda d: d["comparisons"]["name"][0].update(m=0.0),
    "u of zero": lambda d: d["comparisons"]["name"][0].update(u=0),
    "u below zero": lambda d: d["comparisons"]["name"][0].update(u=-0.1),
    "u that is no number": lambda d: d["comparisons"]["name"][0].update(u=float("nan")),
    "u that is text": lambda d: d["comparisons"]["name"][0].update(u="0.1"),
    "frequency of zero": lambda d: d["frequencies"]["name"].update({"9": 0.0}),
    "frequency key that is text": lambda d: d["frequencies"]["name"].update(x=0.1),
    "frequencies as a list": lambda d: d.update(frequencies=[]),
    "no floor frequency": lambda d: d["frequencies"]["name"].pop("0"),
    "people that is text": lambda d: d.update(most_people="4"),
    "no people": lambda d: d.update(most_people=0),
    "people that nobody counts": lambda d: d.update(most_people=MOST_HOLDERS),
}


def test_as_many_people_as_are_counted_may_use_a_number():
    """The limit of an epoch file is that of a rule file: one below `MOST_HOLDERS`."""
    most = Model.from_json(stored() | {"most_people": MOST_HOLDERS - 1}).most_people
    assert most == MOST_HOLDERS - 1


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_model_is_refused(change):
    """Invariant 2: an altered file stops the run here, not in the middle of a score."""
    with pytest.raises(ModelVersionError, match=r"damaged.*--retrain"):
        Model.from_json(broken(change))
