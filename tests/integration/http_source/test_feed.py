"""Following a real HTTP API: what comes, in which order, and from where on it is read again."""

from typing import Any

import pytest

from connectors.base import Deleted, Level, Mark, State
from connectors.errors import Stop
from connectors.record import Record, Rejection
from connectors.rewinding import Rewinding
from tests.integration.http_source import api
from tests.integration.http_source.api import BROKEN, Api, Asked, Reply, World, feed_of, read, row

ROWS = [row(number) for number in range(1, 6)]


@pytest.mark.parametrize("style", list(api.PAGINGS))
def test_every_row_comes_once_whatever_had_to_be_tried_again(style: str) -> None:
    """Each paging, and each page first 500, then hung up, then given (invariant 1)."""
    with Api(api.paged(ROWS, style)) as server:
        server.faults = [Reply(status=500), BROKEN, None] * 4
        world = World()
        given, _ = read(feed_of(server, world, paging=api.PAGINGS[style]))
    assert given.replace("| ", "") == "1 2 3 4 5 |"
    assert world.slept[:2] == [1.0, 2.0]


@pytest.mark.parametrize("style", ["page", "offset"])
def test_counted_pages_have_marks_only_where_rows_keep_their_place(style: str) -> None:
    """A page's number names other rows once one was deleted before it (2); check says so."""
    moving = {name: value for name, value in api.PAGINGS[style].items() if name != "stable"}
    with Api(api.paged(ROWS, style)) as server:
        assert read(feed_of(server, paging=moving))[0] == "1 2 3 4 5 |"
        assert read(feed_of(server, paging=api.PAGINGS[style]))[0].startswith("1 2 | 3 4 |")
        notes = [one.rule for one in feed_of(server, paging=moving).check()]
        found = feed_of(server, paging=moving, **api.INCREMENTAL).check()
    assert notes == ["begins_anew"]
    assert [one.rule for one in found] == ["begins_anew", "pages_shift"]


def test_only_what_changed_is_asked_for() -> None:
    """The next run asks from the newest row less the overlap; a row that appears late comes."""
    rows = [row(number) for number in range(1, 6)]
    more: dict[str, Any] = {"paging": api.PAGINGS["cursor"], **api.INCREMENTAL}
    with Api(api.paged(rows, "cursor")) as server:
        first, state = read(feed_of(server, **more))
        rows[1] = row(2, 9)
        rows.append(row(7, 4))
        second, state = read(feed_of(server, **more), state)
        third, _ = read(feed_of(server, **more), state)
    assert first.replace("| ", "") == "1 2 3 4 5 |"
    assert second.replace("| ", "") == "2 4 5 7 |"
    assert third == "2 |"
    assert [one.query.get("since") for one in server.asked][-1] == "2026-03-01T08:08:00Z"


def test_a_state_goes_on_where_it_was_and_asks_for_the_same_since() -> None:
    """In the middle of a run, and read back from text."""
    more: dict[str, Any] = {"paging": api.PAGINGS["next"], **api.INCREMENTAL}
    with Api(api.paged(ROWS, "next")) as server:
        _, since = read(feed_of(server, **more))
        feed = feed_of(server, **{**more, "cursor": {**more["cursor"], "overlap": 600}})
        for _ in range(2):  # of another declaration: from the beginning
            middle = api.states(list(feed.read(since)))[0]
        again, _ = read(feed, State.of(middle.text()))
    assert again == "3 4 | 5 |"


def test_a_forgotten_cursor_begins_the_run_anew() -> None:
    """An API forgets its cursors; the run begins anew from the same lower bound, and once."""
    usual = api.paged(ROWS, "cursor")
    forgotten: set[str] = set()

    def answering(asked: Asked) -> Reply:
        if asked.query.get("after") in forgotten:
            return Reply({"error": "expired"}, status=410)
        return usual(asked)

    with Api(answering) as server:
        feed = feed_of(server, paging=api.PAGINGS["cursor"])
        middle = api.states(list(feed.read(None)))[0]
        forgotten.add("at-2")
        with pytest.raises(Stop, match="http_410"):
            read(feed, middle)
        server.answering = usual
        server.faults = [Reply(status=404)]
        assert read(feed, middle)[0] == "1 2 | 3 4 | 5 |"


