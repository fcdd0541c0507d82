"""What signing in looks like on the wire. What is typed stands in a body, never in an address."""

from datetime import datetime
from typing import NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import Session
from cdp.access.accounts import Enrolment
from cdp.access.passwords import LEAST_CHARACTERS, MOST_CHARACTERS
from cdp.access.signing_in import Attempt
from connectors.record import Sensitive

_PRINCIPAL = Field(min_length=1, max_length=128, repr=False, examples=["clerk.bj01"])
_CODE = Field(min_length=6, max_length=32, description="Of the app, or a recovery code.")
_INVITATION = Field(min_length=1, max_length=128, description="What was handed over.")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a form is sent, and never pickled")


class SignIn(_Form):
    """Who signs in, with both factors."""

    principal: str = _PRINCIPAL
    password: SecretStr = Field(min_length=1, max_length=1024)
    code: SecretStr = _CODE

    def attempt(self) -> Attempt:
        """Translate."""
        password = Sensitive(self.password.get_secret_value())
        return Attempt(self.principal, password, self.code.get_secret_value())


class Invited(_Form):
    """Who begins to enrol."""

    principal: str = _PRINCIPAL
    invitation: SecretStr = _INVITATION


class Enrol(Invited):
    """Who ends to enrol: a password of one's own, and a code that proves the app."""

    password: SecretStr = Field(
        min_length=1,
        max_length=1024,
        description=f"{LEAST_CHARACTERS} to {MOST_CHARACTERS} characters; any will do.",
    )
    code: SecretStr = Field(min_length=6, max_length=6, description="Of the app.")

    def enrolment(self) -> Enrolment:
        """Translate."""
        return Enrolment(
            self.principal,
            self.invitation.get_secret_value(),
            Sensitive(self.password.get_secret_value()),
            self.code.get_secret_value(),
        )


class SeedForm(_Form):
    """What an authenticator app needs. Shown to who holds the invitation."""

    address: str = Field(repr=False, description="For a QR code: otpauth://totp/...")
    seed: str = Field(repr=False, description="The same to type, in base 32.")


class RecoveryForm(_Form):
    """Codes that stand in for the app, each once. Shown once."""

    recovery_codes: tuple[str, ...] = Field(repr=False)


class ActingAs(_Form):
    """Which of one's own assignments to act under."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"assignment": "manager@BJ01"}]})
    assignment: str = Field(min_length=1, max_length=128)


class SessionForm(_Form):
    """Who the caller is, and as what they act."""

    principal: str = Field(examples=["clerk.bj01"])
    assignments: tuple[str, ...] = Field(examples=[["clerk@BJ01"]])
    acting_as: str = Field(examples=["clerk@BJ01"])
    actions: tuple[str, ...] | None = Field(
        description="The only actions of the key that was sent; null: all of the role."
    )
    method: str = Field(description="password, oidc, or key", examples=["password"])
    ends_at: datetime | None = Field(description="Of a session, used or not.")
    csrf: str | None = Field(
        repr=False, description="To be sent as Kith-CSRF with every change; null: for a key none."
    )

    @classmethod
    def of(cls, session: Session, csrf: str | None) -> Self:
        """Translate."""
        signed_in, standing = session.signed_in, session.standing
        return cls(
            principal=standing.id,
            assignments=standing.assignments,
            acting_as=f"{session.subject.role}@{session.subject.node}",
            actions=None if standing.actions is None else tuple(sorted(standing.actions)),
            method=signed_in.method if signed_in else "key",
            ends_at=signed_in.ends_at if signed_in else None,
            csrf=csrf,
        )


class BegunForm(_Form):
    """A session that was begun. Its secret is in the cookie and nowhere else."""

    principal: str
    ends_at: datetime
    csrf: str = Field(repr=False, description="To be sent as Kith-CSRF with every change.")
