"""Reading declarations: what is accepted, what is refused, and what changes the digest."""

import copy
import json
from importlib import resources

import pytest
import yaml
from jsonschema import Draft202012Validator

from connectors import declaration_schema
from connectors.attribute_declaration import AttributeSpec
from connectors.consent_declaration import ConsentSpec, OptOut
from connectors.declaration import FieldSpec, parse_source
from connectors.destination_declaration import parse_destination
from connectors.errors import DeclarationError, Stop
from connectors.vocabulary import IDENTITY_FIELDS, PUBLISHABLE_FIELDS

SOURCE = yaml.safe_load("""
connector: csv
location: data/pos.csv
encoding: gb18030
record_id: 卡号
store: 门店
fields:
  loyalty_card: {column: 卡号, scope: kith}
  name: 姓名
  phone: [手机号, {columns: [备用, 家庭], split: "[,;/、]"}]
  birth_date: {column: 生日, formats: ["%Y-%m-%d", "%Y/%m/%d"]}
attributes:
  total_spent: {column: 累计消费, type: decimal}
consent:
  basis: membership
  purposes: [service, marketing, analysis]
  opt_out: {column: 拒绝营销, values: ["是"], purposes: [marketing]}
""")
WEBHOOK = {
    "connector": "webhook",
    "location": "https://crm.invalid/hook",
    "purpose": "marketing",
    "fields": ["profile_id", "name", "phone", "tags"],
    "secret": "crm",
}
FILE = {
    "connector": "csv_file",
    "location": "exports/weekly.csv",
    "purpose": "analysis",
    "fields": ["profile_id", "city", "tags"],
}
GONE = object()


def schema_file():
    path = resources.files("connectors").joinpath("declaration.schema.json")
    return json.loads(path.read_text("utf-8"))


def changed(entry, path, value):
    entry = copy.deepcopy(entry)
    *way, last = path.split(".")
    node = entry
    for step in way:
        node = node[step]
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return entry


def test_a_whole_source_is_read():
    """Each part of a source declaration becomes a frozen object."""
    source = parse_source("pos", SOURCE)
    assert source.record_id == ("卡号",)
    assert source.fields["loyalty_card"] == (FieldSpec(("卡号",), scope="kith"),)
    assert source.fields["phone"] == (
        FieldSpec(("手机号",)),
        FieldSpec(("备用", "家庭"), split=",;/、"),
    )
    assert source.fields["birth_date"][0].formats == ("%Y-%m-%d", "%Y/%m/%d")
    assert source.attributes == {"total_spent": AttributeSpec("累计消费", "decimal")}
    assert source.consent == ConsentSpec(
        "membership",
        ("service", "marketing", "analysis"),
        (OptOut("拒绝营销", ("是",), ("marketing",)),),
    )
    assert source.columns() == (
        "卡号", "门店", "姓名", "手机号", "备用", "家庭", "生日", "累计消费", "拒绝营销",
    )  # fmt: skip
    with pytest.raises(AttributeError):
        source.connector = "jsonl"
    with pytest.raises(TypeError):
        source.fields["phone"] = ()


def test_the_least_a_source_needs():
    """Connector, location, record id and one field are enough; the rest has defaults."""
    least = {key: SOURCE[key] for key in ("connector", "location", "record_id")}
    source = parse_source("pos", {**least, "fields": {"phone": "p"}})
    assert (source.encoding, source.delimiter, source.store) == ("utf-8", ",", None)
    assert source.consent is None
    assert source.attributes == {}


def test_an_opt_out_without_purposes_refuses_all():
    """An opt-out that names no purpose refuses every purpose of the source."""
    entry = changed(SOURCE, "consent.opt_out", [{"column": "c", "values": ["Y"]}])
    consent = parse_source("pos", entry).consent
    assert consent.opt_out[0].purposes == consent.purposes


