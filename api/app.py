"""The HTTP application of one workspace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from api import errors
from api.auth import Services
from api.edge import Edge
from api.routes import (
    authzen,
    figures,
    health,
    hooks,
    inbound,
    metrics,
    profiles,
    records,
    reveals,
    session,
)
from cdp.access.by_parts import PartsGate
from cdp.access.oidc import IdentityProvider, terms_of
from cdp.access.signing_in import SigningIn
from cdp.access.single_sign_on import SingleSignOn
from cdp.credentials import lookup_of
from cdp.erasure.departing import Departing
from cdp.resolution.admission import Admission
from cdp.resolution.hooks import Hooks
from cdp.resolution.inbound import Inbound
from cdp.resolution.sending import Sending
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.sign_in import SignInKeys
from cdp.workspace import Workspace

VERSION: Final = "1"
_DESCRIPTION: Final = (
    "One profile of each person, shown to each caller as policy allows. "
    "Every read of a person leaves an audit event. Identifiers travel in bodies, never in "
    "addresses. Errors are RFC 9457 problem details."
)


def create_app(workspace: Workspace) -> FastAPI:
    """Return the application of an opened workspace. Compiles its policy now, not later."""
    sending, admission = Sending(workspace), Admission(workspace, lookup_of(workspace))
    receiving = Inbound(workspace, sending.sources, admission)

    @asynccontextmanager
    async def following(_: FastAPI) -> AsyncIterator[None]:
        """Hear of changes of the policy while the application serves, and look at write keys."""
        workspace.policies.follow()
        receiving.look()
        try:
            yield
        finally:
            workspace.policies.stop()

    app = FastAPI(
        lifespan=following,
        title="Kith",
        version=VERSION,
        description=_DESCRIPTION,
        docs_url=None,  # the documentation pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    sign_in_keys = SignInKeys(workspace.keyring)
    app.state.services = Services(
        workspace,
        PartsGate(workspace),
        ApiKeyDigests(workspace.keyring),
        sending,
        receiving,
        sign_in_keys,
        SigningIn(workspace, sign_in_keys),
        _single_sign_on(workspace, sign_in_keys),
    )
    app.state.hooks = Hooks(workspace, sending.sources, admission, Departing())
    app.add_middleware(Edge)
    errors.install(app)
    app.include_router(health.router)
    app.include_router(authzen.router)
    app.include_router(session.router)
    app.include_router(profiles.router)
    app.include_router(figures.router)
    app.include_router(records.router)
    app.include_router(metrics.router)
    app.include_router(reveals.router)
    app.include_router(inbound.router)
    app.include_router(hooks.router)
    return app


def _single_sign_on(workspace: Workspace, keys: SignInKeys) -> SingleSignOn | None:
    terms = terms_of(workspace.settings)
    if terms is None:
        return None
    return SingleSignOn(workspace, keys, IdentityProvider(terms, workspace.now))