def test_an_api_that_repeats_a_page_stops() -> None:
    """One that looks at no parameter, one that goes round, and one without end (3)."""
    page = {"type": "page", "parameter": "seite"}
    with Api(lambda _: Reply({"data": ROWS})) as server:
        with pytest.raises(Stop, match="page_repeats"):
            read(feed_of(server, paging=page))
        server.answering = lambda asked: Reply(
            {"data": [], "next": {"a": "b", "b": "a"}[asked.query.get("after", "b")]}
        )
        with pytest.raises(Stop, match="page_repeats"):
            read(feed_of(server, paging=api.PAGINGS["cursor"]))
        server.answering = lambda asked: Reply({"data": [row(int(asked.query["seite"]))]})
        given = []
        with pytest.raises(Stop, match="too_many_pages"):
            given += feed_of(server, paging=page, limits={"pages": 7}).read(None)
    assert len(server.asked) == 2 + 3 + 7


def test_a_cursor_that_went_back_stops() -> None:
    """An API that answers from an old copy, or does not look at the parameter (4)."""
    more: dict[str, Any] = {"paging": {"type": "none"}, **api.INCREMENTAL}
    with Api(lambda _: Reply({"data": ROWS})) as server:
        _, state = read(feed_of(server, **more))
        server.answering = lambda _: Reply({"data": ROWS[:2]})
        with pytest.raises(Stop, match="cursor_went_back"):
            read(feed_of(server, **more), state)
        server.answering = lambda _: Reply({"data": []})
        assert read(feed_of(server, **more), state)[0] == "|"


def test_a_time_ahead_of_the_run_is_not_where_the_next_begins() -> None:
    """A row of the year 2999 hides none that come after it (4)."""
    more: dict[str, Any] = {"paging": {"type": "none"}, **api.INCREMENTAL}
    rows = [*ROWS, {**row(9), "changed": "2999-01-01T00:00:00Z"}]
    with Api(lambda _: Reply({"data": rows})) as server:
        _, state = read(feed_of(server, World(api.NOW + 3600), **more))
        read(feed_of(server, **more), state)
        # the server's clock counts where it is behind ours: 2026-03-02, less the overlap
        assert server.asked[-1].query["since"] == "2026-03-01T23:59:00Z"


@pytest.mark.parametrize(
    ("cells", "asked"),
    [
        ([3, 5, 8], "7"),  # in the order of their numbers: a changed row comes at the end
        ([8, 5, 3], "7"),  # the newest first
        ([3, 8, 5], "2"),  # in no order: what changed meanwhile is newer than the first page
    ],
)
def test_numbers_begin_where_nothing_can_have_been_passed_over(
    cells: list[int], asked: str
) -> None:
    """A number tells no time, so the order of the rows decides."""
    rows = [{**row(number), "changed": number} for number in cells]
    more: dict[str, Any] = {
        "mode": "incremental",
        "cursor": {"column": "changed", "since": {"parameter": "from", "format": "number"}},
        "paging": api.PAGINGS["cursor"],
    }
    with Api(api.paged(rows, "cursor", size=1)) as server:
        _, state = read(feed_of(server, **more))
        read(feed_of(server, **more), state)
    assert server.asked[3].query["from"] == asked


def test_without_a_column_the_clock_is_the_cursor() -> None:
    """The next run begins when this one did, even if it was broken off and went on later."""
    more: dict[str, Any] = {
        "mode": "incremental",
        "cursor": {"overlap": 300, "since": {"parameter": "from", "format": "epoch_s"}},
        "paging": api.PAGINGS["cursor"],
    }
    with Api(api.paged(ROWS, "cursor")) as server:
        middle = api.states(list(feed_of(server, World(api.NOW - 60), **more).read(None)))[0]
        _, state = read(feed_of(server, World(api.NOW + 999), **more), middle)
        read(feed_of(server, **more), state)
    assert server.asked[-1].query["from"] == str(int(api.NOW) - 60 - 300)


