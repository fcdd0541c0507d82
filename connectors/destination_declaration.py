"""One ``destinations:`` entry of cdp.yaml, as a frozen object."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from connectors.declaration_digest import digest_of
from connectors.declaration_schema import require, require_name
from connectors.errors import DeclarationError


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
        return digest_of(self)


def parse_destination(name: str, entry: object) -> DestinationDeclaration:
    """Read one entry of ``destinations:``.

    Raises:
        DeclarationError: naming path, rule and next step.
    """
    require_name(name)
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
