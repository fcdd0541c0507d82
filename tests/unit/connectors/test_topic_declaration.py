"""What a topic may be declared as, and what the client is told of it."""

from typing import Any

import pytest

from connectors.declaration import SourceDeclaration, parse_source
from connectors.errors import DeclarationError
from connectors.feed_declaration import DeletedSpec
from connectors.sources.topic_engine import settings_of
from connectors.topic_declaration import TopicSpec

BROKER = "kafka.example.com:9093"
SECRETS = {name: f"canary-{name}" for name in ("user", "password", "ca", "certificate", "key")}


def declared(topic: dict[str, Any] | None = None, **more: Any) -> SourceDeclaration:
    entry = {
        "connector": "kafka",
        "location": BROKER,
        "record_id": "id",
        "fields": {"name": "name"},
        "topic": {"name": "members", **(topic or {})},
        **more,
    }
    return parse_source("crm", entry)


def spec_of(*args: Any, **more: Any) -> TopicSpec:
    spec = declared(*args, **more).topic
    assert spec is not None
    return spec


def refs(*names: str) -> dict[str, str]:
    return {name: f"ring:{name}" for name in names}


def test_a_topic_is_sealed_by_default() -> None:
    """TLS with the names of the brokers checked, and nothing committed to them."""
    settings = settings_of("crm", spec_of(), {})
    assert settings["security.protocol"] == "ssl"
    assert settings["ssl.endpoint.identification.algorithm"] == "https"
    assert settings["enable.ssl.certificate.verification"] is True
    assert settings["enable.auto.commit"] is False
    assert settings["auto.offset.reset"] == "error"
    assert not [name for name in settings if name.startswith("sasl")]


def test_signing_in_and_certificates_come_from_credentials() -> None:
    """User, password, authority, certificate and key, and nothing else."""
    security = {"protocol": "sasl_ssl", "mechanism": "SCRAM-SHA-512"}
    spec = spec_of({"security": security}, credentials=refs(*SECRETS))
    settings = settings_of("crm", spec, SECRETS)
    shown = {name: value for name, value in settings.items() if "canary" in str(value)}
    assert shown == {
        "sasl.username": "canary-user",
        "sasl.password": "canary-password",
        "ssl.ca.pem": "canary-ca",
        "ssl.certificate.pem": "canary-certificate",
        "ssl.key.pem": "canary-key",
    }
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"


def test_several_brokers_and_a_deletion_by_tombstone_or_column() -> None:
    """Addresses are put together; a column of deletions is a column."""
    spec = spec_of(location=f"{BROKER}, [::1]:9092", deleted="tombstone")
    assert (spec.brokers, spec.tombstones) == (f"{BROKER},[::1]:9092", True)
    by_column = declared(deleted={"column": "gone"})
    assert by_column.feed.deleted == DeletedSpec("gone")
    assert by_column.topic is not None
    assert by_column.topic.tombstones is False


def test_where_a_topic_lies_says_nothing_of_what_it_means() -> None:
    """Other brokers or limits are no other mapping: nothing is read anew for them."""
    assert declared().digest() == declared({"limits": {"answer": 3}}, location="x:1").digest()
    assert spec_of().asked() != spec_of(deleted="tombstone").asked()


SASL = {"security": {"protocol": "sasl_ssl", "mechanism": "PLAIN"}}
WRONG: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {"location": "kafka.example.com"}, "brokers_form", "location"),
    ({}, {"location": "canary@kafka:9092"}, "brokers_form", "location"),
    ({}, {"location": "kafka:99999"}, "brokers_form", "location"),
    ({"name": ".."}, {}, "topic_form", "topic.name"),
    ({"security": {"protocol": "plaintext"}}, {}, "plain_text", "topic.security.protocol"),
    (
        {"security": {"protocol": "sasl_plaintext", "mechanism": "PLAIN"}},
        {"credentials": refs("user", "password")},
        "plain_text",
        "topic.security.protocol",
    ),
    ({"security": {"protocol": "sasl_ssl"}}, {"credentials": refs("user", "password")},
     "mechanism", "topic.security.mechanism"),
    ({"security": {"protocol": "ssl", "mechanism": "PLAIN"}}, {},
     "mechanism", "topic.security.mechanism"),
    (SASL, {}, "key_missing", "credentials.password"),
    ({}, {"credentials": refs("user")}, "credential_not_used", "credentials.user"),
    ({}, {"credentials": refs("certificate")}, "key_missing", "credentials.key"),
    ({}, {"table": "m"}, "option_not_used", "table"),
    ({}, {"cursor": {"column": "n", "overlap": 5}}, "option_not_used", "cursor.overlap"),
    ({"format": "debezium"}, {"deleted": "tombstone"}, "option_not_used", "deleted"),
    ({"format": "debezium", "key": "text"}, {}, "option_not_used", "topic.key"),
    ({}, {"deleted": "tombstone", "record_id": ["id", "shop"]}, "key_form", "topic.key"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "more", "rule", "field"), WRONG)
def test_what_contradicts_itself_is_refused(
    topic: dict[str, Any], more: dict[str, Any], rule: str, field: str
) -> None:
    """With the path, the rule and the next step; nothing that was written is quoted."""
    with pytest.raises(DeclarationError) as refused:
        declared(topic, **more)
    assert (refused.value.rule, refused.value.field) == (rule, field)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("topic", "more"),
    [
        ({"settings": {"ssl.ca.location": "/etc"}}, {}),
        ({"on_gap": "latest"}, {}),
        ({"security": {"protocol": "ssl", "verify": False}}, {}),
        ({"limits": {"answer": 0}}, {}),
        ({}, {"deleted": "gone"}),
        ({}, {"mode": "incremental"}),
        ({}, {"encoding": "utf-8"}),
        ({}, {"remote": {"region": "x"}}),
    ],
)
def test_the_list_of_options_is_closed(topic: dict[str, Any], more: dict[str, Any]) -> None:
    """No other setting of the client can be declared."""
    with pytest.raises(DeclarationError):
        declared(topic, **more)


def test_a_topic_belongs_to_its_connector() -> None:
    """Another connector has none, and this one needs one."""
    for entry in (
        {"connector": "csv", "location": "a.csv", "topic": {"name": "x"}},
        {"connector": "kafka", "location": BROKER},
        {"connector": "csv", "location": "a.csv", "deleted": "tombstone"},
        {"connector": "piped", "deleted": "tombstone"},
        {"connector": "piped", "deleted": {"header": "x", "values": ["y"]}},
    ):
        with pytest.raises(DeclarationError):
            parse_source("crm", {"record_id": "id", "fields": {"name": "name"}, **entry})
