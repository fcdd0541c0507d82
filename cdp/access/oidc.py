"""The identity provider of people: OpenID Connect, authorization code with PKCE.

The only module that talks to the provider, and the only one that imports httpx, Authlib and
joserfc here. Authlib builds what is asked and judges the claims of an answer; the requests are
ours, so that time, size and redirects are bounded.

Invariants, each named by a test in ``tests/integration/signing_in/test_tokens.py``:

1. A token counts only if the provider signed it with RS256, PS256 or ES256 and a key it
   publishes; ``none`` and shared secrets are no signature.
2. Issuer, audience, authorised party, end and nonce are those of this sign-in; clocks may
   differ by a minute.
3. A redirect is never followed, and what the provider answers is bounded in size and in the
   time of its whole body. A provider that is away is asked again after some seconds, and takes
   only a few threads of a process.
4. Nothing goes in the clear to another machine.
5. Discovery is asked once an hour; a key that is not known is looked for at once, and no more
   than once a minute.
6. No error shows a token, a code, a claim or the secret.
7. A published key that cannot be read is as if it were not there.
"""

import datetime as dt
import ipaddress
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from cdp.access.remembered import Remembered
from cdp.errors import Refused, Retry, Stop
from cdp.settings import Settings
from cdp.vault.secret import Secret
from connectors.record import Raw

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
SKEW: Final = 60  # seconds
KEPT: Final = dt.timedelta(hours=1)  # what discovery said
KEYS_EVERY: Final = dt.timedelta(minutes=1)
CALLBACK: Final = "/v1/session/oidc/callback"
_DISCOVERY: Final = "/.well-known/openid-configuration"
_SCOPE: Final = "openid profile email"
_MOST_BYTES: Final = 512 * 1024
_TIMEOUT: Final = httpx.Timeout(5.0)  # of each wait
DEADLINE: Final = 10.0  # seconds for a whole answer, however it comes
AT_ONCE: Final = 8  # who have to do with the provider; the other threads are for other requests
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_KINDS: Final[Mapping[str, type[RSAKey | ECKey]]] = {"RSA": RSAKey, "EC": ECKey}
_FORM: Final = "application/x-www-form-urlencoded"


Key = RSAKey | ECKey


class ProviderUnreachable(Retry):
    """The identity provider does not answer, or not as it must."""


class TokenRefused(Refused):
    """What the provider said of somebody does not count."""


@dataclass(frozen=True, slots=True)
class Terms(Raw):
    """What we and the provider agreed on."""

    issuer: str
    client_id: str
    client_secret: Secret | None = field(repr=False)
    redirect_uri: str


def terms_of(settings: Settings) -> Terms | None:
    """Return what the settings say of a provider; None: there is none.

    Raises:
        Stop: half of it is missing, or an address is in the clear.
    """
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None or settings.public_url is None:
        step = "set CDP_OIDC_CLIENT_ID and CDP_PUBLIC_URL beside CDP_OIDC_ISSUER"
        raise Stop("sign_in_incomplete", step)
    for name, address in (
        ("CDP_OIDC_ISSUER", settings.oidc_issuer),
        ("CDP_PUBLIC_URL", settings.public_url),
    ):
        if not _is_safe(address):
            raise Stop("address_not_safe", "write a whole https:// address", setting=name)
    back = settings.public_url.rstrip("/") + CALLBACK
    return Terms(settings.oidc_issuer, settings.oidc_client_id, _secret(settings), back)


def _secret(settings: Settings) -> Secret | None:
    if settings.oidc_client_secret_file is not None:
        try:
            return Secret(settings.oidc_client_secret_file.read_bytes().strip())
        except OSError as error:
            raise Stop(
                "client_secret_unreadable",
                "correct CDP_OIDC_CLIENT_SECRET_FILE",
                path=settings.oidc_client_secret_file,
            ) from error
    return Secret(settings.oidc_client_secret.encode()) if settings.oidc_client_secret else None


