"""How an HTTP API is declared: what is accepted, what is refused, and by which words."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.http_auth_declaration import Words
from connectors.http_declaration import Limits, PagingSpec, Sent, SinceSpec
from tests.presets.retailer import entries

CANARY = "canary-secret"
API: dict[str, Any] = {
    "connector": "http",
    "location": "https://api.example.com/v1/members",
    "record_id": "id",
    "fields": {"name": "name"},
}


def parsed(**more: Any) -> Any:
    entry = {name: value for name, value in {**API, **more}.items() if value is not None}
    return parse_source("crm", entry).http


def incremental(column: str | None = "changed", overlap: int = 0, **since: Any) -> dict[str, Any]:
    cursor: dict[str, Any] = {"since": {"parameter": "since", **since}, "overlap": overlap}
    return {"mode": "incremental", "cursor": cursor | ({"column": column} if column else {})}


def test_a_whole_declaration_is_read() -> None:
    """Every part, in the words of the schema."""
    http = parsed(
        request={
            "method": "POST",
            "headers": {"X-Shop": "7"},
            "query": {"size": 100, "all": True},
            "body": {"filter": {"kind": "member"}},
        },
        auth={"type": "oauth2", "token_url": "https://id.example.com/t", "scopes": ["read"]},
        credentials={"client_id": "env:SOURCE_A", "client_secret": "env:SOURCE_B"},
        rows="data.0.items",
        success={"path": ["code", 0], "values": [0, True]},
        paging={"type": "cursor", "path": "next", "body_key": "page.after"},
        rate=0.5,
        limits={"tries": 2},
        **incremental(overlap=60, format="epoch_ms"),
    )
    assert http.request.headers == (("x-shop", "7"),)
    assert http.request.query == (("size", "100"), ("all", "true"))
    assert http.request.body == '{"filter": {"kind": "member"}}'
    assert http.auth.token_url == "https://id.example.com/t"
    assert (http.rows, http.success.path) == (("data", "0", "items"), ("code", 0))
    assert http.success.values == ("0", "true")
    assert http.paging == PagingSpec("cursor", Sent(body=("page", "after")), ("next",))
    assert http.since == SinceSpec(Sent("since"), "epoch_ms")
    assert (http.rate, http.limits) == (0.5, Limits(tries=2))


def test_how_rows_are_reached_is_no_meaning() -> None:
    """The digest stays when paging, limits or the address change; a state's place does not."""
    plain = parse_source("crm", API)
    other = parse_source("crm", {**API, "location": "https://b.example.com/", "rows": "data"})
    assert other.digest() == plain.digest()
    assert plain.http is not None
    assert other.http is not None
    assert other.http.asked() != plain.http.asked()
    slower = parse_source("crm", {**API, "rate": 1, "limits": {"tries": 1}}).http
    assert slower is not None
    assert slower.asked() == plain.http.asked()


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("ftp://api.example.com/", "not_a_web_address"),
        ("members.json", "not_a_web_address"),
        ("https://", "not_a_web_address"),
        ("https://api.example.com:99999/", "not_a_web_address"),
        ("https://api.example.com/a b", "not_a_web_address"),
        (f"https://user:{CANARY}@api.example.com/", "address_parts"),
        (f"https://{CANARY}@api.example.com/", "address_parts"),
        (f"https://api.example.com/?key={CANARY}", "address_parts"),
        ("https://api.example.com/#x", "address_parts"),
        ("http://api.example.com/", "plain_http"),
        ("http://127.0.0.1.example.com/", "plain_http"),
    ],
)
def test_an_address_is_whole_and_safe(location: str, rule: str) -> None:
    """No secret in it, and nothing in the clear to another machine; it is never quoted."""
    for field in ("location", "auth.token_url"):
        more: dict[str, Any] = {"location": location}
        if field != "location":
            auth = {"type": "oauth2", "token_url": location}
            more = {"auth": auth, "credentials": dict.fromkeys(("client_id", "client_secret"))}
            more["credentials"] = dict.fromkeys(more["credentials"], "env:SOURCE_X")
        with pytest.raises(DeclarationError) as refused:
            parsed(**more)
        assert (refused.value.rule, refused.value.field) == (rule, field)
        assert CANARY not in str(refused.value)


def test_this_machine_and_what_is_allowed_may_be_plain() -> None:
    """Loopback, or said in so many words."""
    for location in ("http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost/"):
        assert parsed(location=location).address == location
    assert parsed(location="http://10.0.0.1/", request={"allow_http": True})


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-Api-Key", "X-Auth-Token", "Cookie", "Ocp-Apim-Subscription-Key",
     "X-Client-Secret", "password", "api_key", "apikey", "access_token", "key"],
)  # fmt: skip
def test_a_secret_has_no_place_in_headers_or_query(name: str) -> None:
    """A name that is one of a secret's is refused, and what stands there not quoted."""
    for part in ("headers", "query"):
        with pytest.raises(DeclarationError, match=f"secret_in_{part}") as refused:
            parsed(request={part: {name: CANARY}})
        assert CANARY not in str(refused.value)
    assert parsed(request={"query": {"keyword": "x", "per_page": 5}})


