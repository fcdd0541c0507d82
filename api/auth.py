"""From a bearer key or a session's cookie to a subject, in the transaction that answers.

Invariants, each named by a test in ``tests/integration/api`` or ``tests/integration/signing_in``:

1. Without a valid key or session nothing is looked up but that.
2. One transaction holds the check of the credential, the decision, the audit event and the
   reading; the answer is built from it and sent after it is committed.
3. Whoever left is refused, and whoever was moved is moved, in their next request, whatever key
   or session they hold.
4. A request brings a key or a session, never both. A key needs no token against other sites; a
   session does (``api.browser``).
5. A request acts under one assignment: of the header, of the session, or the first. One that
   is not theirs is refused, with an event.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from api import browser
from api.errors import not_your_assignment, unauthorised
from cdp.access import keys, sessions
from cdp.access.by_parts import PartsGate
from cdp.access.principals import Standing, acting, chosen
from cdp.access.roster import present
from cdp.access.signing_in import SigningIn, event, role_of
from cdp.access.single_sign_on import SingleSignOn
from cdp.audit import log
from cdp.resolution.inbound import Inbound
from cdp.resolution.sending import Sending
from cdp.vault.keyed import ApiKeyDigests
from cdp.vault.sign_in import SignInKeys
from cdp.workspace import Workspace
from connectors.record import Raw
from policies.decision import Subject

_bearer = HTTPBearer(
    auto_error=False, scheme_name="apiKey", description="An API key: kith_<id>_<secret>."
)
_cookie = APIKeyCookie(
    name=browser.SESSION,
    auto_error=False,
    scheme_name="session",
    description="The session of a person: POST /v1/session. Changes need its Kith-CSRF header.",
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the application serves with; built once by ``create_app``."""

    workspace: Workspace
    gate: PartsGate
    api_keys: ApiKeyDigests
    sending: Sending
    inbound: Inbound
    sign_in_keys: SignInKeys
    signing_in: SigningIn
    single_sign_on: SingleSignOn | None


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated request: its transaction, its subject, its gate."""

    connection: sa.Connection
    subject: Subject
    gate: PartsGate
    standing: Standing
    signed_in: sessions.Found | None  # None: an API key was sent


@dataclass(frozen=True, slots=True)
class Caller(Raw):
    """A request and what it offers as a credential, not yet checked."""

    request: Request
    credential: str = field(repr=False)  # the bearer key
    secret: str = field(default="", repr=False)  # what the cookie holds

    @property
    def services(self) -> Services:
        """What the application serves with."""
        services: Services = self.request.app.state.services
        return services

    @property
    def address(self) -> str | None:
        """Where the connection comes from; what a header says of it is not believed."""
        return self.request.client.host if self.request.client else None

    @property
    def request_id(self) -> str:
        """The id that we gave the request."""
        return str(self.request.state.request_id)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Check the credential and hold a transaction; it is committed when the block ends.

        Raises:
            Problem: 401, the same for every credential that is not good; 403 for a browser's
                request from elsewhere, and for an assignment that is not theirs.
            Refused: this process does not know the node or the destination.
        """
        self._refuse_from_elsewhere()
        workspace = self.services.workspace
        with workspace.engine.begin() as connection:
            standing, signed_in = self._found(connection)
            wanted = self.request.headers.get(browser.ACTING_AS)
            usual = signed_in.acting_as if signed_in else None
            assignment = chosen(standing.assignments, wanted or usual)
            if assignment is None:
                self._refuse(connection, standing)
            else:
                workspace.check_ledger(connection)
                subject = acting(standing, assignment, workspace.declaration)
                subject = present(workspace, subject, self.address, connection)
                self.request.state.principal = standing.id
                gate = self.services.gate.for_request(self.request_id)
                yield Session(connection, subject, gate, standing, signed_in)
                return
        raise not_your_assignment()  # after its event is committed

    def _refuse_from_elsewhere(self) -> None:
        if self.secret and self.credential:
            raise unauthorised()
        if self.secret:
            services = self.services
            browser.refuse_other_sites(self.request, services.workspace.settings.public_url)
            browser.refuse_without_token(self.request, services.sign_in_keys, self.secret)

    def _found(self, connection: sa.Connection) -> tuple[Standing, sessions.Found | None]:
        services, now = self.services, self.services.workspace.now()
        if self.secret:
            found = sessions.find(connection, services.sign_in_keys, self.secret, now)
            if found is not None:
                return found.standing, found
        else:
            standing = keys.authenticate(connection, services.api_keys, self.credential, now)
            if standing is not None:
                return standing, None
        raise unauthorised()

    def _refuse(self, connection: sa.Connection, standing: Standing) -> None:
        refused = event(
            self.services.workspace,
            "session.act_as",
            standing.id,
            role_of(standing.assignments),
            self.request_id,
            "not_your_assignment",
        )
        log.append(connection, refused)


async def _caller(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    secret: Annotated[str | None, Depends(_cookie)],
) -> Caller:
    if not credentials and not secret:
        raise unauthorised()  # before the body is judged
    return Caller(request, credentials.credentials if credentials else "", secret or "")


Authenticated = Annotated[Caller, Depends(_caller)]
"""A dependency: ``caller: Authenticated``, then ``with caller.session() as session``."""