def test_rows_become_cells_as_json_lines_do() -> None:
    """Dots, lists, documents for a path, deletions, an order; what is malformed is rejected."""
    rows: list[Any] = [
        {"id": 1, "who": {"name": "李娜"}, "phones": ["138", "139"], "n": 12345678901234567890.50},
        {"id": 2, "who": {"name": "x"}, "addresses": [{"city": "北京"}, {"city": "上海"}]},
        {"id": 3, "left": True},
        {"who": {"name": "x"}},
        "text",
        None,
    ]
    raw = b'{"data": [%s, {"id": 7, "id": 8}, {"id": 9, "x": NaN}, {"id": 1e999999}, %s]}'
    deep = b'{"id": 10, "x": ' + b"[" * 99 + b"]" * 99 + b"}"
    body = raw % (Reply(rows).body()[1:-1], deep)
    more: dict[str, Any] = {
        "fields": {"name": "who.name", "phone": "phones", "city": "city"},
        "columns": {"city": {"from": "addresses", "path": [1, "city"]}},
        "deleted": {"column": "left", "values": ["true"]},
    }
    with Api(lambda _: Reply(body)) as server:
        given = list(feed_of(server, **more).read(None))
        table = feed_of(server, **more).table()
    assert " ".join(map(api.said, given)) == (
        "1 2 -3 !record_id_missing !not_an_object !not_an_object !key_repeated !not_a_number "
        "!number_range !too_deep |"
    )
    first, second = given[0], given[1]
    assert isinstance(first, Record)
    assert [one.value.reveal(reason=api.WHY) for one in first.fields["phone"]] == ["138", "139"]
    assert isinstance(second, Record)
    assert second.fields["city"][0].value.reveal(reason=api.WHY) == "上海"
    kept = [one.raw.reveal(reason=api.WHY) for one in given if isinstance(one, Rejection)]
    assert '[["id", "7"], ["id", "8"]]' in kept
    assert any("[[[[[[" in text for text in kept)
    assert table.columns[:3] == ("id", "who.name", "phones")


def test_a_newer_row_wins_however_often_and_late_it_comes() -> None:
    """Duplicate delivery: each row says by its order which one is newer."""
    rows = [row(1, 5, left=""), row(1, 3, left=""), row(1, 5, left="")]
    with Api(lambda _: Reply({"data": rows})) as server:
        given = list(feed_of(server, cursor="changed", deleted={"column": "left"}).read(None))
    orders = [one.order for one in given if isinstance(one, Record | Deleted)]
    assert len(orders) == 3
    assert orders[0] == orders[2] > orders[1]  # type: ignore[operator]


def test_a_changed_schema_is_told_and_loses_nothing() -> None:
    """A new key is nothing, a lost one a finding, an id that is lost an error and rejections."""
    with Api(lambda _: Reply({"data": [{**row(1), "new": 1}]})) as server:
        looked = feed_of(server)
        assert looked.check() == []
        assert looked.table().columns[-1] == "new"
        assert len(server.asked) == 1
        server.answering = lambda _: Reply({"data": [{"id": 1, "name": {"first": "x"}}]})
        [warning] = feed_of(server).check()
        given = list(feed_of(server).read(None))
        server.answering = lambda _: Reply({"data": [{"ID": 1, "name": "x", "phone": "1"}]})
        [error] = feed_of(server).check()
        assert read(feed_of(server))[0] == "!record_id_missing |"
    assert (warning.level, warning.rule, warning.subject) == (
        Level.WARNING,
        "column_missing",
        "phone",
    )
    assert (error.level, error.rule, error.subject) == (Level.ERROR, "column_missing", "id")
    assert isinstance(given[0], Record)
    assert [one.rule for one in given[0].problems] == ["not_plain"]


def test_check_looks_at_one_page() -> None:
    """It says when there is no row, nothing to read, one page, and a cursor in another form."""
    more: dict[str, Any] = {"paging": api.PAGINGS["cursor"], **api.INCREMENTAL}
    with Api(lambda _: Reply({"data": []})) as server:
        assert [one.rule for one in feed_of(server, **more).check()] == ["no_rows"]
        server.answering = lambda _: Reply({"data": [1, 2]})
        assert [one.rule for one in feed_of(server).check()] == ["rows_not_read"]
        odd = [{**row(1), "changed": "2026-03-01 08:00:00"}]
        server.answering = lambda _: Reply({"data": odd})
        found = [one.rule for one in feed_of(server, **more).check()]
        server.answering = lambda _: Reply({"data": [], "next": ["x"]})
        [error] = feed_of(server, **more).check()
    assert found == ["cursor_form", "one_page"]
    assert (error.level, error.rule, error.subject) == (
        Level.ERROR,
        "path_elsewhere",
        "paging.path",
    )


