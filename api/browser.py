"""What a browser brings, and what keeps other sites from using it.

Invariants, each named by a test in ``tests/integration/signing_in/test_browser.py``:

1. The cookies go to this host alone, over TLS alone, and no script reads them.
2. A request with a session that a browser sends from another site is refused, whatever its
   method; one that changes something must bring the session's token in a header too.
3. What a request without a session begins (signing in) is refused from another site as well.
4. Both are judged before anything is looked up.
"""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

from api.errors import from_elsewhere
from cdp.access.devices import KNOWN_FOR
from cdp.access.signing_in import Client
from cdp.access.single_sign_on import STATE_LIFE
from cdp.vault import primitives
from cdp.vault.sign_in import SignInKeys

SESSION: Final = "__Host-kith"
DEVICE: Final = "__Host-kith-device"
STATE: Final = "__Host-kith-state"
CSRF: Final = "Kith-CSRF"
ACTING_AS: Final = "Kith-Acting-As"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site; none: typed by a person


def refuse_other_sites(request: Request, public_url: str | None) -> None:
    """Refuse what a browser sends from another site (Fetch Metadata, and Origin before it).

    Raises:
        Problem: 403.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _OURS:
        raise from_elsewhere()
    origin = request.headers.get("origin")
    if origin is not None and origin not in _own_origins(request, public_url):
        raise from_elsewhere()


def refuse_without_token(request: Request, keys: SignInKeys, secret: str) -> None:
    """Refuse a change that does not bring the token of its session.

    Raises:
        Problem: 403.
    """
    if request.method in _SAFE:
        return
    sent = request.headers.get(CSRF, "").encode(errors="surrogatepass")
    if not primitives.same(sent, keys.csrf(secret).encode()):
        raise from_elsewhere()


def _own_origins(request: Request, public_url: str | None) -> set[str]:
    """The origin of the settings; without one, what the request calls this host."""
    if public_url is not None:
        parts = urlsplit(public_url)
        return {f"{parts.scheme}://{parts.netloc}"}
    host = request.headers.get("host", "")
    return {f"{scheme}://{host}" for scheme in ("https", "http")}


def client_of(request: Request) -> Client:
    """Return where a sign-in comes from. The address is the proxy's, where there is one."""
    address = request.client.host if request.client else ""
    return Client(address, request.cookies.get(DEVICE), str(request.state.request_id))


def give_session(response: Response, secret: str) -> None:
    """Give the browser its session, until it is closed."""
    response.set_cookie(SESSION, secret, path="/", secure=True, httponly=True, samesite="lax")


def take_session(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(SESSION, path="/", secure=True, httponly=True, samesite="lax")


def give_device(response: Response, device: str) -> None:
    """Have the browser be known the next time."""
    response.set_cookie(
        DEVICE,
        device,
        max_age=int(KNOWN_FOR.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def give_state(response: Response, state: str) -> None:
    """Have the browser keep what it must bring back from the provider."""
    life = int(STATE_LIFE.total_seconds())
    # Lax: it comes back from the provider's site.
    response.set_cookie(
        STATE, state, max_age=life, path="/", secure=True, httponly=True, samesite="lax"
    )


def take_state(response: Response) -> None:
    """Take it back."""
    response.delete_cookie(STATE, path="/", secure=True, httponly=True, samesite="lax")
