"""What a source declares whose rows another system sends as webhooks.

The form is checked by ``declaration.schema.json``; what one key demands of another is checked
here.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.errors import DeclarationError

WEBHOOK: Final = "webhook"
SECRETS: Final = ("secret", "former_secret")
"""Credentials: the secret that is signed with and, while it is replaced, the one before."""
RATE: Final = 200  # messages a second, unless declared otherwise
TOLERANCE: Final = 300  # seconds, as Standard Webhooks advises
NAMED_FOR: Final = dt.timedelta(days=1)
"""How long a message is remembered whose sender named it: senders try again for hours."""
Scheme = Literal["standard", "hmac"]
Encoding = Literal["hex", "base64"]
Steps = tuple[str | int, ...]  # keys and indexes of a JSON path
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
_HMAC_ONLY: Final = (
    "header", "encoding", "prefix", "timestamp_header", "separator", "remember_days",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignatureSpec:
    """How a sender shows that a message is its own. Names of headers in lower case."""

    scheme: Scheme
    header: str = "webhook-signature"
    encoding: Encoding = "base64"
    prefix: str = ""
    timestamp_header: str | None = None
    separator: str = "."
    tolerance: int = TOLERANCE  # seconds
    remember_days: int = 0  # of a body without a time; 0: for the tolerance

    @property
    def remembered(self) -> dt.timedelta:
        """How long a message is remembered, so that it has no effect a second time."""
        tolerance = dt.timedelta(seconds=self.tolerance)
        if self.scheme == "standard":
            return max(NAMED_FOR, 2 * tolerance)
        if self.timestamp_header is not None:
            return 2 * tolerance  # then it is refused for its time
        # The same bytes may be meant again: a change there and back. Whoever declares that they
        # are not, since each body has a time or a number of its own, has them known for longer.
        return max(tolerance, dt.timedelta(days=self.remember_days))


@dataclass(frozen=True, slots=True)
class SaidSpec:
    """A message says something where a header, or a path in its body, holds one of ``values``."""

    values: tuple[str, ...]
    header: str | None = None  # in lower case
    path: Steps = ()


@dataclass(frozen=True, slots=True)
class HookSpec:
    """What holds for the webhooks of one source."""

    signature: SignatureSpec
    rows: Steps = ()  # where the row or the list of rows stands in a body
    deleted: SaidSpec | None = None  # all rows of such a message are deletions
    only: SaidSpec | None = None  # other messages are acknowledged, and left out
    most_per_second: int = RATE


def parse_hook(source: str, raw: Mapping[str, Any]) -> HookSpec | None:
    """Read what concerns webhooks in an entry of ``sources:``; None for another connector.

    Raises:
        DeclarationError: naming the path, the rule and the next step.
    """
    if raw["connector"] != WEBHOOK:
        return None
    _require_secrets(source, raw["credentials"])
    deleted = raw.get("deleted", {})
    return HookSpec(
        signature=_signature(source, raw["signature"]),
        rows=steps_of(raw.get("rows", ())),
        deleted=_said(source, "deleted", deleted) if "column" not in deleted else None,
        only=_said(source, "only", raw.get("only", {})),
        most_per_second=raw.get("most_per_second", RATE),
    )


def steps_of(path: str | list[str | int] | tuple[()]) -> Steps:
    """A path as it is written: keys with dots between them, or a list of keys and indexes."""
    return tuple(path.split(".")) if isinstance(path, str) else tuple(path)


def _require_secrets(source: str, credentials: Mapping[str, Any]) -> None:
    if SECRETS[0] not in credentials:
        step = "Write where the signing secret lies: env:SOURCE_NAME, file:PATH or ring:NAME."
        raise DeclarationError(source, "key_missing", step, field="credentials.secret")
    for name in sorted(set(credentials) - set(SECRETS)):
        step = f"Remove it. Used here: {', '.join(SECRETS)}."
        raise DeclarationError(source, "credential_not_used", step, field=f"credentials.{name}")


def _signature(source: str, said: Mapping[str, Any]) -> SignatureSpec:
    tolerance = said.get("tolerance", TOLERANCE)
    if said["scheme"] == "standard":
        for key in _HMAC_ONLY:
            if key in said:
                step = "Remove it: Standard Webhooks says what it is."
                raise DeclarationError(source, "option_not_used", step, field=f"signature.{key}")
        return SignatureSpec("standard", tolerance=tolerance)
    if "remember_days" in said and "timestamp_header" in said:
        step = "Remove it: a message that is older than the tolerance is refused for its time."
        raise DeclarationError(source, "option_not_used", step, field="signature.remember_days")
    for key in ("header", "encoding"):
        if key not in said:
            step = "Add it: hmac needs it."
            raise DeclarationError(source, "key_missing", step, field=f"signature.{key}")
    if "separator" in said and "timestamp_header" not in said:
        step = "Name the header of the timestamp, or remove it."
        raise DeclarationError(source, "option_not_used", step, field="signature.separator")
    timestamp = said.get("timestamp_header")
    return SignatureSpec(
        scheme="hmac",
        header=_header(source, "signature.header", said["header"]),
        encoding=said["encoding"],
        prefix=said.get("prefix", ""),
        timestamp_header=timestamp and _header(source, "signature.timestamp_header", timestamp),
        separator=said.get("separator", "."),
        tolerance=tolerance,
        remember_days=said.get("remember_days", 0),
    )


def _said(source: str, part: str, said: Mapping[str, Any]) -> SaidSpec | None:
    if not said:
        return None
    if ("header" in said) == ("path" in said):
        step = "Name a header, or a path in the body: one of the two."
        raise DeclarationError(source, "header_or_path", step, field=part)
    if "values" not in said:
        raise DeclarationError(source, "key_missing", "Add it.", field=f"{part}.values")
    header = said.get("header")
    return SaidSpec(
        values=tuple(value.strip().casefold() for value in said["values"]),
        header=header and _header(source, f"{part}.header", header),
        path=steps_of(said.get("path", ())),
    )


def _header(source: str, field: str, name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise DeclarationError(source, "header_form", "Write the name of the header.", field=field)
    return name.lower()
