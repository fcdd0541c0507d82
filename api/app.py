"""The HTTP application of one workspace."""

from typing import Final

from fastapi import FastAPI

from api import errors
from api.auth import Services
from api.edge import Edge
from api.routes import health, profiles, records
from cdp.access.by_parts import PartsGate
from cdp.resolution.sending import Sending
from cdp.vault.keyed import ApiKeyDigests
from cdp.workspace import Workspace

VERSION: Final = "1"
_DESCRIPTION: Final = (
    "One profile of each person, shown to each caller as policy allows. "
    "Every read of a person leaves an audit event. Identifiers travel in bodies, never in "
    "addresses. Errors are RFC 9457 problem details."
)


def create_app(workspace: Workspace) -> FastAPI:
    """Return the application of an opened workspace. Compiles its policy now, not later."""
    app = FastAPI(
        title="Kith",
        version=VERSION,
        description=_DESCRIPTION,
        docs_url=None,  # the documentation pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(
        workspace, PartsGate(workspace), ApiKeyDigests(workspace.keyring), Sending(workspace)
    )
    app.add_middleware(Edge)
    errors.install(app)
    app.include_router(health.router)
    app.include_router(profiles.router)
    app.include_router(records.router)
    return app
