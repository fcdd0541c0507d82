"""Files that lie elsewhere: how a declaration names them, and what it must say of the way there.

``s3://bucket/key`` is an object of an S3-compatible store, ``sftp://user@host:port/path`` a file
of an SFTP server. A location without ``://`` is a file of this machine.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from connectors.errors import DeclarationError

Scheme = Literal["s3", "sftp"]

CREDENTIALS: Final[Mapping[Scheme, frozenset[str]]] = MappingProxyType(
    {
        "s3": frozenset({"access_key", "secret_key", "session_token"}),
        "sftp": frozenset({"password", "private_key", "passphrase"}),
    }
)
_OPTIONS: Final[Mapping[Scheme, frozenset[str]]] = MappingProxyType(
    {
        "s3": frozenset({"endpoint", "region", "allow_http"}),
        "sftp": frozenset({"known_hosts"}),
    }
)
_EVERYWHERE: Final = frozenset({"timeout", "largest_mb"})
_AUTHORITY: Final = re.compile(
    r"(?:(?P<user>[^@:]*)@)?(?P<host>[^@:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
SSH_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file lies."""

    scheme: Scheme
    host: str  # or bucket
    path: str  # or key; that of SFTP begins with /
    port: int = SSH_PORT
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """What else is said of the way to a file elsewhere."""

    endpoint: str | None = None  # of an S3-compatible store; None: AWS
    region: str | None = None
    allow_http: bool = False
    known_hosts: str | None = None  # file of host keys, relative to the folder of cdp.yaml
    timeout: float = 60.0  # seconds without an answer
    largest_mb: int = 10_240


HERE: Final = Remote()
"""Of a source whose declaration says nothing of a way."""


def parse_remote(source: str, raw: Mapping[str, Any]) -> Remote:
    """Read ``remote`` of a source, and hold it against ``location`` and ``credentials``.

    Raises:
        DeclarationError: naming path, rule and next step. A location is never quoted: somebody
            may have written a password into it.
    """
    written = raw.get("remote", {})
    remote = Remote(**written) if written else HERE
    address = address_of(source, raw.get("location", ""))
    if address is None:
        if written:
            step = "Remove it, or begin the location with s3:// or sftp://."
            raise DeclarationError(source, "remote_without_place", step, field="remote")
        return remote
    _require_used(source, "remote", written, _OPTIONS[address.scheme] | _EVERYWHERE)
    _require_used(source, "credentials", raw.get("credentials", {}), CREDENTIALS[address.scheme])
    if address.scheme == "s3":
        _require_endpoint(source, remote)
        _require_pair(source, raw.get("credentials", {}))
    elif remote.known_hosts is None:
        step = "Name a file with the host's key, as ssh-keyscan writes it, compared by its owner."
        raise DeclarationError(source, "key_missing", step, field="remote.known_hosts")
    return remote


def address_of(source: str, location: str) -> Address | None:
    """Where a location lies; None: on this machine.

    Raises:
        DeclarationError: it is neither.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return None
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        if "@" in bucket:
            step = "Take the secret out of it, and name it under credentials."
            raise DeclarationError(source, "password_in_location", step, field="location")
        if not bucket or not key or key.endswith("/"):
            step = "Write s3://BUCKET/KEY, the key of one object."
            raise DeclarationError(source, "location_form", step, field="location")
        return Address("s3", bucket, key)
    if scheme == "sftp":
        return _sftp(source, rest)
    step = "Write a file, s3://BUCKET/KEY or sftp://USER@HOST/PATH."
    raise DeclarationError(source, "unknown_place", step, field="location")


def _sftp(source: str, rest: str) -> Address:
    authority, slash, path = rest.partition("/")
    if authority.rpartition("@")[0].count(":"):
        step = "Take the password out of it, and name it under credentials."
        raise DeclarationError(source, "password_in_location", step, field="location")
    match = _AUTHORITY.fullmatch(authority)
    port = int(match["port"] or SSH_PORT) if match else 0
    if match is None or not slash or not path or path.endswith("/") or not 0 < port < 65536:
        step = "Write sftp://USER@HOST/PATH, or sftp://USER@HOST:PORT/PATH."
        raise DeclarationError(source, "location_form", step, field="location")
    return Address("sftp", match["host"].strip("[]"), f"/{path}", port, match["user"] or None)


def _require_used(source: str, part: str, written: Collection[str], known: frozenset[str]) -> None:
    for key in sorted(set(written) - known):
        step = f"Remove it. Used for this location: {', '.join(sorted(known))}."
        raise DeclarationError(source, "key_not_for_place", step, field=f"{part}.{key}")


def _require_pair(source: str, credentials: Collection[str]) -> None:
    pair = {"access_key", "secret_key"}
    missing = sorted(pair - set(credentials))
    if credentials and missing:
        step = "Name both access_key and secret_key, or no credentials for a public object."
        raise DeclarationError(source, "key_missing", step, field=f"credentials.{missing[0]}")


def _require_endpoint(source: str, remote: Remote) -> None:
    if remote.endpoint is None:
        return
    try:
        url = urlsplit(remote.endpoint)
        host, _ = url.hostname, url.port
    except ValueError:
        url, host = urlsplit(""), None
    fits = url.scheme in {"http", "https"} and host and url.path in {"", "/"}
    if not fits or url.query or url.fragment or url.username is not None:
        step = "Write scheme and host, such as https://s3.example.com."
        raise DeclarationError(source, "not_a_web_address", step, field="remote.endpoint")
    if url.scheme == "http" and not remote.allow_http and not _is_loopback(host or ""):
        step = "Use https://, or declare allow_http: true."
        raise DeclarationError(source, "plain_http", step, field="remote.endpoint")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
