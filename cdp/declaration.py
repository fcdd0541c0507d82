"""``cdp.yaml``: what a workspace is wired to, and who works in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from cdp.errors import Stop
from connectors.declaration import SourceDeclaration, parse_source
from connectors.declaration_schema import is_identifier, require
from connectors.destination_declaration import DestinationDeclaration, parse_destination
from connectors.errors import ConnectorError, DeclarationError
from connectors.events.declaration import require_own_keys
from connectors.index_parts import FULL_BITS, IndexDefinition
from connectors.vocabulary import IDENTITY_FIELDS, PROFILE_FIELDS
from identity.catalogue import Catalogue, shipped
from identity.errors import CatalogueError
from policies.claims import RESERVED, Assignment, ClaimMapping, is_principal_id, read_claims
from policies.decision import Subject
from policies.duties import duty_conflicts
from policies.errors import PoliciesError
from policies.organisation import Organisation, read_organisation
from policies.reveal_limits import RevealLimits, read_limits
from policies.shifts import Shift, read_shifts
from policies.vocabulary import Role

VERSION = 1
# What `cdp init` begins with.
STARTER = """\
# What Kith is wired to. docs/howto/first-source.md explains every line.
version: 1
organisation:
  - {id: brand, kind: brand, name: My brand}
  - {id: store01, kind: store, parent: brand, name: First store}
sources: {}
destinations: {}
principals:
  - {id: headquarters, role: headquarters, node: brand}
