"""How a topic of a Kafka cluster is read: brokers, security, what a message says, limits.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here. Of the client's several hundred settings only those that are named here can be declared.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.columns import DerivedColumn, file_columns
from connectors.errors import DeclarationError

KAFKA: Final = "kafka"
TOMBSTONE: Final = "tombstone"
"""What ``deleted`` says where a message without a value means that its record is gone."""
Format = Literal["json", "debezium"]
KeyForm = Literal["text", "json"]
OnGap = Literal["stop", "earliest"]
Protocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
MEGABYTE: Final = 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's own rule of names of topics
_BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")
_SIGNED_IN: Final = ("user", "password")
_CERTIFICATES: Final = ("ca", "certificate", "key", "key_password")


@dataclass(frozen=True, slots=True)
class SecuritySpec:
    """How the brokers are reached; the secrets are credentials of the source."""

    protocol: Protocol = "ssl"
    mechanism: Mechanism | None = None  # where one signs in

    @property
    def signs_in(self) -> bool:
        """Whether user and password are sent."""
        return self.protocol.startswith("sasl")

    @property
    def is_sealed(self) -> bool:
        """Whether what is sent cannot be read on the way."""
        return self.protocol.endswith("ssl")


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """What bounds a reading. Times are seconds."""

    answer: float = 15.0  # for one question to the brokers, the connection included
    silence: float = 30.0  # between two messages, while more are to come
    message_mb: int = 8  # a larger message is a rejection


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """All of it."""

    brokers: str  # host:port, commas between
    name: str
    format: Format = "json"
    key: KeyForm = "text"
    tombstones: bool = False  # a message without a value: its record is gone
    on_gap: OnGap = "stop"
    security: SecuritySpec = SecuritySpec()
    limits: TopicLimits = TopicLimits()

    def asked(self) -> str:
        """What a state is a place in: where this differs, reading begins anew."""
        return "\n".join((self.name, self.format, self.key, str(self.tombstones)))


def parse_topic(
    source: str, raw: Mapping[str, Any], derived: tuple[DerivedColumn, ...]
) -> TopicSpec | None:
    """Read what the entry of a source says of a topic; None: it is of another connector.

    Args:
        source: its name.
        raw: the entry, valid by the schema.
        derived: its columns that are made of others.

    Raises:
        DeclarationError: one key demands another, or excludes it.
    """
    if raw["connector"] != KAFKA:
        return None
    said = raw["topic"]
    spec = TopicSpec(
        brokers=_brokers(source, raw["location"]),
        name=said["name"],
        format=said.get("format", "json"),
        key=said.get("key", "json" if said.get("format") == "debezium" else "text"),
        tombstones=raw.get("deleted") == TOMBSTONE,
        on_gap=said.get("on_gap", "stop"),
        security=SecuritySpec(**said.get("security", {"protocol": "ssl"})),
        limits=TopicLimits(**said.get("limits", {})),
    )
    if not _NAME.fullmatch(spec.name) or spec.name in {".", ".."}:
        step = "Write letters, digits, dots, underscores and hyphens."
        raise DeclarationError(source, "topic_form", step, field="topic.name")
    cursor = raw.get("cursor")
    if isinstance(cursor, Mapping) and cursor.get("overlap"):
        step = "Remove it: offsets say where a topic is read on from."
        raise DeclarationError(source, "option_not_used", step, field="cursor.overlap")
    _require_meaning(source, raw, spec, derived)
    _require_security(source, raw, spec)
    return spec


def _brokers(source: str, text: str) -> str:
    brokers = [one.strip() for one in text.split(",")]
    for one in brokers:
        found = _BROKER.fullmatch(one)
        if found is None or not 0 < int(found[2]) < 65536:
            step = "Write host:port of one broker or more, commas between, and nothing before."
            raise DeclarationError(source, "brokers_form", step, field="location")
    return ",".join(brokers)


def _require_meaning(
    source: str, raw: Mapping[str, Any], spec: TopicSpec, derived: tuple[DerivedColumn, ...]
) -> None:
    if spec.format == "debezium":
        if "deleted" in raw or spec.key != "json":
            step = "Remove it: a change event says so itself, and its key is JSON."
            field = "deleted" if "deleted" in raw else "topic.key"
            raise DeclarationError(source, "option_not_used", step, field=field)
        return
    if "table" in raw:
        step = "Remove it, or declare topic.format: debezium."
        raise DeclarationError(source, "option_not_used", step, field="table")
    named = raw["record_id"]
    ids = file_columns(derived, (named,) if isinstance(named, str) else tuple(named))
    if spec.tombstones and spec.key == "text" and len(ids) != 1:
        step = (
            "Declare topic.key: json. A key of text is the record id only where it is one column."
        )
        raise DeclarationError(source, "key_form", step, field="topic.key")


def _require_security(source: str, raw: Mapping[str, Any], spec: TopicSpec) -> None:
    security = spec.security
    given = set(raw.get("credentials", {}))
    wanted = set(_SIGNED_IN) if security.signs_in else set()
    wanted |= {"certificate", "key"} if given & {"certificate", "key", "key_password"} else set()
    for name in sorted(wanted - given):
        step = "Write where the secret lies: env:SOURCE_NAME, file:PATH or ring:NAME."
        raise DeclarationError(source, "key_missing", step, field=f"credentials.{name}")
    allowed = wanted | (set(_CERTIFICATES) if security.is_sealed else set())
    for name in sorted(given - allowed):
        step = f"Remove it: {security.protocol} does not use it."
        raise DeclarationError(source, "credential_not_used", step, field=f"credentials.{name}")
    if security.signs_in != (security.mechanism is not None):
        step = "Name a mechanism where the protocol is sasl_ssl or sasl_plaintext, and only there."
        raise DeclarationError(source, "mechanism", step, field="topic.security.mechanism")
    if not security.is_sealed and not all(map(_is_here, spec.brokers.split(","))):
        step = "Use ssl or sasl_ssl. Without it only brokers of this machine can be read."
        raise DeclarationError(source, "plain_text", step, field="topic.security.protocol")


def _is_here(broker: str) -> bool:
    host = broker.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
