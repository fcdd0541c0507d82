"""Whether the process lives, and whether it can serve."""

import sqlalchemy as sa
from fastapi import APIRouter, Request

from api.auth import Services
from api.errors import MEDIA_TYPE, Problem
from api.forms import HealthForm, ProblemForm
from cdp.errors import KithError
from cdp.storage import migrate
from cdp.storage.schema import workspace as workspace_table
from cdp.vault.vault import CONTACT, MASKED
from cdp.workspace import Workspace

router = APIRouter(tags=["health"])


@router.get("/healthz")
def live() -> HealthForm:
    """The process answers."""
    return HealthForm(status="live")


@router.get(
    "/readyz",
    responses={503: {"model": ProblemForm, "content": {MEDIA_TYPE: {}}, "description": "Not yet"}},
)
def ready(request: Request) -> HealthForm:
    """Database, schema and key ring are there and belong together."""
    services: Services = request.app.state.services
    missing = _missing(services.workspace)
    if missing is not None:
        raise Problem(503, missing, "This server cannot serve now.", {"Retry-After": "5"})
    return HealthForm(status="ready")


def _missing(workspace: Workspace) -> str | None:
    """Name the first thing that is not as it must be."""
    try:
        if not migrate.is_current(workspace.engine):
            return "schema_not_current"
        with workspace.engine.connect() as connection:
            stored = connection.execute(sa.select(workspace_table)).one_or_none()
            workspace.check_ledger(connection)
    except sa.exc.SQLAlchemyError:
        return "database_unavailable"
    except KithError:
        return "shred_ledger_differs"
    if stored is None:
        return "database_empty"
    try:
        workspace.keyring.confirm(stored.id, stored.key_check)
    except KithError:
        return "key_ring_of_another_workspace"
    needed = CONTACT if CONTACT in workspace.role.purposes else MASKED
    return None if workspace.vault.holds(needed) else "key_ring_incomplete"