def token(**more: Any) -> dict[str, Any]:
    """An API whose token is given for secrets in a way of its own; None leaves a key out."""
    auth = {
        "type": "token",
        "token_url": "https://id.example.com/gettoken",
        "send": "query",
        "parameter": "access_token",
        **more,
    }
    said = {key: value for key, value in auth.items() if value is not None}
    return {"auth": said, "credentials": {"corpid": "env:SOURCE_A", "corpsecret": "env:SOURCE_B"}}


def test_a_token_of_its_own_way_is_read() -> None:
    """Where it is, what goes beside the secrets, and what an answer says of it."""
    refused = {"path": "errcode", "values": [42001, "gone", True]}
    more = token(also={"grant_type": "x", "grant_id": 7}, path="data.token", refused=refused)
    auth = parsed(**more).auth
    assert auth.credentials == auth.secrets == ("corpid", "corpsecret")
    assert auth.also == (("grant_type", "x"), ("grant_id", "7"))
    assert (auth.path, auth.life) == (("data", "token"), ("expires_in",))
    assert auth.refused == Words(("errcode",), ("42001", "gone", "true"))
    assert (auth.name, auth.in_header) == ("access_token", False)
    header = parsed(**token(parameter=None, header="X-Token")).auth
    assert (header.name, header.in_header) == ("X-Token", True)


TOKEN_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({**token(), "credentials": {}}, "empty", "credentials"),
    ({"auth": token()["auth"]}, "key_missing", "credentials"),
    (token(token_url=None), "key_missing", "auth.token_url"),
    (token(send=None), "key_missing", "auth.send"),
    (token(send="basic"), "wrong_form", "auth.send"),
    (token(parameter=None), "parameter_or_header", "auth"),
    (token(header="X-Token"), "parameter_or_header", "auth"),
    (token(parameter=None, header="host"), "header_form", "auth.header"),
    (token(also={"app_secret": CANARY}), "secret_in_declaration", "auth.also"),
    (token(also={"corpid": CANARY}), "option_not_used", "auth.also"),
    (token(scopes=["a"]), "option_not_used", "auth.scopes"),
    (token(name="x"), "option_not_used", "auth.name"),
    (token(token_url="http://id.example.com/t"), "plain_http", "auth.token_url"),
    ({"auth": {"type": "bearer", "path": "x"}}, "option_not_used", "auth.path"),
    (
        {
            "auth": {"type": "oauth2", "token_url": "https://a.example.com/", "send": "json"},
            "credentials": {"client_id": "env:SOURCE_A", "client_secret": "env:SOURCE_B"},
        },
        "wrong_form",
        "auth.send",
    ),
    (
        {**token(), "paging": {"type": "page", "parameter": "access_token"}},
        "name_taken",
        "paging.parameter",
    ),
    (
        {
            **token(parameter=None, header="X-Open"),
            "request": {"headers": {"x-open": "1"}},
        },
        "name_taken",
        "request.headers",
    ),
]


