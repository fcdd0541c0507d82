"""What an API leaves out, forgets or breaks off never ends a reading as if all had come."""

from typing import Any

import pytest

from connectors.errors import Retry, Stop
from connectors.sources.http_feed import MOST_EMPTY
from tests.integration.http_source import api
from tests.integration.http_source.api import Api, Asked, Reply, World, feed_of, read, row

ROWS = [row(number) for number in range(1, 6)]
ASKED: dict[str, Any] = {"paging": api.PAGINGS["cursor"], **api.INCREMENTAL}
BLANK = Reply(b" \n")


def test_an_answer_that_lost_its_body_is_tried_again() -> None:
    """200 and nothing, in the middle: it is no last page, so no cursor is kept behind it."""
    with Api(api.paged(ROWS, "cursor")) as server:
        server.faults = [None, BLANK, Reply(b""), None]
        assert read(feed_of(server, **ASKED))[0] == "1 2 | 3 4 | 5 |"
        server.faults = [None, *[BLANK] * 5]
        with pytest.raises(Retry, match="answer_empty"):
            read(feed_of(server, **ASKED))
        with_success = {**ASKED, "success": {"path": "code", "values": [0]}}
        server.answering = lambda _: BLANK
        with pytest.raises(Retry, match="answer_empty"):
            read(feed_of(server, **with_success))


def test_a_link_with_two_slashes_stays_where_it_is() -> None:
    """Its path looks like another host; the credential goes to the declared one."""
    with Api(lambda _: Reply({"data": []})) as other, Api(api.paged(ROWS, "next")) as server:
        link = f"{server.url}//{other.host}/steal"
        first = Reply({"data": [row(1)], "next": link})
        server.faults = [first, Reply({"data": [row(2)], "next": None})]
        given, _ = read(feed_of(server, paging=api.PAGINGS["next"], auth={"type": "bearer"}))
        assert other.asked == []
        assert server.asked[1].headers["authorization"].endswith(api.SECRETS["token"])
    assert given == "1 | 2 |"


@pytest.mark.parametrize(
    "answer",
    [
        {"errcode": 40035, "data": []},
        {"errcode": 40035, "errmsg": "cursor expired"},
        {"errcode": 0, "data": [], "next": ""},
        {"errcode": 0, "data": None},
    ],
)
def test_a_cursor_forgotten_under_200_begins_the_run_anew(answer: dict[str, Any]) -> None:
    """Some say so by a code of their own, or not at all: the run goes on from its beginning."""
    forgotten: set[str] = set()
    usual = api.paged(ROWS, "cursor")

    def answering(asked: Asked) -> Reply:
        if asked.query.get("after") in forgotten:
            return Reply(answer)
        reply = usual(asked)
        return Reply({"errcode": 0, **reply.content})

    more = {**ASKED, "success": {"path": "errcode", "values": [0]}}
    with Api(answering) as server:
        middle = api.states(list(feed_of(server, **more).read(None)))[0]
        forgotten.add("at-2")
        reading = feed_of(server, **more).read(middle)
        given = [api.said(next(reading))]
        forgotten.clear()
        given += map(api.said, reading)
        server.answering = lambda _: Reply({"errcode": 7})
        with pytest.raises(Stop, match="answer_says_no"):
            read(feed_of(server, **more), middle)
    assert " ".join(given) == "1 2 | 3 4 | 5 |"


def test_empty_pages_in_the_middle_are_passed_and_bounded() -> None:
    """By number while the API says that more comes; not for ever."""
    paging = {"type": "page", "parameter": "page", "more": "more"}

    def answering(asked: Asked) -> Reply:
        number = int(asked.query["page"])
        there = {1: [row(1)], 4: [row(2)]}.get(number, [])
        return Reply({"data": there, "more": number < 4})

    with Api(answering) as server:
        assert read(feed_of(server, paging=paging))[0] == "1 2 |"
        server.answering = lambda _: Reply({"data": [], "more": True})
        server.asked.clear()
        with pytest.raises(Stop, match="more_but_empty"):
            read(feed_of(server, paging=paging))
        assert len(server.asked) == MOST_EMPTY


@pytest.mark.parametrize("form", ["iso", "plain", "date", "epoch_s", "epoch_ms"])
def test_a_time_of_the_year_one_is_no_crash(form: str) -> None:
    """Go writes 0001-01-01 for never: it can be kept, told and asked for."""
    never = {"epoch_s": "-253402300799", "epoch_ms": "-253402300799000"}
    cells = [never.get(form, "0001-01-01T00:00:00"), never.get(form, "0001-01-01T00:00:00+14:00")]
    zone = {} if form.startswith("epoch") else {"time_zone": "America/New_York"}
    since = {"parameter": "since", "format": form, **zone}
    more: dict[str, Any] = {
        "mode": "incremental",
        "cursor": {"column": "changed", "overlap": 86_400, "since": since},
    }
    for cell in cells:
        with Api(lambda _, cell=cell: Reply({"data": [{**row(1), "changed": cell}]})) as server:
            _, state = read(feed_of(server, **more))
            assert read(feed_of(server, **more), state)[0] == "1 |"


@pytest.mark.parametrize(
    "said",
    ["0", "Sun, 01 Mar 2026 00:00:00 GMT", "Sun, 01 Mar 99999999999 00:00:00 GMT",
     "Sun, 01 Mar 2026 00:00:00 +9999999999999999", "-5", "9" * 30 + "x"],
)  # fmt: skip
def test_a_wait_that_is_past_or_absurd_is_our_own(said: str) -> None:
    """Trying 1: nothing of it breaks the reading, and the tries are not used up at once."""
    busy = Reply(status=429, headers={"Retry-After": said})
    with Api(lambda _: Reply({"data": ROWS})) as server:
        server.faults = [busy, busy, busy]
        world = World()
        assert read(feed_of(server, world))[0] == "1 2 3 4 5 |"
    assert world.slept == [1.0, 2.0, 4.0]
