"""Presets written out: valid, with the right scopes, and nothing that must not be a key."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.declaration import parse_source
from connectors.errors import DeclarationError
from connectors.presets.catalogue import preset, presets
from identity.catalogue import shipped
from tests.presets.retailer import ANSWERS, SAMPLES, entries


def test_1_what_is_written_out_is_a_valid_source():
    """Invariant 1: every preset, filled in, is a source that can be read."""
    assert set(presets()) == set(ANSWERS)
    for name, entry in entries().items():
        assert parse_source(name, entry).consent is not None


@pytest.mark.parametrize("name", sorted(presets()))
def test_1_every_scope_is_asked_for(name):
    """Invariant 1: an identifier with a scope has one in each preset, and it is an answer."""
    known, source = shipped(), parse_source(name, entries()[name])
    for field, specs in source.fields.items():
        scoped = field in known.types and known[field].scoped
        for spec in specs:
            assert (spec.scope is not None) == scoped, field
            assert spec.scope is None or spec.scope in ANSWERS[name].values()
    for asked in presets()[name].asks:
        with pytest.raises(DeclarationError, match="answer_missing"):
            presets()[name].written(name, {**ANSWERS[name], asked: " "})


@given(
    answer=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() and text.strip())
)
@settings(max_examples=30)
def test_2_an_answer_is_only_a_value(answer):
    """Invariant 2: quotes, colons and line breaks in an answer stay inside its scope."""
    text = presets()["wechat_miniprogram"].written(
        "app", {"app_id": answer, "open_platform": "kith"}
    )
    written = yaml.safe_load(f"sources:\n{text}")["sources"]
    expected = entries()["wechat_miniprogram"]
    expected["fields"]["unionid"]["scope"] = "kith"
    expected["fields"]["openid"]["scope"] = answer
    assert written == {"app": expected}


def test_who_asks_for_something_else_is_told():
    """A wrong preset, question or length has a rule of its own, with the next step."""
    with pytest.raises(DeclarationError, match="no_such_preset"):
        preset("tmall")
    with pytest.raises(DeclarationError, match="no_such_question"):
        presets()["pos"].written("pos", {"brand": "kith", "shop": "x"})
    with pytest.raises(DeclarationError, match="too_long"):
        presets()["pos"].written("pos", {"brand": "k" * 257})
    with pytest.raises(DeclarationError, match="wrong_form"):
        presets()["pos"].written("pos", {"brand": "kith\n"})


SCOPES = {
    "openid": {("wechat_miniprogram", "wx0000000000kith01")},
    "official_openid": {("wechat_official_account", "wx0000000000kith99")},
    "unionid": {
        (name, "kith-open")
        for name in ("wechat_miniprogram", "wechat_official_account", "wecom", "youzan", "weimob")
    },
    "external_userid": {("wecom", "ww0000000000kith")},
    "ouid": {("taobao", "2200000000001")},
    "omid": {("taobao", "kith-tmall")},
    "oaid": {("taobao", "2200000000001")},
    "douyin_openid": {("douyin", "tt0000000000kith")},
    "buyer_id": {
        ("jd", "A0000000000KITH"),
        ("shopify", "kith.myshopify.invalid"),
        ("weimob", "4020000000000"),
        ("youzan", "136000000"),
    },
    "loyalty_card": {
        ("member_sheet", "kith"),
        ("pos", "kith"),
        ("weimob", "4020000000000"),
    },
}


def test_no_identifier_of_a_preset_is_left_out_here():
    """Whoever maps another identifier says where it is unique."""
    mapped = {field for name, one in entries().items() for field in parse_source(name, one).fields}
    assert {field for field in mapped if field in shipped().types and shipped()[field].scoped} == (
        set(SCOPES)
    )


@pytest.mark.parametrize("field", sorted(SCOPES))
def test_each_identifier_is_unique_where_its_platform_says(field):
    """An openid counts in its app, a unionid in its Open Platform account, an ouid in its shop."""
    found = {
        (name, spec.scope)
        for name, entry in entries().items()
        for spec in parse_source(name, entry).fields.get(field, ())
    }
    assert found == SCOPES[field]


def test_what_is_no_key_is_none():
    """No preset feeds an address id of a week, an old number, a foreign openid or a nickname."""
    assert shipped()["oaid"].feeds == "none"
    assert shipped()["privacy_phone"].feeds == "none"
    columns = {name: parse_source(name, one).columns() for name, one in entries().items()}
    assert "info.mobile.old_mobile" not in columns["douyin"]
    assert "sourceObjectList.sourceOpenId" not in columns["weimob"]
    assert "wx_open_id" not in columns["youzan"]
    assert "buyer_nick" not in columns["taobao"]
    assert "pin" not in columns["jd"]
    assert not [name for name, found in columns.items() if "session_key" in found]


def test_samples_name_no_real_place_to_write_to():
    """Mail addresses in the samples are of domains that nobody can have."""
    for path in sorted(SAMPLES.iterdir()):
        for word in path.read_text("utf-8").replace('"', " ").replace(",", " ").split():
            if "@" in word and "." in word:
                assert word.endswith(("example.com", ".invalid")), path.name
