"""What a source of webhooks may be declared as."""

from typing import Any

import pytest

from connectors.declaration import SourceDeclaration, parse_source
from connectors.errors import DeclarationError, Stop
from connectors.hooks.declaration import HookSpec, SaidSpec, SignatureSpec
from connectors.registry import open_source

HMAC = {"scheme": "hmac", "header": "X-Mac", "encoding": "hex"}
SAID = {"header": "X-Topic", "values": ["a"]}


def declared(**more: Any) -> SourceDeclaration:
    entry = {
        "connector": "webhook",
        "signature": {"scheme": "standard"},
        "credentials": {"secret": "ring:hook", "former_secret": "ring:hook_before"},
        "record_id": "id",
        "fields": {"name": "name"},
        **more,
    }
    return parse_source("crm", {name: one for name, one in entry.items() if one is not None})


def test_what_is_declared_is_read() -> None:
    """Headers in lower case, values without case, a path as its steps."""
    spec = declared(
        signature={**HMAC, "prefix": "v0=", "timestamp_header": "X-At", "tolerance": 60},
        only={"path": "meta.kind", "values": [" Member "]},
        deleted={"header": "X-Topic", "values": ["Gone"]},
        rows=["data", 0],
        most_per_second=5,
    ).hook
    signature = SignatureSpec("hmac", "x-mac", "hex", "v0=", "x-at", ".", 60)
    only, deleted = SaidSpec(("member",), path=("meta", "kind")), SaidSpec(("gone",), "x-topic")
    assert spec == HookSpec(signature, ("data", 0), deleted, only, 5)
    assert declared().hook == HookSpec(SignatureSpec("standard"))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"credentials": {"former_secret": "ring:x"}}, "key_missing", "credentials.secret"),
    ({"credentials": {"secret": "ring:x", "token": "ring:y"}}, "credential_not_used",
     "credentials.token"),
    ({"credentials": {"secret": "canary"}}, "wrong_form", "credentials.secret"),
    ({"signature": {"scheme": "standard", "header": "x"}}, "option_not_used", "signature.header"),
    ({"signature": {"scheme": "hmac", "encoding": "hex"}}, "key_missing", "signature.header"),
    ({"signature": {"scheme": "hmac", "header": "x"}}, "key_missing", "signature.encoding"),
    ({"signature": {**HMAC, "separator": ":"}}, "option_not_used", "signature.separator"),
    ({"signature": {**HMAC, "timestamp_header": "X-At", "remember_days": 9}}, "option_not_used",
     "signature.remember_days"),
    ({"signature": {"scheme": "standard", "remember_days": 9}}, "option_not_used",
     "signature.remember_days"),
    ({"signature": {**HMAC, "header": "X Mac"}}, "header_form", "signature.header"),
    ({"signature": {**HMAC, "timestamp_header": "a:b"}}, "header_form",
     "signature.timestamp_header"),
    ({"deleted": {"header": "x"}}, "key_missing", "deleted.values"),
    ({"deleted": {**SAID, "path": "a"}}, "header_or_path", "deleted"),
    ({"only": {"values": ["a"]}}, "header_or_path", "only"),
    ({"only": {"header": "a b", "values": ["a"]}}, "header_form", "only.header"),
    ({"signature": None}, "key_missing", "signature"),
    ({"location": "https://example.com"}, "key_not_for_connector", "location"),
    ({"schedule": {"minutes": 5}}, "key_not_for_connector", "schedule"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "rule", "field"), WRONG)
def test_what_contradicts_itself_is_refused(more: dict[str, Any], rule: str, field: str) -> None:
    """With the path, the rule and the next step; no secret is quoted."""
    with pytest.raises(DeclarationError) as refused:
        declared(**more)
    assert (refused.value.rule, refused.value.field) == (rule, field)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, 300),
        ({"tolerance": 3600}, 3600),
        ({"remember_days": 90}, 90 * 86400),
        ({"remember_days": 1, "tolerance": 86400}, 86400),
        ({"timestamp_header": "X-At", "tolerance": 60}, 120),
    ],
)
def test_a_body_is_remembered_as_long_as_it_could_come_again(
    more: dict[str, Any], seconds: int
) -> None:
    """Without a time as long as is declared; with one until it is too old."""
    hook = declared(signature={**HMAC, **more}).hook
    assert hook is not None
    assert hook.signature.remembered.total_seconds() == seconds


def test_nothing_is_read_from_it(tmp_path: Any) -> None:
    """Its rows are sent."""
    with pytest.raises(Stop, match="rows_are_sent"):
        open_source(declared(), tmp_path)


def test_a_signature_belongs_to_webhooks() -> None:
    """Another connector has none of it."""
    for more in ({"signature": {"scheme": "standard"}}, {"only": SAID}, {"most_per_second": 1}):
        with pytest.raises(DeclarationError, match="key_not_for_connector"):
            declared(connector="piped", credentials=None, **{"signature": None, **more})
