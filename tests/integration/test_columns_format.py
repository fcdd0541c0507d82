"""Columns of numbers by COPY come back as they went in, however many go at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import ARRAY

from cdp.storage import columns_format
from cdp.storage.bulk import copy_columns, copy_lists
from cdp.storage.engine import open_engine

pytestmark = pytest.mark.integration

KINDS: dict[str, Any] = {
    "big": sa.BigInteger, "whole": sa.Integer, "small": sa.SmallInteger, "share": sa.Float,
    "yes": sa.Boolean, "word": sa.Text, "levels": ARRAY(sa.SmallInteger), "bits": ARRAY(sa.Float),
}  # fmt: skip
COLUMNS = sa.Table(
    "by_columns",
    sa.MetaData(),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    *(sa.Column(name, kind) for name, kind in KINDS.items()),
    schema="public",
)
LISTS = sa.Table(
    "by_lists",
    sa.MetaData(),
    sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("keys", ARRAY(sa.BigInteger)),
    sa.Column("rules", ARRAY(sa.SmallInteger)),
    schema="public",
)
SMALL = st.integers(-(2**15), 2**15 - 1)
FLOAT = st.floats(allow_nan=False)
rows = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), SMALL, FLOAT,
        st.booleans(), st.tuples(SMALL, SMALL), st.tuples(FLOAT, FLOAT, FLOAT),
    ),
    max_size=7,
)  # fmt: skip
lists = st.lists(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), SMALL), max_size=4))
word = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, server: sa.URL) -> Iterator[sa.Engine]:
    folder: Path = tmp_path_factory.mktemp("copied")
    engine = open_engine(server.render_as_string(hide_password=False), folder)
    with engine.begin() as connection:
        for table in (COLUMNS, LISTS):
            table.drop(connection, checkfirst=True)
            table.create(connection)
    yield engine
    with engine.begin() as connection:
        for table in (COLUMNS, LISTS):
            table.drop(connection)
    engine.dispose()


@pytest.fixture(params=[3, columns_format.AT_ONCE])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows go in several portions, all of them in one."""
    monkeypatch.setattr(columns_format, "AT_ONCE", request.param)


quick = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.usefixtures("at_once")
@quick
@given(rows, word)
def test_columns_come_back_as_they_went_in(
    engine: sa.Engine, rows: list[tuple[object, ...]], word: str
) -> None:
    """Every type, arrays of one length, and a text that all rows share."""
    kinds = (np.int64, np.int32, np.int16, np.float64, np.bool_, np.int16, np.float64)
    shapes = ((), (), (), (), (), (2,), (3,))
    columns: list[columns_format.Column] = [
        np.array([row[at] for row in rows], kind).reshape(-1, *shape)
        for at, (kind, shape) in enumerate(zip(kinds, shapes, strict=True))
    ]
    with engine.begin() as connection:
        given = (np.arange(len(rows)), *columns[:5], word, *columns[5:])
        copy_columns(connection, COLUMNS, given, len(rows))
        found = connection.execute(sa.select(COLUMNS).order_by(COLUMNS.c.place)).all()
        connection.rollback()
    assert [tuple(row) for row in found] == [
        (at, *row[:5], word, list(row[5]), list(row[6]))  # type: ignore[call-overload]
        for at, row in enumerate(rows)
    ]


@pytest.mark.usefixtures("at_once")
@quick
@given(lists)
def test_lists_come_back_as_they_went_in(
    engine: sa.Engine, lists: list[list[tuple[int, int]]]
) -> None:
    """Arrays of any length, none included, beside a number."""
    flat = np.array([one for row in lists for one in row], np.int64).reshape(-1, 2)
    starts = np.cumsum([0, *map(len, lists)])
    with engine.begin() as connection:
        columns = (flat[:, 0], flat[:, 1].astype(np.int16))
        copy_lists(connection, LISTS, np.arange(len(lists)), starts, columns)
        found = connection.execute(sa.select(LISTS).order_by(LISTS.c.place)).all()
        connection.rollback()
    assert [tuple(row) for row in found] == [
        (at, [key for key, _ in row], [rule for _, rule in row]) for at, row in enumerate(lists)
    ]
