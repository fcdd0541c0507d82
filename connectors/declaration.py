"""One ``sources:`` entry of cdp.yaml, as a frozen object.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here. Unknown keys are refused. ``digest`` notices a changed mapping.
"""

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from connectors.attribute_declaration import AttributeSpec, parse_attributes
from connectors.columns import DerivedColumn, file_columns, parse_columns, require_use, users_of
from connectors.consent_declaration import ConsentSpec, parse_consent
from connectors.contract_terms import Contract, parse_contract, require_rows_only
from connectors.credentials import Reference, parse_credentials
from connectors.declaration_digest import digest_of
from connectors.declaration_schema import require, require_name, require_plain
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

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
KEEP_REJECTED: Final = 400  # days that a rejected row is kept, as long as an event
# Where rows lie and how they are reached says nothing of what they mean.
_NO_MEANING: Final = frozenset(
    {"location", "feed", "http", "topic", "hook", "credentials", "remote", "contract", "schedule"}
    | {"keep_events", "keep_rejected"}
)
_AS_WRITTEN: Final = ("sheet", "store", "keep_events", "keep_rejected")
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
    keep_rejected: int = KEEP_REJECTED  # days
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
        return digest_of(self, leave_out=_NO_MEANING | _unused(self))


def parse_source(name: str, entry: object, identifiers: Collection[str] = ()) -> SourceDeclaration:
    """Read one entry of ``sources:``.

    Args:
        name: of the source.
        entry: as YAML gave it.
        identifiers: the workspace's own identifier types; a mapping may name them too.

    Raises:
        DeclarationError: naming path, rule and next step.
    """
    require_name(name)
    require_plain(name, entry)
    known = IDENTITY_FIELDS.union(identifiers)
    _require_known_fields(name, entry, known)
    raw = require("source", name, entry)
    attributes = parse_attributes(
        name, "attributes", raw.get("attributes", NOTHING), known | PROFILE_FIELDS
    )
    consent = parse_consent(name, raw["consent"]) if "consent" in raw else None
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
        **{one: raw[one] for one in _AS_WRITTEN if one in raw},
        consent=consent,
        credentials=parse_credentials(name, raw.get("credentials", NOTHING)),
        remote=HERE if raw["connector"] in {HTTP, KAFKA} else parse_remote(name, raw),
        derived=derived,
        contract=parse_contract(name, raw, {*raw.get("fields", ()), *attributes}),
        schedule=parse_schedule(name, raw.get("schedule")),
        inbound=parse_inbound(name, raw, consent),
        feed=parse_feed(name, raw),
        http=parse_http(name, raw),
        topic=parse_topic(name, raw, derived),
        hook=parse_hook(name, raw),
        installed=parse_installed(raw),
    )
    if declaration.inbound is not None or declaration.hook is not None:
        require_rows_only(name, declaration.contract)
    _require_filled(name, declaration.fields)
    require_use(name, declaration.derived, declaration.used_columns(), declaration.record_id)
    return declaration


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


def _unused(declaration: SourceDeclaration) -> frozenset[str]:
    """The later parts that hold their default: older declarations keep their digest."""
    return frozenset(
        part.name
        for part in dataclasses.fields(declaration)
        if part.name in _ADDED and getattr(declaration, part.name) == part.default
    )
