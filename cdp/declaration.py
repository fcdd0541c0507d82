"""``cdp.yaml``: what a workspace is wired to, and who works in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from cdp.errors import Stop
from connectors.declaration import (
    DestinationDeclaration,
    SourceDeclaration,
    parse_destination,
    parse_source,
)
from connectors.errors import ConnectorError
from policies.errors import PoliciesError
from policies.organisation import Organisation, read_organisation
from policies.vocabulary import Role

VERSION = 1
_KEYS = frozenset({"version", "organisation", "sources", "destinations", "principals", "trust"})


@dataclass(frozen=True, slots=True)
class PrincipalDeclaration:
    """A person or system that works with Kith: an id, one role, one node of the tree."""

    id: str
    role: Role
    node: str
    destination: str | None = None  # for a service: the contract it reads under


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
    """

    folder: Path
    organisation: Organisation
    sources: Mapping[str, SourceDeclaration]
    destinations: Mapping[str, DestinationDeclaration]
    principals: Mapping[str, PrincipalDeclaration]
    trust: tuple[str, ...]

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
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Stop(
            "declaration_missing", "write a cdp.yaml, or run: cdp init", path=path
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Stop("declaration_unreadable", "make it valid YAML in UTF-8", path=path) from error
    return parse(content, path)


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
        sources = {n: parse_source(n, e) for n, e in _section(content, "sources", dict).items()}
        destinations = {
            n: parse_destination(n, e) for n, e in _section(content, "destinations", dict).items()
        }
        organisation = read_organisation(_section(content, "organisation", list))
    except (ConnectorError, PoliciesError) as error:
        raise Stop("declaration_wrong", str(error), path=path) from error
    trust = tuple(_section(content, "trust", list)) or tuple(sources)
    if set(trust) != set(sources):
        raise Stop("trust_incomplete", "list every source once under trust", path=path)
    principals = [
        _principal(entry, organisation, destinations)
        for entry in _section(content, "principals", list)
    ]
    by_id = {principal.id: principal for principal in principals}
    if len(by_id) != len(principals):
        raise Stop("principal_twice", "give every principal one entry", path=path)
    return Declaration(
        folder=path.parent,
        organisation=organisation,
        sources=MappingProxyType(sources),
        destinations=MappingProxyType(destinations),
        principals=MappingProxyType(by_id),
        trust=trust,
    )


def _section(content: dict[str, Any], name: str, kind: type) -> Any:
    section = content.get(name) or kind()
    if not isinstance(section, kind):
        shape = "a mapping of names" if kind is dict else "a list"
        raise Stop("declaration_wrong", f"write {shape} under {name}", key=name)
    return section


def _principal(
    entry: Any, organisation: Organisation, destinations: Mapping[str, DestinationDeclaration]
) -> PrincipalDeclaration:
    if not isinstance(entry, dict) or not {"id", "role", "node"} <= set(entry):
        raise Stop("principal_incomplete", "give every principal an id, a role and a node")
    name = str(entry["id"])
    if entry["role"] not in {role.value for role in Role}:
        raise Stop("unknown_role", f"use one of: {', '.join(Role)}", principal=name)
    if entry["node"] not in organisation.nodes:
        raise Stop("unknown_node", "use a node of the organisation", principal=name)
    contract = entry.get("destination")
    if contract is not None and contract not in destinations:
        raise Stop("unknown_destination", "use a declared destination", principal=name)
    return PrincipalDeclaration(name, Role(entry["role"]), entry["node"], contract)
