"""The cells of a rejected row, kept as one text and read back."""

import json

import pytest

from connectors.cells import BadCell
from connectors.declaration import parse_source
from connectors.feed_rows import FeedRows
from connectors.kept_cells import cells_again, kept_cells
from connectors.mapping import RowMapper
from connectors.possible_ids import kept, kept_id, kept_parts, possible_ids
from connectors.record import RAW_LIMIT, Rejection, Sensitive

ENTRY = {
    "connector": "jsonl",
    "location": "x",
    "record_id": ["shop", "card"],
    "fields": {"name": "name"},
    "consent": {
        "basis": "membership",
        "purposes": ["service"],
        "opt_out": {"column": "no", "values": ["yes"]},
    },
}
CELLS = {"shop": "BJ01", "card": "", "name": ('O"B', "欧阳\\x"), "no": None}


def opened(text):
    return text.reveal(reason="test")


def test_what_was_kept_comes_back():
    """Texts, lists, nothing and cells that could not be read are what they were (1)."""
    bad = BadCell("workbook_error", "Correct it.", Sensitive("#N/A"), rejects_row=False)
    again = cells_again(json.loads(opened(kept_cells({**CELLS, "no": bad}))))
    read = again.pop("no")
    assert again == {key: one for key, one in CELLS.items() if key != "no"}
    assert (read.rule, read.next_step, opened(read.raw), read.rejects_row) == (
        "workbook_error",
        "Correct it.",
        "#N/A",
        False,
    )


def test_too_much_is_not_kept():
    """Cells beyond the limit are left out whole, not cut (2)."""
    assert kept_cells({"a": "x" * RAW_LIMIT}) is None
    assert kept_cells({"a": "x" * (RAW_LIMIT - 20)}) is not None


@pytest.mark.parametrize("broken", [{"a": 1}, {"a": {}}, {"a": {"rule": "x"}}])
def test_what_are_no_cells_is_refused(broken):
    """Another form is an error that shows nothing."""
    with pytest.raises(ValueError, match="no cells"):
        cells_again(broken)


def test_a_rejected_row_has_its_cells_before_they_were_derived():
    """The cells of the file are kept, so that another derivation may read them."""
    derived = ENTRY | {"columns": {"name": {"from": "called"}}}
    for mapper in (RowMapper(parse_source("crm", derived)), FeedRows(parse_source("crm", derived))):
        give = mapper.map if isinstance(mapper, RowMapper) else mapper.row
        row = give(3, {"shop": "BJ01", "card": "", "called": "x"}, lambda: "raw")
        assert isinstance(row, Rejection)
        assert json.loads(opened(row.cells)) == {"shop": "BJ01", "card": "", "called": "x"}
        assert row.order is None
    row = FeedRows(parse_source("crm", derived)).row(3, {"shop": "BJ01"}, lambda: "raw", order=7)
    assert row.order == 7


def test_what_is_kept_of_a_row_says_whose_it_is():
    """The id is found as before, with cells and without, and where there is none."""
    cells = opened(kept_cells(CELLS))
    assert kept(None, "raw") == "raw"
    assert kept_parts("raw") is None
    assert kept_parts('{"kept_record_id": "x", "row": ') is None
    assert kept_parts('{"kept_record_id": "x", "row": 5}') is None
    whole = kept("C1", "raw", cells, 5)
    assert kept_id(whole) == "C1"
    assert kept_parts(whole) == {
        "kept_record_id": "C1",
        "row": "raw",
        "cells": json.loads(cells),
        "order": 5,
    }
    nameless = kept(None, "BJ01,C900001", opened(kept_cells({"shop": "BJ01", "card": "C900001"})))
    assert kept_id(nameless) is None
    assert {"C900001", "BJ01|C900001"} <= possible_ids(nameless, 2)