@pytest.mark.parametrize(
    ("path", "value", "rule", "field"),
    [
        ("fields.phonee", "x", "unknown_field", "fields.phonee"),
        ("surprise", 1, "unknown_key", "surprise"),
        ("location", GONE, "key_missing", "location"),
        ("connector", "CSV", "not_one_of", "connector"),
        ("encoding", "utf-16", "not_one_of", "encoding"),
        ("delimiter", "::", "not_one_of", "delimiter"),
        ("sheet", "x", "key_not_for_connector", "sheet"),
        ("fields", {}, "empty", "fields"),
        ("fields", [], "wrong_type", "fields"),
        ("record_id", [], "empty", "record_id"),
        ("record_id", 7, "wrong_type", "record_id"),
        ("record_id", ["a", "a"], "repeated", "record_id"),
        ("location", " x", "wrong_form", "location"),
        ("fields.name", " ", "wrong_form", "fields.name"),
        ("fields.name", "", "empty", "fields.name"),
        ("fields.name", "x" * 300, "too_long", "fields.name"),
        ("fields.phone", [], "empty", "fields.phone"),
        ("fields.phone", [["a"]], "wrong_type", "fields.phone[0]"),
        ("fields.phone", {"column": "a", "columns": ["b"]}, "column_or_columns", "fields.phone"),
        ("fields.phone", {"split": "[,]"}, "column_or_columns", "fields.phone"),
        ("fields.phone", {"column": "a", "scope": "b"}, "unknown_key", "fields.phone.scope"),
        ("fields.phone", {"column": "a", "split": "(a+)+"}, "wrong_form", "fields.phone.split"),
        (
            "fields.birth_date",
            {"column": "a", "formats": ["%Q"]},
            "wrong_form",
            "fields.birth_date.formats[0]",
        ),
        ("attributes.phone", {"column": "a", "type": "integer"}, "name_taken", "attributes.phone"),
        ("attributes.a", {"column": "a", "type": "float"}, "not_one_of", "attributes.a.type"),
        (
            "attributes.a",
            {"column": "a", "type": "integer", "formats": ["%Y"]},
            "formats_without_date",
            "attributes.a",
        ),
        (
            "attributes.a",
            {"column": "a", "type": "date", "formats": ["%Y-%m"]},
            "date_incomplete",
            "attributes.a",
        ),
        ("attributes", {"Bad Name": {"column": "a", "type": "date"}}, "wrong_form", "attributes"),
        ("consent.purposes", [], "empty", "consent.purposes"),
        ("consent.opt_out.values", [True], "wrong_type", "consent.opt_out.values[0]"),
        (
            "consent.opt_out.purposes",
            ["other"],
            "purpose_not_granted",
            "consent.opt_out.purposes",
        ),
    ],
)
def test_a_bad_source_is_refused(path, value, rule, field):
    """A refusal names the path, the rule and the next step."""
    with pytest.raises(DeclarationError) as refused:
        parse_source("pos", changed(SOURCE, path, value))
    assert (refused.value.source, refused.value.rule, refused.value.field) == ("pos", rule, field)
    assert refused.value.next_step.endswith((".", "]")), refused.value.next_step
    assert isinstance(refused.value, Stop)


@pytest.mark.parametrize("key", ["encoding", "delimiter"])
def test_keys_of_another_connector_are_refused(key):
    """A key that a connector would ignore is refused, so that nobody relies on it."""
    entry = {
        **changed(SOURCE, "encoding", GONE),
        "connector": "xlsx",
        key: {"encoding": "gbk"}.get(key, ";"),
    }
    with pytest.raises(DeclarationError, match="key_not_for_connector"):
        parse_source("old", entry)


@pytest.mark.parametrize("entry", [None, [], "csv", 7])
def test_something_else_than_a_mapping_is_refused(entry):
    """A declaration is a mapping."""
    with pytest.raises(DeclarationError, match="wrong_type"):
        parse_source("pos", entry)


