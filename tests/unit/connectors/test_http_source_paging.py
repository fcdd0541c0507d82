"""From page to page: no other origin, no secret in a spot, and an end."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.declaration import parse_source
from connectors.http_declaration import HttpSpec
from connectors.sources.http_pages import Page, PageRefused
from connectors.sources.http_paging import (
    MAX_WORD,
    SHORTEST,
    Paging,
    Repeats,
    next_link,
    with_parameter,
)

HOST = "https://api.example.com"
SECRET = "canary-secret"


def spec_of(paging: dict[str, Any], **more: Any) -> HttpSpec:
    entry = {
        "connector": "http",
        "location": f"{HOST}/v1/members",
        "record_id": "id",
        "fields": {"name": "name"},
        "paging": paging,
        **more,
    }
    spec = parse_source("crm", entry).http
    assert spec is not None
    return spec


def page(link: str | None = None, rows: list[Any] | None = None, **root: Any) -> Page:
    found = [{"id": "7"}] if rows is None else rows
    return Page(found, {"next": link, **root}, url=f"{HOST}/v1/members?a=b")


NEXT = {"type": "next", "path": "next"}


@pytest.mark.parametrize(
    ("link", "spot"),
    [
        (f"{HOST}/v1/members?page=2", "/v1/members?page=2"),
        ("https://API.example.com:443/v1/x", "/v1/x"),
        ("?page=2", "/v1/members?page=2"),
        ("/other", "/other"),
        (f"{HOST}//elsewhere.invalid/x?a=1", "//elsewhere.invalid/x?a=1"),
        (f"{HOST}?page=2", "/?page=2"),
        ("members?x=%E5%BC%A0#part", "/v1/members?x=%E5%BC%A0"),
    ],
)
def test_a_link_of_the_same_origin_is_followed(link: str, spot: str) -> None:
    """Whole or relative; its host is not kept."""
    paging = Paging(spec_of(NEXT))
    assert paging.after(page(link), None) == spot
    assert paging.place(None, spot).url == HOST + spot


@example(f"{HOST}//elsewhere.invalid/x")
@example(f"{HOST}////elsewhere.invalid/x")
@example("/..//elsewhere.invalid/x")
@given(st.text(max_size=40) | st.sampled_from(["https://", "//", "http:", "\\\\", "@"]).flatmap(
    lambda head: st.text("abc./@:#?\\%[]", max_size=30).map(lambda rest: head + rest)
))  # fmt: skip
def test_no_link_leads_to_another_origin(link: str) -> None:
    """Paging 1: whatever an API writes, it is refused or stays where it is."""
    paging = Paging(spec_of(NEXT))
    try:
        spot = paging.after(page(link), None)
    except PageRefused:
        spot = None
    if spot is not None:
        parts = urlsplit(paging.place(None, spot).url)
        assert (parts.scheme, parts.netloc) == ("https", "api.example.com")


def test_a_spot_holds_no_secret() -> None:
    """Paging 2: neither the key that was sent, nor a token that the API puts into its link."""
    credentials = {"key": "env:SOURCE_X"}
    spec = spec_of(NEXT, auth={"type": "query", "name": "key"}, credentials=credentials)
    paging = Paging(spec, lambda: {SECRET})
    link = f"/v1/members?key=x&access_token={SECRET}&after=9"
    assert paging.after(page(link), None) == "/v1/members?after=9"
    assert with_parameter(f"{HOST}/?key=old&a=b", "key", "a&b") == f"{HOST}/?a=b&key=a%26b"


def test_a_secret_as_short_as_a_page_number_takes_no_page_away() -> None:
    """Paging 2: its own parameter goes, and no other that happens to say the same."""
    credentials = {"key": "env:SOURCE_X"}
    spec = spec_of(NEXT, auth={"type": "query", "name": "key"}, credentials=credentials)
    short, long = "9", "9" * SHORTEST
    link = f"/v1/members?key={{}}&after=9&token={long}"
    paging = Paging(spec, lambda: {short})
    assert paging.after(page(link.format(short)), None) == f"/v1/members?after=9&token={long}"
    paging = Paging(spec, lambda: {long})
    assert paging.after(page(link.format(long)), None) == "/v1/members?after=9"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last"', "https://a/?page=2"),
        ('<https://a/?page=1>; rel="prev"', ""),
        ("</x,y?a=1,2>; rel=next", "/x,y?a=1,2"),
        ('<a>; title="x"; REL="first Next"', "a"),
        ('<a>; rel="prev",<b>;rel="next"', "b"),
        ("<a>; rel=nextish", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_the_link_header_is_read(header: str, found: str) -> None:
    """RFC 8288: several links, several relations, in quotes or without."""
    assert next_link(header) == found


def test_counted_pages_count() -> None:
    """By one, or by the rows that came, from the declared first; an empty page is the last."""
    paging = Paging(spec_of({"type": "page", "parameter": "p", "first": 0}))
    assert paging.place(None, None).url.endswith("?p=0")
    assert paging.after(page(), None) == 1
    assert paging.after(page(), 1) == 2
    assert paging.after(page(rows=[]), 2) is None
    offset = Paging(spec_of({"type": "offset", "parameter": "o"}))
    assert offset.after(page(rows=[1, 2, 3]), None) == 3
    assert offset.after(page(rows=[1, 2]), 3) == 5
    assert offset.place("x", 5).url.endswith("?o=5")


@pytest.mark.parametrize(
    ("more", "ends"),
    [(True, False), (False, True), ("0", True), (None, True), ("false", True), ("3", False),
     ([1], False), ([], True), ({"href": "x"}, False), ({}, True), ("", True)],
)  # fmt: skip
def test_what_the_api_says_of_more_counts(more: Any, ends: bool) -> None:  # noqa: FBT001
    """Numbers have become text; a page that says nothing of it is refused."""
    paging = Paging(spec_of({"type": "page", "parameter": "p", "more": "meta.more"}))
    assert (paging.after(page(meta={"more": more}), 1) is None) == ends
    with pytest.raises(PageRefused, match="more_missing"):
        paging.after(page(), 1)
    assert paging.after(page(rows=[]), 1) is None


@pytest.mark.parametrize(
    ("said", "rule", "field"),
    [
        ({"type": "offset", "parameter": "o"}, "more_but_empty", "paging.more"),
        ({"type": "keyset", "column": "id", "parameter": "k"}, "more_but_empty", "paging.more"),
        ({"type": "cursor", "path": "c", "parameter": "c"}, "more_but_no_cursor", "paging.path"),
    ],
)
def test_more_that_nobody_can_ask_for_is_refused(
    said: dict[str, Any], rule: str, field: str
) -> None:
    """Taken as the end, it would leave rows out in silence; a page by number is asked for."""
    paging = Paging(spec_of({**said, "more": "more"}))
    with pytest.raises(PageRefused, match=rule) as refused:
        paging.after(page(rows=[], more=True), None)
    assert refused.value.field == field
    assert paging.after(page(rows=[], more=False), None) is None
    numbered = Paging(spec_of({"type": "page", "parameter": "p", "more": "more"}))
    assert numbered.after(page(rows=[], more=True), 3) == 4


@pytest.mark.parametrize("end", [None, "", False])
def test_no_cursor_is_the_end(end: Any) -> None:
    """Even beside rows; and beside no rows a cursor is not the end."""
    paging = Paging(spec_of({"type": "cursor", "path": "after", "parameter": "c"}))
    assert paging.after(page(after=end), "x") is None
    assert paging.after(page(rows=[], after="y"), "x") == "y"
    for wrong in (["y"], {"a": "b"}):
        with pytest.raises(PageRefused, match="path_elsewhere"):
            paging.after(page(after=wrong), "x")
    with pytest.raises(PageRefused, match="too_long"):
        paging.after(page(after="y" * (MAX_WORD + 1)), "x")


def test_a_keyset_is_the_last_row() -> None:
    """A row without the column cannot be gone on from."""
    paging = Paging(spec_of({"type": "keyset", "column": "who.id", "parameter": "after"}))
    assert paging.after(page(rows=[{}, {"who": {"id": " 9 "}}]), None) == "9"
    for rows in ([{}], [1], [{"who": {"id": {}}}]):
        with pytest.raises(PageRefused, match="keyset_missing"):
            paging.after(page(rows=rows), None)
    assert paging.after(page(rows=[]), "9") is None


def test_values_are_put_into_the_address_or_the_body() -> None:
    """In place of what is declared there; numbers stay numbers in a body."""
    request = {"method": "POST", "query": {"p": 1, "q": "a b"}, "body": {"v": {"x": 1}, "s": 5}}
    since = {"parameter": "p", "format": "number"}
    cursor = {"column": "n", "since": since}
    spec = spec_of(
        {"type": "cursor", "path": "c", "body_key": "v.after"},
        request=request, mode="incremental", cursor=cursor,
    )  # fmt: skip
    place = Paging(spec).place("17", "w")
    assert place.url == f"{HOST}/v1/members?p=17&q=a+b"
    assert json.loads(place.body or b"") == {"v": {"x": 1, "after": "w"}, "s": 5}
    inside = {**cursor, "since": {"body_key": "s.t.u", "format": "number"}}
    spec = spec_of(
        {"type": "offset", "body_key": "v"}, request=request, mode="incremental", cursor=inside
    )
    place = Paging(spec).place("17", None)
    assert json.loads(place.body or b"") == {"v": 0, "s": {"t": {"u": 17}}}


@given(st.integers(0, 60), st.integers(1, 40))
def test_a_round_is_noticed(lead: int, length: int) -> None:
    """Paging 3: before it was gone three times, and never where nothing repeats."""
    seen = Repeats()
    assert not any(seen.has(f"lead {place}") for place in range(lead))
    steps = [seen.has(f"round {place % length}") for place in range(lead + 3 * length + 3)]
    assert True in steps
    assert steps.index(True) >= length
    again = Repeats()
    assert [again.has(one) for one in "abcc"] == [False, False, False, True]
