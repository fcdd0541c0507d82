"""Whose a rejected row may be: the id is among the answers, however the row was broken."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.cells import trim
from connectors.mapping import MAX_RECORD_ID, join_record_id
from connectors.possible_ids import (
    DELIMITERS,
    MAX_TRIED,
    columns_of,
    kept,
    kept_id,
    parts_of,
    possible_ids,
    words_in,
    words_of,
)

OTHERS = ["张敏", "13957140286", "10.00", "a, b", 'say "so"', ""]
cells = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029"), max_size=12
)
ids = cells.map(trim).filter(bool)


def csv_line(row: list[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(row)
    return out.getvalue()


@given(ids, st.lists(cells, max_size=4), st.lists(cells, max_size=4), st.sampled_from(",;|\t~"))
def test_the_id_of_a_csv_row_is_found(
    name: str, before: list[str], behind: list[str], delimiter: str
) -> None:
    """Possible ids 1: in whatever column it stands, and however many cells there are."""
    line = csv_line([*before, name, *behind], delimiter)
    assert name in (possible_ids(line, 1, delimiter) or ())


@given(ids, st.dictionaries(cells, cells, max_size=4), st.booleans())
def test_the_id_of_a_json_line_is_found(name: str, row: dict[str, str], escaped: bool) -> None:  # noqa: FBT001
    """Possible ids 1: with a key given twice, and with every letter escaped."""
    line = json.dumps({**row, "id": name}, ensure_ascii=escaped)
    twice = line[:-1] + ', "id": "other"}'
    nested = json.dumps({"a": [{"b": {**row, "id": name}}]}, ensure_ascii=escaped)
    for text in (line, twice, nested):
        assert name in (possible_ids(text, 1) or ())


@pytest.mark.parametrize(
    "line",
    [
        'C9,"张"敏",13957140286',
        '"C9"x,张敏',
        '张敏,see C9 (old),"',
        '{"name": "张"敏", "id": "C9"}',
        '{"name": "张敏", "id": "\\u00439',
        '{"name": "张敏", "id": "\\u00439", "phone": "139',
        "{'id': 'C9'}",
        "张敏\tC9\t139",
        " C9 ",
        "[" * 2000 + '"C9"' + "]" * 2000,
    ],
)
def test_the_id_of_a_broken_row_is_found(line: str) -> None:
    """Possible ids 1: misplaced quotes, a line that ends too early, other quotes, a sheet."""
    assert "C9" in (possible_ids(line, 1) or ())


def test_a_number_is_written_as_a_record_has_it() -> None:
    """Possible ids 1: a JSON number gives the text that its record id would be."""
    assert {"900001", "12"} <= (possible_ids('{"id": 900001, "b": 12.0, "b": NaN}', 1) or set())


@given(st.lists(ids, min_size=2, max_size=3), st.lists(cells, max_size=2))
def test_an_id_of_several_columns_is_found_from_its_parts(
    parts: list[str], more: list[str]
) -> None:
    """Possible ids 2: the parts stand apart, in any order, with other cells between them."""
    assume(len(set(parts)) == len(parts))
    line = csv_line([*reversed(parts), *more], ",")
    joined = join_record_id(parts)
    assume(len(joined) <= MAX_RECORD_ID)
    assert joined in (possible_ids(line, len(parts)) or ())
    assert set(parts) <= parts_of(line)


@given(st.lists(ids, min_size=2, max_size=4))
def test_an_id_of_several_columns_is_taken_apart(parts: list[str]) -> None:
    """Possible ids 2: splitting is the way back of joining."""
    assert columns_of(join_record_id(parts)) == parts


@pytest.mark.parametrize("name", ["C9", "a|b", "a\\|b", "|", "a||b"])
def test_an_id_of_one_column_is_taken_for_one_as_long_as_it_can_be(name: str) -> None:
    """Possible ids 2: what was not joined is at most taken for parts that stand in it."""
    assert all(part in name for part in columns_of(name))


def test_there_is_an_end_to_trying() -> None:
    """Possible ids 3: no answer for more combinations than are tried; one column always has one."""
    line = ",".join(f"n{number}" for number in range(200))
    assert len(parts_of(line)) ** 2 > MAX_TRIED
    assert possible_ids(line, 2) is None
    assert "n199" in (possible_ids(line, 1) or ())
    few = possible_ids(",".join(OTHERS[:4]), 2)
    assert few is not None
    assert len(few) < MAX_TRIED


@given(ids, cells)
def test_a_row_is_kept_with_its_id(name: str, row: str) -> None:
    """What was kept with an id gives it back; what was kept without one has none."""
    assert kept_id(kept(name, row)) == name
    assert kept(None, row) == row
    assert kept_id(row) is None
    assert kept_id(kept(name, row)[:-2]) is None


@given(ids, st.lists(cells, max_size=3), st.sampled_from(DELIMITERS), st.booleans())
def test_every_word_of_an_id_is_a_word_of_its_row(
    name: str,
    others: list[str],
    delimiter: str,
    escaped: bool,  # noqa: FBT001
) -> None:
    """Possible ids 4: written as a file has it, as JSON has it, or within a text."""
    line = csv_line([*others, name], delimiter)
    row = json.dumps({"id": name, "others": others}, ensure_ascii=escaped)
    for text in (line, row, kept("x", line), f"see ({name}), {others}"):
        assert words_of(name) <= words_in(text)


def test_the_words_of_an_escaped_text_are_found() -> None:
    """Possible ids 4: within a value, and in a line that is no JSON."""
    assert {"C9", "see"} <= words_in('{"note": "see \\u00439 now"}')
    assert "C9" in words_in('{"note": "see \\u00439 now", "x')
    assert words_of("---") == frozenset()


def test_every_delimiter_that_may_be_declared_is_tried() -> None:
    """Possible ids 4: else a row kept under one would have other words under another."""
    schema = json.loads(Path("connectors/declaration.schema.json").read_text(encoding="utf-8"))
    [found] = [one for one in _properties(schema, "delimiter") if "enum" in one]
    assert set(found["enum"]) == set(DELIMITERS)


def _properties(schema: object, name: str) -> Iterator[dict[str, list[str]]]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == name and isinstance(value, dict):
                yield value
            yield from _properties(value, name)
    elif isinstance(schema, list):
        for one in schema:
            yield from _properties(one, name)
