"""One ``sources:`` or ``destinations:`` entry of cdp.yaml, as a frozen object.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here. Unknown keys are refused. ``digest`` notices a changed mapping.
"""

import dataclasses
import difflib
import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from connectors.columns import DerivedColumn, file_columns, parse_columns, require_use, users_of
from connectors.contract_terms import Contract, parse_contract
from connectors.credentials import Reference, parse_credentials
from connectors.date_formats import names_a_day
from connectors.declaration_schema import is_identifier, require, require_plain
from connectors.digests import sha256_hex
from connectors.errors import DeclarationError
from connectors.events.declaration import KEEP_EVENTS, RECORD_ID, InboundSpec, parse_inbound
from connectors.feed_declaration import NO_FEED, FeedSpec, parse_feed
from connectors.hooks.declaration import HookSpec, parse_hook
from connectors.http_declaration import HTTP, HttpSpec, parse_http
from connectors.installed_declaration import Installed, parse_installed
from connectors.remote import HERE, Remote, parse_remote
from connectors.schedule import Schedule, parse_schedule
from connectors.topic_declaration import KAFKA, TopicSpec, parse_topic
from connectors.vocabulary import IDENTITY_FIELDS, PROFILE_FIELDS

DIGEST_VERSION: Final = 1
AttributeType = Literal["integer", "decimal", "date", "boolean", "category"]
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
# Where rows lie and how they are reached says nothing of what they mean.
_NO_MEANING: Final = frozenset(
    {"location", "feed", "http", "topic", "hook", "credentials", "remote", "contract", "schedule"}
    | {"keep_events"}
)
# Parts that came after digest version 1: absent from the digest while they hold their default.
_ADDED: Final[frozenset[str]] = frozenset({"derived", "inbound", "installed"})


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """Where values of one identity field come from. Each column gives values of its own."""

    columns: tuple[str, ...]
    scope: str | None = None
    formats: tuple[str, ...] = ()  # of dates; of phones, the country of those that name none
    split: str | None = None  # the separator characters, without brackets


@dataclass(frozen=True, slots=True)
class AttributeSpec:
    """A typed, non-identity column."""

    column: str
    type: AttributeType
    formats: tuple[str, ...] = ()  # date only


