"""What tells one declaration from another, however it is spelled."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from connectors.digests import sha256_hex

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DIGEST_VERSION: Final = 1


def digest_of(declaration: "DataclassInstance", leave_out: frozenset[str] = frozenset()) -> str:
    """SHA-256, 64 hex digits, of the parts of a declaration but those left out."""
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
