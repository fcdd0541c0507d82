"""Rows by COPY come back as they went in, in its binary format and in its text."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from cdp.storage import copy_format
from cdp.storage.bulk import copy_in
from cdp.storage.engine import open_engine

pytestmark = pytest.mark.integration


def _columns() -> list[sa.Column[object]]:
    kinds = {
        "big": sa.BigInteger,
        "whole": sa.Integer,
        "small": sa.SmallInteger,
        "yes": sa.Boolean,
        "words": sa.Text,
        "sealed": BYTEA,
        "document": JSONB,
        "moment": sa.DateTime(timezone=True),
        "names": ARRAY(sa.Text),
        "cells": ARRAY(BYTEA),
        "numbers": ARRAY(sa.BigInteger),
    }
    place = sa.Column("place", sa.Integer, primary_key=True, autoincrement=False)
    return [place, *(sa.Column(name, kind) for name, kind in kinds.items())]


IN_BINARY = sa.Table("in_binary", sa.MetaData(), *_columns(), schema="public")
# A share has no binary form here, so the whole table goes as text.
IN_TEXT = sa.Table(
    "in_text",
    sa.MetaData(),
    *_columns(),
    sa.Column("share", sa.Double),
    schema="public",
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
moments = st.datetimes(timezones=st.just(dt.UTC))
values = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**15), 2**15 - 1),
    st.booleans(),
    texts,
    st.binary(max_size=20),
    st.dictionaries(texts, texts, max_size=2).map(json.dumps),
    moments,
    st.lists(texts, max_size=3),
    st.lists(st.binary(max_size=5), max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
)
rows = st.lists(values | st.just((None,) * 11), max_size=4)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, server: sa.URL) -> Iterator[sa.Engine]:
    folder: Path = tmp_path_factory.mktemp("copied")
    engine = open_engine(server.render_as_string(hide_password=False), folder)
    with engine.begin() as connection:
        for table in (IN_BINARY, IN_TEXT):
            table.drop(connection, checkfirst=True)
            table.create(connection)
    yield engine
    with engine.begin() as connection:
        for table in (IN_BINARY, IN_TEXT):
            table.drop(connection)
    engine.dispose()


@settings(max_examples=30)
@given(rows)
def test_rows_come_back_as_they_went_in(engine: sa.Engine, rows: list[tuple[object, ...]]) -> None:
    """Both formats keep every value of every type, and nothing where there is nothing."""
    numbered = [(place, *row) for place, row in enumerate(rows)]
    expected = [
        tuple(json.loads(v) if at == 7 and v is not None else v for at, v in enumerate(row))
        for row in numbered
    ]
    with engine.begin() as connection:
        assert copy_in(connection, IN_BINARY, numbered) == len(rows)
        assert copy_in(connection, IN_TEXT, [(*row, 0.5) for row in numbered]) == len(rows)
        for table in (IN_BINARY, IN_TEXT):
            asked = sa.select(*list(table.columns)[:12]).order_by(table.c.place)
            found = [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in connection.execute(asked)
            ]
            assert [_plain(row) for row in found] == expected
        connection.rollback()


def test_a_type_without_a_binary_form_sends_the_whole_table_as_text() -> None:
    """COPY has one format for all columns of a table."""
    assert copy_format.written(tuple(IN_BINARY.columns), [])[2] == "(FORMAT binary)"
    assert copy_format.written(tuple(IN_TEXT.columns), [])[2] == ""


def _plain(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(
        [bytes(one) if isinstance(one, memoryview) else one for one in value]
        if isinstance(value, list)
        else value
        for value in row
    )
