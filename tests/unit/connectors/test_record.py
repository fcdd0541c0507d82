"""The promises of connectors.record, one test for each invariant."""

import copy
import json
import logging
import pickle
import pprint
import traceback
from dataclasses import dataclass

import pytest

from connectors.errors import ConnectorError, Retry, Skip, Stop
from connectors.record import FieldProblem, FieldValue, Raw, Record, Rejection, Sensitive, decoded

CANARY = "ada@example.com"


SHOWS = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": "{}".format,
    "format with width": "{:>40}".format,
    "format as text": "{:s}".format,
    "percent s": "%s".__mod__,
    "percent r": "%r".__mod__,
    "f-string": lambda v: f"{v}",
    "f-string with width": lambda v: f"{v!s:^60}",
    "format as number": lambda v: format(v, "x"),
    "in a list": lambda v: str([v]),
    "in a dict": lambda v: str({v: v}),
    "pprint": pprint.pformat,
}


@pytest.mark.parametrize("show", SHOWS.values(), ids=SHOWS.keys())
def test_invariant_1_never_shows_the_value(show):
    """However a sensitive value is turned into text, the value stays hidden."""
    text = show(Sensitive(CANARY))
    assert "<sensitive>" in text
    assert CANARY not in text


def test_invariant_1_holds_in_a_log(caplog):
    """A log line with a sensitive value as argument hides it."""
    with caplog.at_level(logging.INFO):
        logging.info("got %s and %r", Sensitive(CANARY), {"email": Sensitive(CANARY)})  # noqa: LOG015
    assert "<sensitive>" in caplog.text
    assert CANARY not in caplog.text


def test_invariant_1_holds_in_a_traceback():
    """A traceback with its local variables shows hides a sensitive value."""
    kept = Sensitive(CANARY)
    try:
        raise ValueError(kept)  # noqa: TRY301 - the traceback is what is tested
    except ValueError as error:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert "kept = <sensitive>" in shown
    assert CANARY not in shown


WRITES = {
    "json value": lambda v: json.dumps({"email": v}),
    "json key": lambda v: json.dumps({v: 1}),
    "pickle": pickle.dumps,
    "pickle 0": lambda v: pickle.dumps(v, 0),
    "pickle 2": lambda v: pickle.dumps(v, 2),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "getstate": lambda v: v.__getstate__(),
    "reduce_ex": lambda v: v.__reduce_ex__(4),
    "vars": vars,
    "dict": dict,
    "list": list,
    "len": len,
    "concatenate": lambda v: v + "",
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_invariant_2_cannot_be_serialised(write):
    """JSON, pickle and copy refuse a sensitive value instead of writing it."""
    with pytest.raises(TypeError) as refused:
        write(Sensitive(CANARY))
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("reason", ["", "  "])
def test_invariant_3_reveal_asks_why(reason):
    """Opening a value without a reason fails; with one it gives the value."""
    with pytest.raises(ValueError, match="reason"):
        Sensitive(CANARY).reveal(reason=reason)
    assert Sensitive(CANARY).reveal(reason="tokenise") == CANARY


def test_invariant_4_equality_tells_nothing():
    """Two wrappers of one value are unequal, so comparing cannot be used to guess."""
    one, other = Sensitive(CANARY), Sensitive(CANARY)
    assert one == one  # noqa: PLR0124
    assert one != other
    assert one != CANARY
    assert len({one, other}) == 2
    assert hash(one) != hash(CANARY)


def test_many_wrapped_at_once_are_as_if_wrapped_one_by_one():
    """Invariants 1 to 5 hold of them: they are of the same class, each with its own value."""
    values = [CANARY, "", "欧阳小明"]
    wrapped = decoded(value.encode() for value in values)
    assert [type(one) for one in wrapped] == [Sensitive] * 3
    assert [one.reveal(reason="compare") for one in wrapped] == values
    assert CANARY not in repr(wrapped)
    with pytest.raises(UnicodeDecodeError):
        decoded([b"fine", b"\xff"])


def test_invariant_5_cannot_be_changed():
    """A sensitive value is neither changed nor given attributes."""
    value = Sensitive(CANARY)
    with pytest.raises(AttributeError):
        value._value = "other"
    with pytest.raises(AttributeError):
        del value._value
    with pytest.raises(AttributeError):
        value.note = "x"


def test_invariant_5_has_no_subclass():
    """No subclass can be made that would show the value."""
    with pytest.raises(TypeError, match="no subclasses"):
        type("Loud", (Sensitive,), {})


@pytest.mark.parametrize("value", [None, 7, b"x"])
def test_wraps_text_only(value):
    """Only text is wrapped; the refusal does not quote what was given."""
    with pytest.raises(TypeError, match="wraps text"):
        Sensitive(value)


def test_invariant_6_a_record_shows_no_value():
    """The repr of a record, its values and its problems, and of a rejection, shows no value."""
    hidden = Sensitive(CANARY)
    record = Record(
        source="pos",
        record_id=hidden,
        position=3,
        fields={"email": (FieldValue(hidden),)},
        attributes={"motto": CANARY},
        problems=(FieldProblem("phone", "formula", "Write plain text.", hidden),),
    )
    rejection = Rejection("pos", 4, None, "column_count", "Align them.", hidden)
    for shown in (repr(record), str(record), f"{record}", repr(rejection)):
        assert CANARY not in shown
        assert "pos" in shown
    with pytest.raises(TypeError):
        pickle.dumps(record)


def test_invariant_7_a_model_of_raw_values_stays_in_its_process():
    """Pickle and copy refuse what holds raw values as plain text, and its repr is its type."""

    @dataclass(frozen=True, slots=True, repr=False)
    class Row(Raw):
        text: str

    row = Row(CANARY)
    assert repr(row) == str(row) == f"{row}" == "<Row>"
    for door in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled, copied or serialised"):
            door(row)


def test_an_error_says_where_which_rule_and_what_next():
    """An error is one line: source, row, field, rule, next step."""
    error = Stop("pos", "column_missing", "Correct the mapping.", position=12, field="phone")
    assert str(error) == "pos, row 12, phone: column_missing. Correct the mapping."
    assert isinstance(error, ConnectorError)
    assert Retry("crm", "http_503", "Try again later.", after=2.0).after == 2.0
    assert str(Skip("crm", "not_json", "Send JSON.")) == "crm: not_json. Send JSON."