@pytest.mark.parametrize("name", ["", "POS", "a b", "9", "x" * 70, "../a"])
def test_a_name_is_an_identifier(name):
    """A source or destination has a plain name, because file names and errors hold it."""
    with pytest.raises(DeclarationError, match="name_form"):
        parse_source(name, SOURCE)
    with pytest.raises(DeclarationError, match="name_form"):
        parse_destination(name, WEBHOOK)


def test_keys_are_text_and_depth_is_bounded():
    """YAML can make number keys and endless structures; both are refused, not followed."""
    with pytest.raises(DeclarationError, match="key_not_text"):
        parse_source("pos", changed(SOURCE, "fields", {1: "x"}))
    endless = {}
    endless["fields"] = endless
    with pytest.raises(DeclarationError, match="too_deep"):
        parse_source("pos", endless)


def test_a_near_miss_is_suggested():
    """A misspelt key brings the key that was probably meant."""
    with pytest.raises(DeclarationError, match=r"Did you mean phone\?"):
        parse_source("pos", changed(SOURCE, "fields.phonee", "x"))


def test_a_workspace_may_map_the_types_it_added():
    """An identifier type of the workspace is a field like any other; others stay unknown."""
    entry = changed(SOURCE, "fields.club_number", {"column": "club", "scope": "brand"})
    source = parse_source("pos", entry, identifiers={"club_number"})
    assert source.fields["club_number"][0].scope == "brand"
    with pytest.raises(DeclarationError, match=r"pos, fields\.club_number: unknown_field\."):
        parse_source("pos", entry)
    with pytest.raises(DeclarationError, match="name_taken"):
        parse_source(
            "pos",
            changed(SOURCE, "attributes.club_number", {"column": "a", "type": "integer"}),
            identifiers={"club_number"},
        )


def test_an_unquoted_yes_is_explained():
    """YAML reads yes as true; the error says to put quotes around it."""
    with pytest.raises(DeclarationError, match="quotes"):
        parse_source("pos", changed(SOURCE, "consent.opt_out.values", [True]))


def test_spelling_does_not_change_the_digest():
    """The digest follows the meaning: long or short form, key order and location do not count."""
    plain = parse_source("pos", SOURCE).digest()
    long = changed(SOURCE, "fields.name", {"columns": ["姓名"]})
    long = dict(reversed(list(long.items())))
    assert parse_source("pos", {**long, "location": "elsewhere.csv"}).digest() == plain
    assert len(plain) == 64
    assert plain == "8e415e3717c14b595b28853165e43696022a7819f6d79b935e1be6e9a99708a8"  # version 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fields.name", "昵称"),
        ("fields.loyalty_card.scope", "other"),
        ("encoding", "utf-8"),
        ("record_id", ["卡号", "门店"]),
        ("store", GONE),
        ("attributes.total_spent.type", "integer"),
        ("consent.purposes", ["marketing"]),
        ("consent.opt_out.values", ["Y"]),
    ],
)
def test_another_meaning_changes_the_digest(path, value):
    """A changed mapping is noticed."""
    changed_source = parse_source("pos", changed(SOURCE, path, value))
    assert changed_source.digest() != parse_source("pos", SOURCE).digest()
    assert parse_source("other", SOURCE).digest() != parse_source("pos", SOURCE).digest()


