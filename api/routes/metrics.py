"""How sources stand, for whoever watches them: ``GET /metrics``, in the form of Prometheus."""

from fastapi import APIRouter, Response

from api.auth import Authenticated
from api.errors import denied, described
from cdp.resolution.permission import Permission
from cdp.running import prometheus
from cdp.running.standing import resolving, standings
from policies.vocabulary import Action

EVENT = "metrics.read"
router = APIRouter(
    tags=["metrics"],
    responses={401: described("No valid API key"), 403: described("Not an operator's key")},
)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(caller: Authenticated) -> Response:
    """Tell how each source stands. Names of sources, times and counts; nothing of a person.

    A refusal leaves an event. A scrape does not: nobody is seen, and it comes every few seconds.
    """
    workspace = caller.services.workspace
    with caller.session() as session:
        connection = session.connection
        permission = Permission(
            workspace, session.subject, Action.CONFIGURE, EVENT, request_id=caller.request_id
        )
        denial = permission.refusal()
        if denial is not None:
            permission.log_refused(connection, denial)
            text = ""
        else:
            declared, now = workspace.declaration, workspace.now()
            found = standings(connection, declared, list(declared.sources), now)
            text = prometheus.exposed(found, resolving(connection), now)
    if denial is not None:
        raise denied(denial)
    return Response(text, media_type=prometheus.CONTENT_TYPE)
