"""How a request shows who asks, as a declaration says it.

A secret never stands here: ``credentials`` of the source say where each one lies.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connectors.errors import DeclarationError

AuthType = Literal["none", "bearer", "basic", "header", "query", "oauth2", "token"]
Send = Literal["basic", "body", "query", "form", "json"]
Steps = tuple[str | int, ...]  # keys and indexes of a JSON path

CREDENTIALS: Final[Mapping[AuthType, tuple[str, ...]]] = {
    "none": (),
    "bearer": ("token",),
    "basic": ("user", "password"),
    "header": ("key",),
    "query": ("key",),
    "oauth2": ("client_id", "client_secret"),
}
"""The credentials of each way; those of ``token`` are named as its token URL wants them."""
_SENT: Final[Mapping[str, frozenset[str]]] = {
    "oauth2": frozenset({"basic", "body"}),
    "token": frozenset({"query", "form", "json"}),
}
_MUST: Final[Mapping[str, frozenset[str]]] = {
    "header": frozenset({"name"}),
    "query": frozenset({"name"}),
    "oauth2": frozenset({"token_url"}),
    "token": frozenset({"token_url", "send"}),
}
_MAY: Final[Mapping[str, frozenset[str]]] = {
    "oauth2": frozenset({"scopes", "send"}),
    "token": frozenset({"also", "path", "life", "parameter", "header", "refused"}),
}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
# Whole words of a name, however it is written: apiKey, api_key, X-Api-Key.
_SECRET: Final = re.compile(
    r"(?i)(api|access|app|private|secret|subscription)[-_]?key$|^key$|token$|secret|passw|"
    r"authorization|cookie|signature|credential"
)
_OURS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te"}
)
SECRET_STEP: Final = "Take it out, name the secret under credentials, and say auth."  # noqa: S105
_UNUSED: Final = "Remove it, or declare the auth that uses it."
_WHERE: Final = "Write where the secret lies: env:SOURCE_NAME, file:PATH or ring:NAME."
Wrong = Callable[[str, str, str], DeclarationError]  # rule, next step, field


@dataclass(frozen=True, slots=True)
class Words:
    """Something is so where an answer holds one of ``values`` at ``path``."""

    path: Steps
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthSpec:
    """How a request shows who asks; the secrets are credentials of the source.

    Attributes:
        name: of the header or the parameter that carries the key or the token.
        send: how credentials come to the token URL.
        in_header: whether a token of ``token`` goes into a header.
        secrets: the credentials of ``token``, which are sent under their names.
        also: what is sent beside them.
        path: where the answer of the token URL holds the token.
        life: where it says for how many seconds.
        refused: an answer that says so is about a token that is over.
    """

    type: AuthType = "none"
    name: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()
    send: Send = "basic"
    in_header: bool = False
    secrets: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    path: Steps = ("access_token",)
    life: Steps = ("expires_in",)
    refused: Words | None = None

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the secrets that it needs, the one that is blamed first last."""
        return self.secrets if self.type == "token" else CREDENTIALS[self.type]


def steps_of(path: Any) -> Steps:
    """A path as it is written: keys with dots between them, or a list of keys and indexes."""
    return tuple(path.split(".")) if isinstance(path, str) else tuple(path)


def words_of(said: Mapping[str, Any] | None) -> Words | None:
    """What an answer may say, and where."""
    if said is None:
        return None
    return Words(steps_of(said["path"]), tuple(text_of(value) for value in said["values"]))


def text_of(value: Any) -> str:
    """A word of a declaration as it stands in an answer or an address."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_secret(name: str) -> bool:
    """Whether a header, a parameter or a key is named like a secret."""
    return _SECRET.search(name) is not None


def is_header(name: str) -> bool:
    """Whether a declaration may choose such a header."""
    return name.lower() not in _OURS and _TOKEN.fullmatch(name) is not None


def parse_auth(raw: Mapping[str, Any], wrong: Wrong) -> AuthSpec:
    """Read ``auth`` and what it wants of ``credentials``.

    Raises:
        DeclarationError: made by ``wrong``; one key demands another, or excludes it.
    """
    said = raw.get("auth", {"type": "none"})
    kind: AuthType = said["type"]
    must = _MUST.get(kind, frozenset())
    require_keys("auth", said, must, must | _MAY.get(kind, frozenset()) | {"type"}, wrong)
    given = tuple(raw.get("credentials", {}))
    if "send" in said and said["send"] not in _SENT[kind]:
        step = f"Write {' or '.join(sorted(_SENT[kind]))}."
        raise wrong("wrong_form", step, "auth.send")
    spec = _token(said, given, wrong) if kind == "token" else _other(said, kind)
    _require_credentials(spec, frozenset(given), wrong)
    carried = spec.in_header or kind == "header"
    if carried and not is_header(spec.name):
        field = "auth.header" if kind == "token" else "auth.name"
        raise wrong("header_form", "Write the name of the header.", field)
    return spec


def _require_credentials(spec: AuthSpec, given: frozenset[str], wrong: Wrong) -> None:
    for name in spec.credentials:
        if name not in given:
            raise wrong("key_missing", _WHERE, f"credentials.{name}")
    for name in sorted(given.difference(spec.credentials)):
        raise wrong("credential_not_used", _UNUSED, f"credentials.{name}")


def _other(said: Mapping[str, Any], kind: AuthType) -> AuthSpec:
    return AuthSpec(
        kind,
        said.get("name", ""),
        said.get("token_url", ""),
        tuple(said.get("scopes", ())),
        said.get("send", "basic"),
    )


def _token(said: Mapping[str, Any], given: tuple[str, ...], wrong: Wrong) -> AuthSpec:
    """Credentials for a token, in whatever way its maker thought of."""
    if not given:
        step = "Name each secret as the token URL wants it, with where it lies."
        raise wrong("key_missing", step, "credentials")
    if ("parameter" in said) == ("header" in said):
        step = "Say what carries the token: a parameter or a header, one of the two."
        raise wrong("parameter_or_header", step, "auth")
    also = {name: text_of(value) for name, value in said.get("also", {}).items()}
    for name in also:
        if is_secret(name):
            raise wrong("secret_in_declaration", SECRET_STEP, "auth.also")
        if name in given:
            raise wrong("option_not_used", "Remove it: a credential has its name.", "auth.also")
    return AuthSpec(
        "token",
        name=said.get("parameter", said.get("header", "")),
        token_url=said["token_url"],
        send=said["send"],
        in_header="header" in said,
        secrets=given,
        also=tuple(also.items()),
        path=steps_of(said.get("path", "access_token")),
        life=steps_of(said.get("life", "expires_in")),
        refused=words_of(said.get("refused")),
    )


def require_keys(
    part: str, said: Mapping[str, Any], must: Collection[str], may: Collection[str], wrong: Wrong
) -> None:
    """Require the keys that a type of something needs, and refuse those that it has not.

    Raises:
        DeclarationError: made by ``wrong``.
    """
    kind = said["type"]
    for key in sorted(set(must) - set(said)):
        raise wrong("key_missing", f"Add it: {kind} needs it.", f"{part}.{key}")
    for key in sorted(set(said) - set(may)):
        raise wrong("option_not_used", f"Remove it: {kind} has none.", f"{part}.{key}")