class IdentityProvider:
    """One provider. Any number of threads may use it; nothing is asked before it is needed."""

    def __init__(
        self,
        terms: Terms,
        now: Callable[[], dt.datetime],
        transport: httpx.BaseTransport | None = None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._now = now
        self._ticks = ticks
        self._client = httpx.Client(
            follow_redirects=False, timeout=_TIMEOUT, trust_env=False, transport=transport
        )
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._metadata = Remembered(self._discover, now)
        self._keys = Remembered(self._ask_keys, now)

    @property
    def issuer(self) -> str:
        """Who it is."""
        return self._terms.issuer

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Return where to send the browser.

        Raises:
            Retry: discovery does not work, or too many come at the same time.
        """
        with self._place():
            endpoint = self._discovered()["authorization_endpoint"]
        found: str = prepare_grant_uri(
            endpoint,
            self._terms.client_id,
            "code",
            redirect_uri=self._terms.redirect_uri,
            scope=_SCOPE,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return found

    def names_itself(self, said: str | None) -> bool:
        """Say whether a callback comes from this provider (RFC 9207)."""
        with self._place():
            promised = self._discovered().get("authorization_response_iss_parameter_supported")
        return said == self.issuer if said is not None or promised is True else True

    def claims(self, code: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """Exchange the code and return the claims of the verified token.

        Raises:
            TokenRefused: the provider refuses the code, or its token does not count.
            Retry: it does not answer, or too many come at the same time.
        """
        with self._place():
            answer = self._exchanged(code, verifier)
            token = answer.get("id_token")
            if not isinstance(token, str):
                raise TokenRefused("no_token", "sign in again")
            found = self._verified(token)
        claims = CodeIDToken(
            dict(found.claims),
            dict(found.header),
            {
                "iss": {"essential": True, "value": self._terms.issuer},
                "aud": {"essential": True, "value": self._terms.client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            {
                "nonce": nonce,
                "client_id": self._terms.client_id,
                "access_token": answer.get("access_token"),
            },
        )
        reason: str | None = None
        try:
            claims.validate(now=int(self._now().timestamp()), leeway=SKEW)
        except (JoseError, ValueError, TypeError) as error:
            reason = _reason(error)
        if reason is None and not _is_for_us_alone(claims, self._terms.client_id):
            reason = "claim_aud"
        if reason is not None:  # anew: the error's own traceback holds the claims
            raise TokenRefused(reason, "sign in again")
        return dict(claims)

    # ── requests ────────────────────────────────────────────────────────────

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the few places, so that a slow provider stops nothing else."""
        if not self._places.acquire(blocking=False):
            raise Retry("too many come from the provider at the same time", "try again in a moment")
        try:
            yield
        finally:
            self._places.release()

    def _exchanged(self, code: str, verifier: str) -> Mapping[str, Any]:
        said, terms = self._discovered(), self._terms
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=terms.redirect_uri,
            code=code,
            code_verifier=verifier,
        )
        ways = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        way = "client_secret_basic" if "client_secret_basic" in ways else "client_secret_post"
        secret = terms.client_secret.expose().decode() if terms.client_secret else None
        auth = ClientAuth(terms.client_id, secret, way if secret else "none")
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        uri, headers, body = auth.prepare("POST", said["token_endpoint"], headers, body)
        status, answer = self._ask("POST", uri, headers, body)
        if status in {400, 401, 403}:
            raise TokenRefused("code_refused", "sign in again")
        if status != 200 or answer is None:
            raise _unreachable()
        return answer

    def _ask(
        self, method: str, address: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, dict[str, Any] | None]:
        """Ask, and read at most as much as an honest answer has; None: no JSON object."""
        content, ends = bytearray(), self._ticks() + DEADLINE
        try:
            with self._client.stream(method, address, headers=headers, content=body) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES or self._ticks() > ends:
                        raise _unreachable()
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            status = 0
        if status == 0:  # anew: the error's own traceback may hold the secret
            raise _unreachable()
        try:
            found = json.loads(bytes(content))
        except (ValueError, RecursionError):
            found = None
        return status, found if isinstance(found, dict) else None

    def _discovered(self) -> Mapping[str, Any]:
        return self._metadata.get(KEPT)

    def _discover(self) -> Mapping[str, Any]:
        address = self._terms.issuer.rstrip("/") + _DISCOVERY
        status, said = self._ask("GET", address, {"Accept": "application/json"})
        if status != 200 or said is None:
            raise _unreachable()
        if said.get("issuer") != self._terms.issuer:
            raise ProviderUnreachable(
                "the provider calls itself otherwise", "correct CDP_OIDC_ISSUER to the letter"
            )
        if not all(isinstance(said.get(one), str) and _is_safe(said[one]) for one in _ENDPOINTS):
            raise ProviderUnreachable(
                "an address of the provider is missing or in the clear", "ask who runs it"
            )
        return said

    # ── signatures ──────────────────────────────────────────────────────────

    def _verified(self, token: str) -> jwt.Token:
        try:
            return self._decoded(token, self._published(anew=False))
        except InvalidKeyIdError:
            pass
        except (JoseError, ValueError, TypeError):
            raise TokenRefused("signature_refused", "sign in again") from None
        try:  # it may have begun to sign with another key
            return self._decoded(token, self._published(anew=True))
        except (JoseError, ValueError, TypeError):
            raise TokenRefused("signature_refused", "sign in again") from None

    def _decoded(self, token: str, keys: KeySet) -> jwt.Token:
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        return jwt.decode(token, keys, registry=registry)

    def _published(self, *, anew: bool) -> KeySet:
        return KeySet(list(self._keys.get(KEYS_EVERY if anew else KEPT)))

    def _ask_keys(self) -> Sequence[Key]:
        address = self._discovered()["jwks_uri"]
        status, said = self._ask("GET", address, {"Accept": "application/json"})
        if status != 200 or said is None:
            raise _unreachable()
        return _signing(said.get("keys"))


def _reason(error: Exception) -> str:
    claim = getattr(error, "claim", "")
    return f"claim_{claim}" if claim in {"iss", "aud", "azp", "exp", "nonce"} else "claim_refused"


def _signing(keys: object) -> list[Key]:
    """The published keys of the two kinds that sign; a provider may publish others too."""
    found = keys if isinstance(keys, list) else []
    named = (one for one in found if isinstance(one, dict) and isinstance(one.get("kty"), str))
    signing = (one for one in named if one["kty"] in _KINDS)
    return [key for one in signing if (key := _read(one)) is not None]


def _read(entry: dict[str, Any]) -> Key | None:
    """A published key; None: it is of a curve or a form that is not known here."""
    kid = entry.get("kid")
    try:
        key = _KINDS[entry["kty"]].import_key(entry)
        key.public_key  # noqa: B018 - the numbers are looked at here, not when a token comes
    except (JoseError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return key if kid is None or isinstance(kid, str) else None


def _is_for_us_alone(claims: Mapping[str, Any], client_id: str) -> bool:
    """Say whether a token for several audiences was made for us (OpenID Connect Core, 3.1.3.7)."""
    audience = claims["aud"]
    several = isinstance(audience, list) and len(audience) > 1
    return claims.get("azp") == client_id if several else True


def _unreachable() -> ProviderUnreachable:
    return ProviderUnreachable(
        "the identity provider does not answer as it must", "try again in a moment"
    )


def _is_safe(address: str) -> bool:
    """Say whether an address is https, or http on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