"""
_KEYS = frozenset(
    {
        "version",
        "organisation",
        "identifiers",
        "indexes",
        "sources",
        "destinations",
        "principals",
        "reveals",
        "sign_in",
        "trust",
    }
)
_READABLE = "make it valid YAML in UTF-8"
# Names of cells that ingest makes itself; a mapping may not fill them.
_OWN_CELLS = ("masked_", "raw_", "record_id")


@dataclass(frozen=True, slots=True)
class PrincipalDeclaration:
    """A person or system that works with Kith, and what they may act as.

    One request acts under one assignment; where nobody says which, under the first.
    """

    id: str
    assignments: tuple[Assignment, ...]  # one at least
    destination: str | None = None  # for a service: the contract it reads under
    shifts: tuple[Shift, ...] = ()  # in the time zone of the node

    @property
    def role(self) -> Role:
        """The role of the first assignment."""
        return self.assignments[0].role

    @property
    def node(self) -> str:
        """The node of the first assignment."""
        return self.assignments[0].node


@dataclass(frozen=True, slots=True)
class Declaration:
    """The whole file, checked.

    Attributes:
        folder: where it lies; locations in it are relative to this.
        organisation: the tree of brands, regions and stores.
        sources, destinations: by name, in the order of the file.
        principals: by id.
        trust: source names, the most trusted first; where two records of a person give
            the same field, the more trusted source wins.
        identifiers: the types that ship, and the workspace's own.
        indexes: compound indexes, by name.
        claims: who signs in through the identity provider; None: nobody does.
        reveals: how much one subject may reveal, and for how long.
    """

    folder: Path
    organisation: Organisation
    sources: Mapping[str, SourceDeclaration]
    destinations: Mapping[str, DestinationDeclaration]
    principals: Mapping[str, PrincipalDeclaration]
    trust: tuple[str, ...]
    identifiers: Catalogue = field(default_factory=shipped)
    indexes: Mapping[str, IndexDefinition] = field(default_factory=dict)
    claims: ClaimMapping | None = None
    reveals: RevealLimits = field(default_factory=RevealLimits)

    def source(self, name: str) -> SourceDeclaration:
        """The source of that name; Stop if the file has none."""
        if name not in self.sources:
            raise Stop("no_such_source", f"name one of: {', '.join(self.sources)}", source=name)
        return self.sources[name]

    def principal(self, name: str) -> PrincipalDeclaration:
        """The principal of that id; Stop if the file has none."""
        if name not in self.principals:
            raise Stop(
                "no_such_principal", f"name one of: {', '.join(self.principals)}", principal=name
            )
        return self.principals[name]


def load(path: Path) -> Declaration:
    """Read and check the file.

    Raises:
        Stop: it is missing, is not YAML, or an entry is wrong; the entry is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Stop(
            "declaration_missing", "write a cdp.yaml, or run: cdp init", path=path
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Stop("declaration_unreadable", _READABLE, path=path) from error
    return parse(content_of(text, path), path)


def content_of(text: str, path: Path) -> Any:
    """What the text of a file says, not yet checked.

    Raises:
        Stop: it is not YAML, or has a key twice: YAML would keep the last, and a source be lost.
    """
    try:
        return yaml.load(text, _OnceLoader)  # noqa: S506 - a kind of SafeLoader
    except _TwiceError as error:
        step = f"write it once: line {error.line + 1} has a key that stands above already"
        raise Stop("key_twice", step, path=path) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Stop("declaration_unreadable", f"{_READABLE}{_where(error)}", path=path) from error


class _TwiceError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _OnceLoader(yaml.SafeLoader):
    """Reads YAML in which no mapping has a key twice; what is merged in (``<<``) may."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as PyYAML has it
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if (key.tag, key.value) in seen:
                    raise _TwiceError(key.start_mark.line)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _where(error: Exception) -> str:
    """Where the reader of YAML gave up; the fault is there or above. Nothing of the file."""
    mark = getattr(error, "problem_mark", None)
    return f": line {mark.line + 1}, column {mark.column + 1}, or above" if mark else ""


def parse(content: Any, path: Path) -> Declaration:
    """Check what was read from ``path``. Raises ``Stop``, naming the entry."""
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise Stop("declaration_version", f"begin the file with: version: {VERSION}", path=path)
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise Stop(
            "unknown_key", f"remove it; known are: {', '.join(sorted(_KEYS))}", key=unknown[0]
        )
    try:
        identifiers = _identifiers(_section(content, "identifiers", dict))
        sources = {
            n: parse_source(n, e, identifiers.added)
            for n, e in _section(content, "sources", dict).items()
        }
        require_own_keys({n: one.credentials for n, one in sources.items() if one.inbound})
        destinations = {
            n: parse_destination(n, e) for n, e in _section(content, "destinations", dict).items()
        }
        organisation = read_organisation(_section(content, "organisation", list))
        indexes = _indexes(_section(content, "indexes", dict))
        claims = _claims(_section(content, "sign_in", dict), organisation)
        reveals = read_limits(_section(content, "reveals", dict))
    except (CatalogueError, ConnectorError, PoliciesError) as error:
        raise Stop("declaration_wrong", str(error), path=path) from error
    for source in sources.values():
        _require_scopes(source, identifiers)
    trust = tuple(_section(content, "trust", list)) or tuple(sources)
    if not all(isinstance(name, str) for name in trust) or sorted(trust) != sorted(sources):
        raise Stop("trust_incomplete", "list every source once under trust", path=path)
    principals = [
        _principal(place, entry, organisation, destinations)
        for place, entry in enumerate(_section(content, "principals", list))
    ]
    by_id = {principal.id: principal for principal in principals}
    if len(by_id) != len(principals):
        raise Stop("principal_twice", "give every principal one entry", path=path)
    _refuse_conflicts(principals)
    return Declaration(
        folder=path.parent,
        organisation=organisation,
        sources=MappingProxyType(sources),
        destinations=MappingProxyType(destinations),
        principals=MappingProxyType(by_id),
        trust=trust,
        identifiers=identifiers,
        indexes=MappingProxyType(indexes),
        claims=claims,
        reveals=reveals,
    )


def _section(content: dict[str, Any], name: str, kind: type) -> Any:
    section = content.get(name) or kind()
    if not isinstance(section, kind):
        shape = "a mapping of names" if kind is dict else "a list"
        raise Stop("declaration_wrong", f"write {shape} under {name}", key=name)
    return section


def _identifiers(section: dict[str, Any]) -> Catalogue:
    known = shipped().with_types(section)
    for name in sorted(known.added):
        if name in IDENTITY_FIELDS | PROFILE_FIELDS or name.startswith(_OWN_CELLS):
            raise CatalogueError(
                f"identifiers.{name}", "name_taken", "Choose another name: Kith uses this one."
            )
    return known


def _indexes(section: dict[Any, Any]) -> dict[str, IndexDefinition]:
    found: dict[str, IndexDefinition] = {}
    for name, entry in section.items():
        if not isinstance(name, str) or not is_identifier(name):
            raise DeclarationError(
                "indexes", "name_not_usable", "Use lower-case letters, digits and _."
            )
        checked = require("index", name, entry)
        parts = tuple(checked["parts"])
        found[name] = IndexDefinition.of(name, parts, checked.get("bits", FULL_BITS))
    if len({one.label for one in found.values()}) != len(found):
        raise DeclarationError("indexes", "index_twice", "Declare each combination once.")
    return found


def _require_scopes(source: SourceDeclaration, identifiers: Catalogue) -> None:
    """A type of the workspace's own is mapped with a scope exactly where it has one."""
    for name in sorted(identifiers.added & set(source.fields)):
        scoped = identifiers[name].scoped
        if any((spec.scope is not None) != scoped for spec in source.fields[name]):
            if scoped:
                scope = identifiers[name].scope
                rule, step = "scope_missing", f"give the field a scope: its {scope}"
            else:
                rule, step = "scope_not_used", "remove the scope: identifiers says it has none"
            raise Stop(rule, step, source=source.name, field=name)


def _claims(section: dict[Any, Any], organisation: Organisation) -> ClaimMapping | None:
    unknown = sorted(map(str, set(section) - {"oidc"}))
    if unknown:
        raise Stop("unknown_key", "remove it; known is: oidc", key=f"sign_in.{unknown[0]}")
    return read_claims(section["oidc"], organisation) if section else None


def _refuse_conflicts(principals: list[PrincipalDeclaration]) -> None:
    """Separation of duties, whatever the spelling of the ids."""
    held = (Subject(one.id, a.role.value, a.node) for one in principals for a in one.assignments)
    for conflict in duty_conflicts(held):
        raise Stop(
            f"{conflict.principal} is {' and '.join(conflict.roles)}, which nobody is together",
            "give each of these roles to somebody else",
            key="principals",
        )


def _principal(
    place: int,
    entry: Any,
    organisation: Organisation,
    destinations: Mapping[str, DestinationDeclaration],
) -> PrincipalDeclaration:
    if not isinstance(entry, dict) or "id" not in entry:
        step = "give every principal an id, a role and a node"
        raise Stop("principal_incomplete", step, key=f"principals[{place}]")
    name = str(entry["id"])
    if not is_principal_id(name):
        step = (
            "use up to 128 of A-Z a-z 0-9 . _ : -, no phone or ID number, and none of: "
            f"{', '.join(sorted(RESERVED))}"
        )
        raise Stop("principal_id_unusable", step, key="principals")
    assignments = _assignments(name, entry, organisation)
    contract = entry.get("destination")
    if contract is not None and contract not in destinations:
        raise Stop("unknown_destination", "use a declared destination", principal=name)
    if any(one.role is Role.SERVICE for one in assignments) and len(assignments) > 1:
        raise Stop("service_with_roles", "give a service one role and node", principal=name)
    shifts = _shifts(name, entry["shift"], assignments, organisation) if "shift" in entry else ()
    return PrincipalDeclaration(name, assignments, contract, shifts)


def _shifts(
    name: str, entry: Any, assignments: tuple[Assignment, ...], organisation: Organisation
) -> tuple[Shift, ...]:
    try:
        shifts = read_shifts(f"shift of {name}", entry)
    except PoliciesError as error:
        raise Stop("shift_wrong", str(error), principal=name) from error
    for one in assignments:
        if organisation.time_zone(one.node) is None:
            step = f"give the node {one.node}, or one above it, a time_zone"
            raise Stop("shift_without_time_zone", step, principal=name)
    return shifts


def _assignments(
    name: str, entry: dict[Any, Any], organisation: Organisation
) -> tuple[Assignment, ...]:
    """What a principal may act as: ``role`` and ``node``, or several of them as ``roles``."""
    several = entry.get("roles")
    alone = {"role", "node"} & set(entry)
    if ("roles" in entry and alone) or ("roles" not in entry and len(alone) < 2):
        raise Stop(
            "principal_incomplete",
            "give every principal an id, and a role and a node, or a list of roles",
            principal=name,
        )
    lines = several if "roles" in entry else [{word: entry[word] for word in alone}]
    if not isinstance(lines, list) or not lines:
        raise Stop("principal_incomplete", "list role and node under roles", principal=name)
    found = tuple(_assignment(name, line, organisation) for line in lines)
    if len(set(found)) != len(found):
        raise Stop("assignment_twice", "write each role and node once", principal=name)
    return found


def _assignment(name: str, line: Any, organisation: Organisation) -> Assignment:
    if not isinstance(line, dict) or set(line) != {"role", "node"}:
        raise Stop("principal_incomplete", "give each of roles a role and a node", principal=name)
    role, node = line["role"], line["node"]
    if role not in [one.value for one in Role]:
        raise Stop("unknown_role", f"use one of: {', '.join(Role)}", principal=name)
    if not isinstance(node, str) or node not in organisation.nodes:
        raise Stop("unknown_node", "use a node of the organisation", principal=name)
    return Assignment(Role(role), node)