def test_destinations_are_read():
    """A destination states where, for what purpose and exactly which fields."""
    webhook, file = parse_destination("crm", WEBHOOK), parse_destination("weekly", FILE)
    assert (webhook.secret, webhook.timeout, webhook.allow_http) == ("crm", 10.0, False)
    assert file.fields == ("profile_id", "city", "tags")
    assert not file.bom
    moved = parse_destination("weekly", {**FILE, "location": "x.csv"})
    assert moved.digest() != file.digest()


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({**WEBHOOK, "bom": True}, "key_not_for_connector"),
        ({**FILE, "secret": "x"}, "key_not_for_connector"),
        ({**WEBHOOK, "fields": ["password"]}, "not_one_of"),
        ({**WEBHOOK, "fields": []}, "empty"),
        ({**WEBHOOK, "timeout": 0}, "too_small"),
        ({**WEBHOOK, "timeout": 1000}, "too_large"),
        (changed(WEBHOOK, "secret", GONE), "key_missing"),
        (changed(WEBHOOK, "purpose", GONE), "key_missing"),
        ({**WEBHOOK, "location": "http://crm.invalid/hook"}, "plain_http"),
        ({**WEBHOOK, "location": "ftp://crm.invalid/hook"}, "not_a_web_address"),
        ({**WEBHOOK, "location": "crm.invalid"}, "not_a_web_address"),
        ({**WEBHOOK, "location": "https://crm.invalid:99999/"}, "not_a_web_address"),
        ({**WEBHOOK, "location": "https://crm .invalid/"}, "not_a_web_address"),
        ({**WEBHOOK, "location": "https:///hook"}, "not_a_web_address"),
        ({**WEBHOOK, "location": "https://ada:pw@crm.invalid/"}, "address_parts"),
        ({**WEBHOOK, "location": "https://crm.invalid/#x"}, "address_parts"),
    ],
)
def test_a_bad_destination_is_refused(entry, rule):
    """A destination that could leak or is misspelt is refused by name."""
    with pytest.raises(DeclarationError) as refused:
        parse_destination("crm", entry)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:9000/hook",
        "http://localhost/hook",
        "http://[::1]:9000/",
        "http://127.8.8.8/",
    ],
)
def test_plain_http_stays_on_this_machine(location):
    """Plain http is fine to this machine, and elsewhere only when declared."""
    assert parse_destination("crm", {**WEBHOOK, "location": location}).location == location
    elsewhere = {**WEBHOOK, "location": "http://crm.invalid/", "allow_http": True}
    assert parse_destination("crm", elsewhere).allow_http


def test_a_pasted_secret_is_not_quoted():
    """A secret that was pasted where its name belongs is refused without being shown."""
    with pytest.raises(DeclarationError) as refused:
        parse_destination("crm", {**WEBHOOK, "secret": "whsec_CANARY"})
    assert "CANARY" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_every_word_of_the_schema_is_explained():
    """Whatever the schema can refuse has a sentence of its own."""
    annotations = {"$schema", "title", "description", "$defs", "$ref"}
    structure = {"properties", "propertyNames", "items", "allOf", "if", "then", "else", "const"}
    used, patterns = set(), set()

    def walk(node):
        used.update(node)
        patterns.update({node["pattern"]} if isinstance(node.get("pattern"), str) else ())
        for key, value in node.items():
            named = key in {"properties", "$defs"}
            for child in value.values() if named else value if isinstance(value, list) else [value]:
                if isinstance(child, dict):
                    walk(child)

    walk(schema_file())
    assert used - annotations - structure == set(declaration_schema._EXPLANATIONS)
    named = (declaration_schema._definitions()[one] for one in declaration_schema._PATTERN_ADVICE)
    assert {one.get("pattern") or one["items"]["pattern"] for one in named} == patterns


def test_the_schema_and_the_vocabulary_agree():
    """An editor knows the same field names as the code."""
    schema = schema_file()
    Draft202012Validator.check_schema(schema)
    definitions = schema["$defs"]
    assert set(definitions["source"]["properties"]["fields"]["properties"]) == IDENTITY_FIELDS
    assert (
        set(definitions["destination"]["properties"]["fields"]["items"]["enum"])
        == PUBLISHABLE_FIELDS
    )
    whole = {
        "version": 1,
        "sources": {"pos": SOURCE},
        "destinations": {"crm": WEBHOOK, "weekly": FILE},
    }
    Draft202012Validator(schema).validate(whole)
    assert not Draft202012Validator(schema).is_valid({"sources": {"pos": {"connector": "csv"}}})
