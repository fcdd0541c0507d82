"""Writes that travel with the next statement; invariants of `cdp/storage/statements.py`."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.storage import bulk, statements
from cdp.storage.engine import open_engine
from cdp.storage.key_schema import REFUSED, SealedUnderRetiredKey
from cdp.storage.statements import Statement, array, ask, bytes_array, send
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
TABLE = sa.Table(
    "note",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("words", sa.ARRAY(sa.Text)),
    sa.Column("sealed", sa.ARRAY(sa.LargeBinary)),
    sa.Column("bits", sa.ARRAY(sa.Float)),
    schema="public",
)
ADD = Statement("add_note", ("bigint",), "INSERT INTO public.note (number) VALUES ($1)")
COUNT = Statement("count_notes", (), "SELECT count(*) FROM public.note")
NUMBERS = Statement("numbers", ("bigint[]",), "SELECT unnest($1), cardinality($1)")
TEXTS = Statement("texts", ("text[]", "bytea[]"), "SELECT $1, $2")
RETIRED = 666  # a number that the database refuses as it refuses rows under a retired key
REFUSING = f"""
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.number = {RETIRED} THEN
            RAISE EXCEPTION 'retired' USING ERRCODE = '{REFUSED}';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON public.note
    FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, server: sa.URL) -> Iterator[sa.Engine]:
    with Databases(server) as databases:
        opened = open_engine(databases.copy(None), tmp_path_factory.mktemp("none"))
        TABLE.create(opened)
        with opened.begin() as connection:
            connection.execute(sa.text(REFUSING))
        yield opened
        opened.dispose()


@pytest.fixture(autouse=True)
def empty(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(TABLE))


def stored(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(TABLE.c.number)))


def test_a_write_goes_before_whatever_follows(engine: sa.Engine) -> None:
    """Invariant 1: an answer, a statement of SQLAlchemy and a COPY see what was sent before."""
    with engine.begin() as connection:
        send(connection, ADD, 1)
        assert ask(connection, COUNT) == [(1,)]
        send(connection, ADD, 2)
        assert connection.scalar(sa.select(sa.func.count()).select_from(TABLE)) == 2
        send(connection, ADD, 3)
        with pytest.raises(Exception, match="duplicate key"):
            bulk.copy_in(connection, TABLE, [(3, None, None, None)])


def test_what_waits_is_committed(engine: sa.Engine) -> None:
    """Invariant 2: a write that nothing followed is there after the commit."""
    with engine.begin() as connection:
        send(connection, ADD, 4)
    assert stored(engine) == [4]


def test_what_waits_is_rolled_back(engine: sa.Engine) -> None:
    """Invariant 2: what was sent goes with its transaction, and does not reach the next one."""
    with engine.connect() as connection:
        send(connection, ADD, 5)
        connection.rollback()
        assert ask(connection, COUNT) == [(0,)]
        connection.commit()
    with engine.connect() as connection:
        send(connection, ADD, 6)
    with engine.begin() as connection:
        assert ask(connection, COUNT) == [(0,)]
    assert stored(engine) == []


def test_a_savepoint_takes_its_own_writes_back(engine: sa.Engine) -> None:
    """Invariant 2: what was sent before a savepoint stays when that is rolled back."""
    with engine.begin() as connection:
        send(connection, ADD, 7)
        inner = connection.begin_nested()
        send(connection, ADD, 8)
        inner.rollback()
    assert stored(engine) == [7]


def test_an_error_is_sqlalchemys_and_shows_no_statement(engine: sa.Engine) -> None:
    """Invariant 3: whoever handles errors of the database handles these."""
    with engine.connect() as connection:
        send(connection, ADD, 9)
        send(connection, ADD, 9)
        with pytest.raises(sa.exc.IntegrityError) as caught:
            ask(connection, COUNT)
        assert caught.value.orig is not None
        assert "EXECUTE" not in str(caught.value)
        assert not caught.value.connection_invalidated


@pytest.mark.parametrize("count", [1, bulk.FEW, bulk.FEW + 1])
def test_a_retired_key_is_named_however_many_rows_there_are(engine: sa.Engine, count: int) -> None:
    """Invariant 3: few rows, which travel with what follows, fail as many do, and none stays."""
    rows = [(RETIRED - at, None, None, None) for at in range(count)]
    with pytest.raises(SealedUnderRetiredKey, match="run it again"), engine.begin() as connection:
        bulk.insert(connection, TABLE, rows)
    with engine.connect() as connection:
        send(connection, ADD, RETIRED)
        with pytest.raises(SealedUnderRetiredKey):
            ask(connection, COUNT)
    assert stored(engine) == []


def test_a_lost_connection_is_replaced(engine: sa.Engine) -> None:
    """Invariant 3: the error says that the connection is gone, and the next one works."""
    with engine.connect() as connection:
        end = Statement("end_me", (), "SELECT pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(sa.exc.DBAPIError) as caught:
            ask(connection, end)
        assert caught.value.connection_invalidated
    with engine.connect() as connection:
        assert ask(connection, COUNT) == [(0,)]


def test_a_long_value_is_sent_whole(engine: sa.Engine) -> None:
    """The answer is the same whether a statement was prepared or not."""
    several, many = range(10), range(statements.LONG)
    with engine.connect() as connection:
        assert ask(connection, NUMBERS, array(several)) == [(one, 10) for one in several]
        assert ask(connection, NUMBERS, array(many)) == [(one, len(many)) for one in many]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_arrays_arrive_as_they_are(
    engine: sa.Engine, words: list[str], sealed: list[bytes]
) -> None:
    """Whatever a text or bytes contain, quotes and braces included."""
    with engine.connect() as connection:
        ((found, cells),) = ask(connection, TEXTS, array(words), bytes_array(sealed))
    assert (found, [bytes(cell) for cell in cells]) == (words, sealed)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(TEXT, max_size=3),
            st.lists(st.binary(max_size=5), max_size=3),
            st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_few_rows_and_many_are_stored_alike(
    engine: sa.Engine, rows: list[tuple[list[str], list[bytes], list[float]]]
) -> None:
    """A prepared statement stores what COPY stores."""
    with engine.connect() as connection:
        bulk.insert(connection, TABLE, [(at, *row) for at, row in enumerate(rows)])
        bulk.copy_in(connection, TABLE, [(at + 100, *row) for at, row in enumerate(rows)])
        found = connection.execute(sa.select(TABLE).order_by(TABLE.c.number)).all()
        connection.rollback()
    values = [tuple(row)[1:] for row in found]
    assert values[: len(rows)] == values[len(rows) :] == [tuple(row) for row in rows]
