"""No model of the product shows a raw value: each is filled with canaries and printed.

Every dataclass, named tuple and pydantic model of the five packages is found by looking,
so a new one is covered without a word here. Each of its fields that can hold text, bytes
or a date is filled with a canary, unless its name stands in ``tests/unit/coordinates.py``.
A new field therefore either hides itself or is put on that list by somebody who thought
of it.
"""

import copy
import json
import pickle
import traceback

import pytest
from pydantic import BaseModel
from rich.pretty import pretty_repr

from connectors.record import Sensitive
from tests.unit.coordinates import COORDINATES, PLAIN
from tests.unit.models import CANARIES, EVERY_MODEL, filled, label, unlisted, used_names

each_model = pytest.mark.parametrize("model", EVERY_MODEL, ids=label)


def shows(text: str) -> list[str]:
    """The canaries that stand in a text."""
    return [canary for canary in CANARIES if canary in text]


def with_locals(one: object) -> str:
    """A traceback with the local variables of a frame that holds ``one``."""
    held = [one]
    try:
        held[1]
    except IndexError as error:
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(found.format())


DOORS = {
    "repr": repr,
    "str": str,
    "format": lambda one: f"{one}",
    "percent": lambda one: "%s %r" % (one, one),  # noqa: UP031 - one of the ways
    "inside a list": lambda one: repr([one, {"x": one}]),
    "JSON": lambda one: json.dumps({"x": one}, default=str),
    "JSON by repr": lambda one: json.dumps([one], default=repr),
    "traceback with locals": with_locals,
    "rich": lambda one: pretty_repr(one, expand_all=True),
}


@each_model
def test_no_model_shows_what_it_holds(model):
    """However a model is turned to text, no raw value in it shows."""
    one = filled(model)
    shown_by = [name for name, door in DOORS.items() if shows(door(one))]
    assert not shown_by, f"declare with repr=False, or list: {unlisted(model)}"


@each_model
def test_no_model_takes_what_it_holds_into_a_pickle(model):
    """A model that holds a raw value refuses to be pickled; others leave none in the pickle."""
    one = filled(model)
    try:
        pickled = pickle.dumps(one)
    except (TypeError, pickle.PicklingError, AttributeError):
        return
    if label(model) not in PLAIN:
        open_ones = f"make it a connectors.record.Raw: it holds {unlisted(model)}"
        assert not shows(pickled.decode("latin-1") + repr(pickled)), open_ones


def test_every_kind_of_model_is_found():
    """The search for models works: known ones of every package and kind are among them."""
    found = {label(model) for model in EVERY_MODEL}
    assert {
        "api.forms.Lookup",
        "cdp.ingest.normalise.phone.Phone",
        "cdp.publish.render.Rendered",
        "cdp.vault.rejects.RejectPlace",
        "connectors.record.Record",
        "identity.model.Model",
        "policies.decision.Subject",
    } <= found
    assert len(found) > 200


def test_a_model_that_shows_something_would_be_noticed():
    """Each door is a real one: a class with an open text field is seen through every one."""
    from dataclasses import dataclass  # noqa: PLC0415 - a class of this test alone

    @dataclass
    class Open:
        telephone: str

    open_one = filled(Open)
    assert [name for name, door in DOORS.items() if not shows(door(open_one))] == []
    assert shows(pickle.dumps(vars(open_one)).decode("latin-1"))


def test_the_list_of_harmless_names_holds_no_stale_one():
    """A name on the list that no model has is taken off it."""
    assert sorted(COORDINATES - used_names()) == []
    assert sorted(set(PLAIN) - {label(model) for model in EVERY_MODEL}) == []


def test_what_holds_raw_values_is_not_copied_either():
    """A copy is a pickle that stays in the process: a sensitive value refuses it as well."""
    for one in (filled(m) for m in EVERY_MODEL if label(m) == "connectors.record.Record"):
        with pytest.raises(TypeError):
            copy.deepcopy(one)
    assert isinstance(Sensitive("x"), Sensitive)
    assert issubclass(next(m for m in EVERY_MODEL if label(m) == "api.forms.Lookup"), BaseModel)