@pytest.mark.parametrize(("more", "rule", "field"), TOKEN_REFUSED, ids=range(len(TOKEN_REFUSED)))
def test_a_token_of_its_own_way_says_what_it_needs(
    more: dict[str, Any], rule: str, field: str
) -> None:
    """By a rule, with the path, and without what was declared."""
    test_what_does_not_fit_together_is_refused(more, rule, field)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"request": {"headers": {"host": "x"}}}, "header_form", "request.headers"),
    ({"request": {"headers": {"x y": "x"}}}, "header_form", "request.headers"),
    ({"request": {"headers": {"x": "a\r\nb: c"}}}, "header_form", "request.headers"),
    ({"request": {"body": {}}}, "body_without_post", "request.body"),
    ({"request": {"method": "PUT"}}, "not_one_of", "request.method"),
    ({"auth": {"type": "bearer"}}, "key_missing", "credentials.token"),
    ({"auth": {"type": "header"}}, "key_missing", "auth.name"),
    ({"auth": {"type": "query"}}, "key_missing", "auth.name"),
    ({"auth": {"type": "oauth2"}}, "key_missing", "auth.token_url"),
    ({"auth": {"type": "none", "name": "x"}}, "option_not_used", "auth.name"),
    ({"auth": {"token": CANARY, "type": "bearer"}}, "unknown_key", "auth.token"),
    ({"credentials": {"token": "env:SOURCE_X"}}, "credential_not_used", "credentials.token"),
    ({"paging": {"type": "page"}}, "parameter_or_body_key", "paging"),
    ({"paging": {"type": "page", "parameter": "p", "path": "x"}}, "option_not_used", "paging.path"),
    ({"paging": {"type": "cursor", "parameter": "p"}}, "key_missing", "paging.path"),
    ({"paging": {"type": "keyset", "parameter": "p"}}, "key_missing", "paging.column"),
    ({"paging": {"type": "link", "parameter": "p"}}, "option_not_used", "paging.parameter"),
    ({"paging": {"type": "page", "body_key": "p"}}, "body_missing", "paging.body_key"),
    ({"mode": "changes"}, "mode_not_for_connector", "mode"),
    ({"mode": "incremental", "cursor": "changed"}, "since_and_mode", "cursor.since"),
    ({**incremental(), "mode": "full"}, "since_and_mode", "cursor.since"),
    (incremental(time_zone="Mars/Base"), "no_such_time_zone", "cursor.since.time_zone"),
    (incremental(format="number", first="x"), "wrong_form", "cursor.since.first"),
    (incremental(column=None), "overlap_missing", "cursor.overlap"),
    (incremental(column=None, format="number"), "key_missing", "cursor.column"),
    (
        incremental(column=None, overlap=9, format="plain"),
        "key_missing",
        "cursor.since.time_zone",
    ),
    ({"table": "x"}, "key_not_for_connector", "table"),
    ({"encoding": "utf-8"}, "key_not_for_connector", "encoding"),
    ({"location": None}, "key_missing", "location"),
    ({"rate": 0}, "too_small", "rate"),
    ({"limits": {"page_mb": 0}}, "too_small", "limits.page_mb"),
    ({"rows": []}, "empty", "rows"),
]


@pytest.mark.parametrize(("more", "rule", "field"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_does_not_fit_together_is_refused(more: dict[str, Any], rule: str, field: str) -> None:
    """By a rule, with the path, and without what was declared."""
    with pytest.raises(DeclarationError) as refused:
        parsed(**more)
    assert (refused.value.rule, refused.value.field) == (rule, field)
    assert refused.value.next_step
    assert CANARY not in str(refused.value)


def test_a_body_key_needs_a_body_and_keys() -> None:
    """A list has no keys, and an index names none."""
    post = {"method": "POST", "body": {}}
    paging = {"type": "page", "body_key": ["a", 0]}
    with pytest.raises(DeclarationError, match="path_form"):
        parsed(request=post, paging=paging)
    with pytest.raises(DeclarationError, match="body_missing"):
        parsed(request={**post, "body": []}, paging={**paging, "body_key": "a"})


@pytest.mark.parametrize(
    "part", ["request", "auth", "rows", "paging", "rate", "limits", "success", "busy"]
)
def test_no_other_connector_takes_these_keys(part: str) -> None:
    """Neither a file nor a table; nor does a table's cursor take a since."""
    values: dict[str, Any] = {
        "request": {"method": "GET"},
        "auth": {"type": "none"},
        "rows": "data",
        "paging": {"type": "none"},
        "rate": 1,
        "limits": {"tries": 1},
        "success": {"path": "a", "values": [0]},
        "busy": {"path": "a", "values": [0]},
    }
    file = {**API, "connector": "csv", "location": "x.csv"}
    with pytest.raises(DeclarationError, match="key_not_for_connector"):
        parse_source("crm", {**file, part: values[part]})
    sql = {**API, "connector": "sql", "table": "t", "credentials": {"dsn": "env:SOURCE_X"}}
    del sql["location"]
    with pytest.raises(DeclarationError, match="key_not_for_connector"):
        parse_source("crm", {**sql, **incremental()})
    with pytest.raises(DeclarationError, match="key_missing"):
        parse_source("crm", {**sql, "cursor": {"overlap": 5}})


def _kind(example: dict[str, Any]) -> int:
    names = list(example.get("sources", example))
    return next(
        at for at, name in enumerate(("crm", "wecom", "connector", "limits")) if name in names
    )


def test_the_examples_of_the_page_are_declarations() -> None:
    """What docs/howto/read-an-api.md tells people to write is read, limits and all."""
    page = Path(__file__).parents[3] / "docs/howto/read-an-api.md"
    found = re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    example, wecom, shop, limits = sorted(map(yaml.safe_load, found), key=_kind)
    entry = example["sources"]["crm"]
    parsed = parse_source("crm", {**entry, **limits})
    assert parsed.http is not None
    assert parsed.http.limits == Limits()
    assert parsed.http.auth.type == "oauth2"
    contacts = parse_source("wecom", wecom["sources"]["wecom"]).http
    assert contacts is not None
    assert contacts.auth.credentials == ("corpid", "corpsecret")
    assert contacts.busy is not None
    preset = {**entries()["shopify"], **shop}
    assert parse_source("shop", preset).http is not None