@dataclass(frozen=True, slots=True)
class OptOut:
    """A cell that holds one of ``values`` (case ignored) refuses ``purposes``."""

    column: str
    values: tuple[str, ...]
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsentSpec:
    """On what ground, and for which purposes, the people of a source may be processed."""

    basis: str
    purposes: tuple[str, ...]
    opt_out: tuple[OptOut, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDeclaration:
    """One source. ``consent`` None means that the source states no ground: no purpose holds."""

    name: str
    connector: str
    location: str  # relative to the folder of cdp.yaml, or absolute
    record_id: tuple[str, ...]
    fields: Mapping[str, tuple[FieldSpec, ...]]
    attributes: Mapping[str, AttributeSpec]
    encoding: str = "utf-8"
    delimiter: str = ","
    sheet: str | None = None
    store: str | None = None
    consent: ConsentSpec | None = None
    # name -> where the secret lies
    credentials: Mapping[str, Reference] = dataclasses.field(default_factory=lambda: NOTHING)
    remote: Remote = HERE  # the way to a file elsewhere
    derived: tuple[DerivedColumn, ...] = ()
    contract: Contract | None = None
    schedule: Schedule | None = None
    inbound: InboundSpec | None = None  # what holds where rows are sent instead of read
    keep_events: int = KEEP_EVENTS  # days
    feed: FeedSpec = NO_FEED  # how it is followed; a file is read from end to end
    http: HttpSpec | None = None  # how an HTTP API is asked
    topic: TopicSpec | None = None  # how a topic is read
    hook: HookSpec | None = None  # what holds where rows are sent as webhooks
    installed: Installed | None = None  # of a connector that is not ours

    def columns(self) -> tuple[str, ...]:
        """Every column the file must have, each once, those of the mapping first."""
        return file_columns(self.derived, self.used_columns())

    def called(self, column: str) -> str:
        """A column of the file, with the derived columns that it is for."""
        users = users_of(self.derived, column)
        kind = "columns" if len(users) > 1 else "column"
        return f"{column} (for the derived {kind} {', '.join(users)})" if users else column

    def used_columns(self) -> tuple[str, ...]:
        """Every column the mapping names, derived or not, in the order of the declaration."""
        names = [*self.record_id, *([self.store] if self.store else [])]
        for specs in self.fields.values():
            for spec in specs:
                names += spec.columns
        names += [spec.column for spec in self.attributes.values()]
        if self.consent:
            names += [rule.column for rule in self.consent.opt_out]
        if self.contract:
            names += self.contract.columns()
        return tuple(dict.fromkeys(names))

    def digest(self) -> str:
        """SHA-256, 64 hex digits, of what the declaration means.

        How it is spelled, the order of its keys and where the file lies do not count.
        """
        return _digest(self, leave_out=_NO_MEANING | _unused(self))


@dataclass(frozen=True, slots=True)
class DestinationDeclaration:
    """One destination, and the only fields it may ever receive."""

    name: str
    connector: str
    location: str  # URL of a webhook; file, relative to the folder of cdp.yaml
    purpose: str
    fields: tuple[str, ...]
    secret: str | None = None  # name of the signing secret in the key ring
    allow_http: bool = False
    timeout: float = 10.0  # seconds
    bom: bool = False

    def digest(self) -> str:
        """SHA-256, 64 hex digits, of the whole declaration: another receiver is a change."""
        return _digest(self)


def parse_source(name: str, entry: object, identifiers: Collection[str] = ()) -> SourceDeclaration:
    """Read one entry of ``sources:``.

    Args:
        name: of the source.
        entry: as YAML gave it.
        identifiers: the workspace's own identifier types; a mapping may name them too.

    Raises:
        DeclarationError: naming path, rule and next step.
    """
    _require_name(name)
    require_plain(name, entry)
    known = IDENTITY_FIELDS.union(identifiers)
    _require_known_fields(name, entry, known)
    raw = require("source", name, entry)
    attributes = _attributes(name, raw.get("attributes", NOTHING), known | PROFILE_FIELDS)
    consent = _consent(name, raw["consent"]) if "consent" in raw else None
    derived = parse_columns(name, raw.get("columns", NOTHING))
    declaration = SourceDeclaration(
        name=name,
        connector=raw["connector"],
        location=raw.get("location", ""),
        record_id=_names(raw["record_id"]) if "record_id" in raw else RECORD_ID,
        fields=_fields(raw.get("fields", NOTHING)),
        attributes=attributes,
        encoding=raw.get("encoding", "utf-8"),
        delimiter=raw.get("delimiter", "\t" if raw["connector"] == "tsv" else ","),
        sheet=raw.get("sheet"),
        store=raw.get("store"),
        consent=consent,
        credentials=parse_credentials(name, raw.get("credentials", NOTHING)),
        remote=HERE if raw["connector"] in {HTTP, KAFKA} else parse_remote(name, raw),
        derived=derived,
        contract=parse_contract(name, raw, {*raw.get("fields", ()), *attributes}),
        schedule=parse_schedule(name, raw.get("schedule")),
        inbound=parse_inbound(
            name, raw, consent, lambda one, spec: _attribute(name, one, spec, frozenset())
        ),
        keep_events=raw.get("keep_events", KEEP_EVENTS),
        feed=parse_feed(name, raw),
        http=parse_http(name, raw),
        topic=parse_topic(name, raw, derived),
        hook=parse_hook(name, raw),
        installed=parse_installed(raw),
    )
    _require_filled(name, declaration.fields)
    require_use(name, declaration.derived, declaration.used_columns(), declaration.record_id)
    return declaration


def parse_destination(name: str, entry: object) -> DestinationDeclaration:
    """Read one entry of ``destinations:``.

    Raises:
        DeclarationError: naming path, rule and next step.
    """
    _require_name(name)
    raw = require("destination", name, entry)
    declaration = DestinationDeclaration(**{**raw, "name": name, "fields": tuple(raw["fields"])})
    if declaration.connector == "webhook":
        require_web_address(declaration)
    return declaration


def require_web_address(declaration: DestinationDeclaration) -> SplitResult:
    """Return the parts of a webhook's URL.

    Raises:
        DeclarationError: when it is not http(s), carries a password, or is http to another
            machine without ``allow_http``.
    """
    name = declaration.name
    try:
        url = urlsplit(declaration.location)
        host, _ = url.hostname, url.port  # a bad port raises
    except ValueError:
        host, url = None, urlsplit("")
    spaced = any(letter.isspace() for letter in declaration.location)
    if url.scheme not in {"http", "https"} or not host or spaced:
        raise DeclarationError(
            name, "not_a_web_address", "Write a URL that begins with https://.", field="location"
        )
    if url.username is not None or url.fragment:
        raise DeclarationError(
            name, "address_parts", "Remove the user name and the part after #.", field="location"
        )
    if url.scheme == "http" and not declaration.allow_http and not _is_loopback(host):
        raise DeclarationError(
            name, "plain_http", "Use https://, or declare allow_http: true.", field="location"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_name(name: str) -> None:
    if not is_identifier(name):
        raise DeclarationError(
            "(unnamed)",
            "name_form",
            "Name it with lower-case letters, digits and _, beginning with a letter, at most 63.",
        )


def _require_known_fields(name: str, entry: object, known: frozenset[str]) -> None:
    fields = entry.get("fields") if isinstance(entry, Mapping) else None
    for field in fields if isinstance(fields, Mapping) else ():
        if isinstance(field, str) and field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            advice = f"Did you mean {near[0]}? " if near else ""
            raise DeclarationError(
                name,
                "unknown_field",
                f"{advice}Known here: {', '.join(sorted(known))}. A new identifier type is "
                "listed under identifiers in cdp.yaml first.",
                field=f"fields.{field}",
            )


def _require_filled(name: str, fields: Mapping[str, tuple[FieldSpec, ...]]) -> None:
    """Refuse what a draft left to a person: equal scopes would join what lies in different ones."""
    for field, specs in fields.items():
        if any(spec.scope and spec.scope[0] == "<" and spec.scope[-1] == ">" for spec in specs):
            step = "Write where the identifier is unique, without < and >."
            raise DeclarationError(name, "scope_to_fill_in", step, field=f"fields.{field}")
        if any(one[0] == "<" and one[-1] == ">" for spec in specs for one in spec.formats):
            step = "Write how the days are written, such as %d/%m/%Y."
            raise DeclarationError(name, "format_to_fill_in", step, field=f"fields.{field}")


def _names(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _fields(raw: Mapping[str, Any]) -> Mapping[str, tuple[FieldSpec, ...]]:
    return MappingProxyType({name: _field_specs(spec) for name, spec in raw.items()})


def _field_specs(value: Any) -> tuple[FieldSpec, ...]:
    return tuple(_field_spec(one) for one in (value if isinstance(value, list) else [value]))


def _field_spec(value: str | dict[str, Any]) -> FieldSpec:
    if isinstance(value, str):
        return FieldSpec((value,))
    split = value.get("split")
    return FieldSpec(
        columns=_names(value["column"] if "column" in value else value["columns"]),
        scope=value.get("scope"),
        formats=(value["country"],) if "country" in value else tuple(value.get("formats", ())),
        split=split[1:-1] if split else None,
    )


def _attributes(
    source: str, raw: Mapping[str, Any], taken: frozenset[str]
) -> Mapping[str, AttributeSpec]:
    found = {name: _attribute(source, name, spec, taken) for name, spec in raw.items()}
    return MappingProxyType(found)


def _attribute(source: str, name: str, raw: dict[str, Any], taken: frozenset[str]) -> AttributeSpec:
    path = f"attributes.{name}"
    if name in taken:
        raise DeclarationError(
            source, "name_taken", "Map it under fields, or choose another name.", field=path
        )
    formats = tuple(raw.get("formats", ()))
    if formats and raw["type"] != "date":
        raise DeclarationError(
            source, "formats_without_date", "Only a date has formats: remove them.", field=path
        )
    for one in formats:
        if not names_a_day(one):
            raise DeclarationError(
                source, "date_incomplete", "Name year, month and day in each format.", field=path
            )
    return AttributeSpec(raw["column"], raw["type"], formats)


def _consent(source: str, raw: dict[str, Any]) -> ConsentSpec:
    purposes = tuple(raw["purposes"])
    written = raw.get("opt_out", [])
    rules = []
    for rule in written if isinstance(written, list) else [written]:
        refused = tuple(rule.get("purposes", purposes))
        if not set(refused) <= set(purposes):
            raise DeclarationError(
                source,
                "purpose_not_granted",
                "Name only purposes that consent.purposes lists.",
                field="consent.opt_out.purposes",
            )
        rules.append(OptOut(rule["column"], tuple(rule["values"]), refused))
    return ConsentSpec(raw["basis"], purposes, tuple(rules))


def _unused(declaration: SourceDeclaration) -> frozenset[str]:
    """The later parts that hold their default: older declarations keep their digest."""
    return frozenset(
        part.name
        for part in dataclasses.fields(declaration)
        if part.name in _ADDED and getattr(declaration, part.name) == part.default
    )


def _digest(
    declaration: SourceDeclaration | DestinationDeclaration,
    leave_out: frozenset[str] = frozenset(),
) -> str:
    plain = {part: said for part, said in _plain(declaration).items() if part not in leave_out}
    plain["digest_version"] = DIGEST_VERSION
    text = json.dumps(plain, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return sha256_hex([text.encode("ascii")])


def _plain(node: Any) -> Any:
    if dataclasses.is_dataclass(node):
        return {f.name: _plain(getattr(node, f.name)) for f in dataclasses.fields(node)}
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, Iterable) and not isinstance(node, str):
        return [_plain(value) for value in node]
    return node