def test_a_mark_tells_the_newest_time_and_a_state_of_another_form_stops() -> None:
    """The time is that of the newest row; a broken state is not read as the beginning."""
    more: dict[str, Any] = {"paging": {"type": "none"}, **api.INCREMENTAL}
    with Api(lambda _: Reply({"data": ROWS})) as server:
        feed = feed_of(server, **more)
        [*_, last] = feed.read(None)
        assert isinstance(last, Mark)
        assert last.at is not None
        assert last.at.isoformat() == "2026-03-01T08:05:00+00:00"
        for broken in ({"since": "x"}, {"rises": None}, {"asked": 1}, {"spot": []}):
            with pytest.raises(Stop, match="state_unknown"):
                feed.read(State({**last.state.value, **broken}))
        assert feed.count(last.state) is None


def test_a_text_that_is_broken_or_too_long_rejects_its_row() -> None:
    """Half a surrogate pair, and a megabyte in one cell; the rows beside them come."""
    for text, rule in (('"\\ud800"', "broken_text"), (f'"{"x" * 1_100_000}"', "cell_too_large")):
        body = f'{{"data": [{{"id": 1}}, {{"id": 2, "name": {text}}}, {{"id": 3}}]}}'
        with Api(lambda _, body=body: Reply(body.encode())) as server:
            assert read(feed_of(server))[0] == f"1 !{rule} 3 |"


def test_numbers_that_begin_late_and_in_no_order_are_read_again() -> None:
    """Where the first page has no number, nothing says what the next run may leave out."""
    rows = [{"id": 1}, {"id": 2, "changed": 8}, {"id": 3, "changed": 5}]
    since = {"parameter": "from", "format": "number", "first": "0"}
    more: dict[str, Any] = {
        "mode": "incremental",
        "cursor": {"column": "changed", "since": since},
        "paging": api.PAGINGS["cursor"],
    }
    with Api(api.paged(rows, "cursor", size=1)) as server:
        _, state = read(feed_of(server, **more))
        assert read(feed_of(server, **more), state)[0] == "1 | 2 | 3 |"
    assert {one.query["from"] for one in server.asked} == {"0"}


def test_it_can_be_read_again_from_a_place_that_somebody_names() -> None:
    """A day, a time or a number, as the API counts; no other, and not where all is read."""
    more: dict[str, Any] = {"paging": {"type": "none"}, **api.INCREMENTAL}
    with Api(api.paged(ROWS, "none")) as server:
        feed = feed_of(server, **more)
        assert isinstance(feed, Rewinding)
        assert read(feed, feed.state_since("2026-03-01T08:05:30"))[0] == "5 |"
        for text, asked in (
            ("2026-03-01", "2026-02-28T23:59:00Z"),
            ("2026-03-01T16:05:00+08:00", "2026-03-01T08:04:00Z"),
        ):
            read(feed, feed.state_since(text))
            assert server.asked[-1].query["since"] == asked
        for wrong in ("yesterday", "17", ""):
            with pytest.raises(Stop, match="since_form"):
                feed.state_since(wrong)
        with pytest.raises(Stop, match="no_cursor"):
            feed_of(server).state_since("2026-03-01")


def test_a_state_of_another_declaration_is_read_from_the_beginning() -> None:
    """A spot of one paging means nothing in another; a rate or a limit changes nothing."""
    with Api(api.paged(ROWS, "cursor")) as server:
        feed = feed_of(server, paging=api.PAGINGS["cursor"])
        middle = api.states(list(feed.read(None)))[0]
        same = feed_of(server, paging=api.PAGINGS["cursor"], rate=9, limits={"tries": 2})
        assert read(same, middle)[0] == "3 4 | 5 |"
        other = feed_of(server, paging=api.PAGINGS["cursor"], request={"query": {"x": 1}})
        assert read(other, middle)[0] == "1 2 | 3 4 | 5 |"


def test_a_run_without_rows_leaves_the_cursor_where_it_was() -> None:
    """Nothing new is no reason to read everything again (4)."""
    more: dict[str, Any] = {"paging": {"type": "none"}, **api.INCREMENTAL}
    with Api(lambda _: Reply({"data": ROWS})) as server:
        _, state = read(feed_of(server, **more))
        server.answering = lambda _: Reply({"data": []})
        for _ in range(2):
            _, state = read(feed_of(server, **more), state)
        assert server.asked[-1].query["since"] == "2026-03-01T08:04:00Z"
