"""The tree brand > region > store, frozen.

Guarantees:

1. What was accepted is a tree: every path ends at a brand, no id is used twice.
2. A node covers a store only when the node is on the store's path. An unknown
   node covers nothing, and nothing covers an unknown store.
3. Ids are path segments of ``[A-Za-z0-9_-]``; names are free text and decide nothing.
4. A node's time zone and networks are its own, or those of the nearest node above that names
   any. A zone that is not known, a network with bits beside its prefix, and networks that hold
   every address of a kind, alone or together, are refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses, ip_network
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from policies.errors import OrganisationRefusedError, quoted
from policies.vocabulary import NodeKind

_SOURCE: Final = "organisation"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEYS: Final = frozenset({"id", "kind", "name", "parent", "time_zone", "networks"})
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_MOST_NETWORKS: Final = 64
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_LAST_32_BITS: Final = 2**32 - 1
Network = IPv4Network | IPv6Network
_PARENTS: Final = MappingProxyType(
    {
        NodeKind.BRAND: frozenset[NodeKind](),
        NodeKind.REGION: frozenset({NodeKind.BRAND, NodeKind.REGION}),
        NodeKind.STORE: frozenset({NodeKind.BRAND, NodeKind.REGION}),
    }
)


def _refuse(rule: str, next_step: str) -> OrganisationRefusedError:
    return OrganisationRefusedError(_SOURCE, rule, next_step)


@dataclass(frozen=True, slots=True)
class Node:
    """One brand, region or store."""

    id: str
    kind: NodeKind
    name: str
    parent: str | None
    time_zone: ZoneInfo | None = None
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Organisation:
    """A checked tree; build it with ``read_organisation``."""

    nodes: Mapping[str, Node]
    _paths: Mapping[str, tuple[str, ...]]
    _stores: Mapping[str, frozenset[str]]
    sole_brand: str | None  # the one brand above everything else; None with several brands

    def covers(self, node: str, store: str) -> bool:
        """Say whether ``store`` is a store at or below ``node``."""
        return store in self.stores_under(node)

    def stores_under(self, node: str) -> frozenset[str]:
        """Return the ids of the stores at or below ``node``; none for an unknown node."""
        return self._stores.get(node, frozenset())

    def path(self, node: str) -> str:
        """Return the ids from the brand down to ``node``, joined by ``/``."""
        return "/".join(self._paths[node])

    def time_zone(self, node: str) -> ZoneInfo | None:
        """Return the time zone at a node; None where neither it nor a node above names one."""
        zones = (self.nodes[one].time_zone for one in reversed(self._paths.get(node, ())))
        return next((zone for zone in zones if zone is not None), None)

    def networks(self, node: str) -> tuple[Network, ...]:
        """Return the networks of a node; none where neither it nor a node above names any."""
        named = (self.nodes[one].networks for one in reversed(self._paths.get(node, ())))
        return next((networks for networks in named if networks), ())


def read_organisation(entries: Iterable[Mapping[str, object]]) -> Organisation:
    """Build the tree from the ``organisation`` list of cdp.yaml.

    Each entry has ``id``, ``kind`` and ``name``; every kind but a brand has a
    ``parent``. A region may stand under another region, a store directly under
    a brand. ``time_zone`` and ``networks`` may be given to any.

    Raises:
        OrganisationRefusedError: the entries do not form a tree.
    """
    nodes: dict[str, Node] = {}
    for position, entry in enumerate(entries, start=1):
        node = _read_node(entry, position)
        if node.id in nodes:
            raise _refuse(f"the id {quoted(node.id)} is used twice", "give every node its own id")
        nodes[node.id] = node
    if not nodes:
        raise _refuse("there is no node", "declare at least one brand")
    for node in nodes.values():
        _check_parent(node, nodes)
    paths = {node: _path(node, nodes) for node in nodes}
    stores: dict[str, set[str]] = {node: set() for node in nodes}
    for node_id, path in paths.items():
        if nodes[node_id].kind is NodeKind.STORE:
            for above in path:
                stores[above].add(node_id)
    brands = [node.id for node in nodes.values() if node.kind is NodeKind.BRAND]
    return Organisation(
        nodes=MappingProxyType(nodes),
        _paths=MappingProxyType(paths),
        _stores=MappingProxyType({node: frozenset(found) for node, found in stores.items()}),
        sole_brand=brands[0] if len(brands) == 1 else None,
    )


def _read_node(entry: object, position: int) -> Node:
    where = f"entry {position}"
    if not isinstance(entry, Mapping):
        raise _refuse(f"{where} is not a mapping", "write id, kind, name and parent")
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise _refuse(f"{where} has the unknown key {quoted(unknown[0])}", "remove it")
    node_id, name, parent = entry.get("id"), entry.get("name"), entry.get("parent")
    if not isinstance(node_id, str) or not _ID.fullmatch(node_id):
        raise _refuse(
            f"{where} has the id {quoted(node_id)}",
            "use 1 to 64 of A-Z, a-z, 0-9, _ and -, quoted if it is all digits",
        )
    if not isinstance(name, str) or not name.strip():
        raise _refuse(f"node {node_id} has no name", "give it a name of any text")
    if parent is not None and not isinstance(parent, str):
        raise _refuse(f"node {node_id} has the parent {quoted(parent)}", "name a node by its id")
    zone = None if "time_zone" not in entry else _read_zone(node_id, entry["time_zone"])
    networks = () if "networks" not in entry else _read_networks(node_id, entry["networks"])
    return Node(node_id, _read_kind(node_id, entry.get("kind")), name, parent, zone, networks)


def _read_zone(node_id: str, word: object) -> ZoneInfo:
    try:
        if isinstance(word, str) and _ZONE.fullmatch(word):
            return ZoneInfo(word)
    except (KeyError, ValueError, OSError):  # not there, not a zone, a folder of zones
        pass
    raise _refuse(
        f"node {node_id} has the unknown time zone {quoted(word)}",
        "use a name of the IANA time zone database, such as Asia/Shanghai",
    )


def _read_networks(node_id: str, words: object) -> tuple[Network, ...]:
    if not isinstance(words, list) or not 0 < len(words) <= _MOST_NETWORKS:
        raise _refuse(
            f"node {node_id} has networks that are no list of 1 to {_MOST_NETWORKS}",
            "write them as [10.1.0.0/16], or leave the key out",
        )
    found = tuple(_read_network(node_id, word) for word in words)
    if _holds_all(found):
        raise _refuse(
            f"node {node_id} has networks that hold every address between them",
            "name the networks of the node, and no others",
        )
    return found


def _holds_all(networks: Iterable[Network]) -> bool:
    """Say whether every IPv4 or every IPv6 address is in one of them.

    IPv4 addresses may be written in IPv6 (RFC 4291, section 2.5.5.2): whoever holds all those
    holds every IPv4 address.
    """
    fourth, sixth = list[IPv4Network](), list[IPv6Network]()
    for one in networks:
        if isinstance(one, IPv4Network):
            fourth.append(one)
        elif one.subnet_of(_MAPPED):
            plain = IPv4Address(int(one.network_address) & _LAST_32_BITS)
            fourth.append(IPv4Network((plain, one.prefixlen - _MAPPED.prefixlen)))
        elif one.supernet_of(_MAPPED):
            return True
        else:
            sixth.append(one)
    joined: tuple[Network, ...] = (*collapse_addresses(fourth), *collapse_addresses(sixth))
    return any(not one.prefixlen for one in joined)


def _read_network(node_id: str, word: object) -> Network:
    try:
        found = ip_network(word) if isinstance(word, str) and "/" in word else None
    except ValueError:
        found = None
    if found is None or not found.prefixlen:
        raise _refuse(
            f"node {node_id} has the network {quoted(word)}",
            "write an IPv4 or IPv6 prefix of at least one bit, such as 10.1.0.0/16, whose other "
            "bits are 0",
        )
    return found


def _read_kind(node_id: str, word: object) -> NodeKind:
    try:
        return NodeKind(word)  # type: ignore[arg-type]  # the enum itself refuses what is no word
    except ValueError:
        kinds = ", ".join(NodeKind)
        raise _refuse(
            f"node {node_id} has the unknown kind {quoted(word)}", f"use one of {kinds}"
        ) from None


def _check_parent(node: Node, nodes: Mapping[str, Node]) -> None:
    if node.kind is NodeKind.BRAND:
        if node.parent is not None:
            raise _refuse(f"the brand {node.id} has a parent", "a brand is a root: remove it")
        return
    if node.parent is None:
        raise _refuse(f"the {node.kind} {node.id} has no parent", "name the node above it")
    above = nodes.get(node.parent)
    if above is None:
        raise _refuse(
            f"node {node.id} has the unknown parent {quoted(node.parent)}",
            "declare that node, or correct the id",
        )
    if above.kind not in _PARENTS[node.kind]:
        raise _refuse(
            f"the {node.kind} {node.id} stands under the {above.kind} {above.id}",
            "regions and stores stand under a brand or a region",
        )


def _path(start: str, nodes: Mapping[str, Node]) -> tuple[str, ...]:
    path: list[str] = []
    seen: set[str] = set()
    at: str | None = start
    while at is not None:
        if at in seen:
            raise _refuse(f"node {at} is above itself", "break the cycle of parents")
        seen.add(at)
        path.append(at)
        at = nodes[at].parent
    return tuple(reversed(path))
