"""Errors of the platform: what, rule and next step, never a value."""

import pickle
from pathlib import Path

import pytest

from cdp.errors import KithError, Refused, Retry, Stop
from connectors.record import Sensitive

CANARY = "13800001111"


@pytest.mark.parametrize("family", [Stop, Retry, Refused])
def test_an_error_is_one_sentence(family):
    """An error names where it happened, the rule and the next step, in one sentence."""
    error = family("the card number is missing", "fill it in", source="pos", position=12)
    assert str(error) == ("source pos, position 12: the card number is missing; next: fill it in")
    assert isinstance(error, KithError)


def test_an_error_without_a_place_starts_with_the_rule():
    """An error that happened nowhere in particular starts with its rule."""
    assert str(Retry("the database is starting", "wait a second")) == (
        "the database is starting; next: wait a second"
    )


def test_a_missing_coordinate_is_left_out():
    """A coordinate that is None is not shown."""
    error = Stop("no", "do", source="pos", field=None, key_ring=Path("ring.json"))
    assert str(error) == "source pos, key ring ring.json: no; next: do"


@pytest.mark.parametrize(
    "value", [Sensitive(CANARY), CANARY.encode(), [CANARY], {"phone": CANARY}], ids=type
)
def test_a_value_passed_as_a_coordinate_stays_hidden(value):
    """What is not a coordinate is shown by its type only, however the error is turned to text."""
    error = Stop("no", "do", value=value)
    assert CANARY not in str(error) + repr(error) + repr(error.where) + repr(error.args)
    assert type(value).__name__ in str(error)


def test_an_error_survives_the_way_back_from_a_worker():
    """A pickled error comes back with its family, rule, next step and coordinates."""
    error = pickle.loads(pickle.dumps(Refused("no", "do", record=7, field="phone")))
    assert type(error) is Refused
    assert (error.rule, error.next_step, dict(error.where)) == (
        "no",
        "do",
        {"record": 7, "field": "phone"},
    )


def test_an_error_gains_coordinates_on_its_way_up():
    """A caller that knows more of the place adds it and keeps the rest."""
    inner = Refused("no", "do", field="phone")
    assert str(inner.at(record=7)) == "field phone, record 7: no; next: do"
    assert type(inner.at(record=7)) is Refused


def test_coordinates_cannot_be_changed():
    """The coordinates of an error do not change after it was raised."""
    with pytest.raises(TypeError):
        Stop("no", "do", record=7).where["record"] = 8
