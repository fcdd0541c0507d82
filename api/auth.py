"""From a bearer key to a subject, inside the transaction that answers the request.

Invariants, each named by a test in ``tests/integration/api``:

1. Without a valid key nothing is looked up but the key.
2. One transaction holds the check of the key, the decision, the audit event and the
   reading; the answer is built from it and sent after it is committed.
3. Whoever left ``cdp.yaml`` is refused, whatever key they hold.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import unauthorised
from cdp.access import keys
from cdp.access.by_parts import PartsGate
from cdp.access.principals import subject_of
from cdp.errors import Stop
from cdp.resolution.sending import Sending
from cdp.vault.keyed import ApiKeyDigests
from cdp.workspace import Workspace
from connectors.record import Raw
from policies.decision import Subject

_bearer = HTTPBearer(
    auto_error=False, scheme_name="apiKey", description="An API key: kith_<id>_<secret>."
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the application serves with; built once by ``create_app``."""

    workspace: Workspace
    gate: PartsGate
    api_keys: ApiKeyDigests
    sending: Sending


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated request: its transaction, its subject, its gate."""

    connection: sa.Connection
    subject: Subject
    gate: PartsGate


@dataclass(frozen=True, slots=True)
class Caller(Raw):
    """A request and what it offers as a credential, not yet checked."""

    request: Request
    credential: str = field(repr=False)

    @property
    def services(self) -> Services:
        """What the application serves with."""
        services: Services = self.request.app.state.services
        return services

    @property
    def request_id(self) -> str:
        """The id that we gave the request."""
        return str(self.request.state.request_id)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Check the key and hold a transaction; it is committed when the block ends.

        Raises:
            Problem: 401, the same for every credential that is not good.
        """
        services = self.services
        workspace = services.workspace
        with workspace.engine.begin() as connection:
            principal = keys.authenticate(
                connection, services.api_keys, self.credential, workspace.now()
            )
            if principal is None:
                raise unauthorised()
            workspace.check_ledger(connection)
            try:
                subject = subject_of(workspace, principal)
            except Stop:
                raise unauthorised() from None
            self.request.state.principal = principal
            gate = services.gate.for_request(self.request_id)
            yield Session(connection, subject, gate)


async def _caller(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    return Caller(request, credentials.credentials if credentials else "")


Authenticated = Annotated[Caller, Depends(_caller)]
"""A dependency: ``caller: Authenticated``, then ``with caller.session() as session``."""
