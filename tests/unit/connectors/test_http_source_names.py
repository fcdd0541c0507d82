"""Names in the declaration of an HTTP API: none is a secret's, and each has one value."""

from typing import Any

import pytest

from connectors.declaration import parse_source
from connectors.errors import DeclarationError

CANARY = "canary-secret"
KEYED = {"auth": {"type": "query", "name": "p"}, "credentials": {"key": "env:SOURCE_A"}}
SENT = {"auth": {"type": "header", "name": "X-Shop"}, "credentials": {"key": "env:SOURCE_A"}}


def parsed(**more: Any) -> Any:
    entry = {
        "connector": "http",
        "location": "https://api.example.com/v1/members",
        "record_id": "id",
        "fields": {"name": "name"},
        **more,
    }
    return parse_source("crm", entry).http


def since(parameter: str) -> dict[str, Any]:
    cursor = {"column": "changed", "since": {"parameter": parameter}}
    return {"mode": "incremental", "cursor": cursor}


@pytest.mark.parametrize("name", ["app_secret", "accessToken", "password", "api_key"])
def test_a_secret_has_no_place_in_a_body(name: str) -> None:
    """At any depth; the words of filters and of paging are none."""
    for body in ({name: CANARY}, {"a": [{"b": {name: CANARY}}]}):
        with pytest.raises(DeclarationError, match="secret_in_body") as refused:
            parsed(request={"method": "POST", "body": body})
        assert CANARY not in str(refused.value)
    parsed(request={"method": "POST", "body": {"key": "status", "page_token": "", "query": "{}"}})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({**KEYED, "paging": {"type": "page", "parameter": "p"}}, "paging.parameter"),
        ({**KEYED, **since("p")}, "cursor.since.parameter"),
        ({"paging": {"type": "page", "parameter": "s"}, **since("s")}, "paging.parameter"),
        ({**SENT, "request": {"headers": {"x-shop": "7"}}}, "request.headers"),
    ],
)
def test_one_name_is_one_value(more: dict[str, Any], field: str) -> None:
    """Of two under one name the API would see one."""
    with pytest.raises(DeclarationError, match="name_taken") as refused:
        parsed(**more)
    assert refused.value.field == field


def test_an_overlap_of_what_is_read_whole_is_refused() -> None:
    """It would be declared and ignored."""
    with pytest.raises(DeclarationError, match="option_not_used") as refused:
        parsed(cursor={"column": "changed", "overlap": 5})
    assert refused.value.field == "cursor.overlap"
