"""What reveals, requests for them and their judgements look like on the wire."""

from datetime import datetime
from enum import StrEnum
from typing import NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field

from cdp.access.answers import Revealed
from cdp.access.reveal_states import Act, Actor, Request, State
from cdp.access.second_person import LONGEST_MINUTES
from policies.vocabulary import FieldClass, Purpose

_EXAMPLE_ID = "p4t0k9v2m8x7c1q5zr3jd"
_REASON = "1 to 200 characters, without phone numbers, addresses or ID numbers."
_TYPED = 2000  # characters that are judged; more are not read


class _Form(BaseModel):
    """Base of these forms. Pydantic's own ``repr`` leaves out the fields marked so."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a form is sent, and never pickled")


class Reveal(_Form):
    """One field, clear, for a reason that the audit log keeps."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"field": "phone", "purpose": "service", "reason": "Call back about ticket 4711"}
            ]
        }
    )
    field: FieldClass
    purpose: Purpose
    reason: str = Field(
        max_length=_TYPED,
        repr=False,  # it may still hold what it must not; it is judged before it is kept
        description=_REASON,
    )
    emergency: bool = Field(
        default=False,
        description="Break the glass: at once, without a second person, and reviewed afterwards.",
    )


class RevealedForm(_Form):
    """One clear value, and until when it may be looked at."""

    value: str = Field(repr=False, examples=["+8613812348000"])
    treatment: str = Field(description="Always clear.", examples=["clear"])
    shown_until: datetime = Field(description="Take it off the screen then.")
    request: str | None = Field(
        description="The approved request that it used up, or the broken glass.", examples=[None]
    )
    review_by: datetime | None = Field(
        description="When the broken glass must be reviewed; null: none was broken."
    )

    @classmethod
    def of(cls, shown: Revealed) -> Self:
        """Translate."""
        return cls(
            value=shown.value,
            treatment=shown.treatment,
            shown_until=shown.shown_until,
            request=shown.request,
            review_by=shown.review_by,
        )


class Ask(_Form):
    """A request for a second person's approval to reveal one field of one person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "profile_id": _EXAMPLE_ID,
                    "field": "national_id",
                    "purpose": "fraud",
                    "reason": "Points stolen, case 4711",
                }
            ]
        }
    )
    profile_id: str = Field(max_length=64)
    field: FieldClass
    purpose: Purpose
    reason: str = Field(max_length=_TYPED, repr=False, description=_REASON)


class Answer(StrEnum):
    """What a second person answers a request."""

    APPROVE = Act.APPROVE.value
    REJECT = Act.REJECT.value


class Verdict(StrEnum):
    """What a reviewer says of a broken glass."""

    JUSTIFIED = State.JUSTIFIED.value
    NOT_JUSTIFIED = State.NOT_JUSTIFIED.value


class Approval(_Form):
    """The second person's answer to a request."""

    answer: Answer
    comment: str | None = Field(None, max_length=_TYPED, repr=False, description=_REASON)
    minutes: int | None = Field(
        None, ge=1, le=LONGEST_MINUTES, description="How long it may be used; null: as declared."
    )


class Review(_Form):
    """The judgement of a broken glass."""

    verdict: Verdict
    comment: str = Field(max_length=_TYPED, repr=False, description=_REASON)


class ActorForm(_Form):
    """Somebody, and what they acted as."""

    id: str = Field(examples=["manager.bj01"])
    role: str = Field(examples=["manager"])
    node: str = Field(examples=["BJ01"])

    @classmethod
    def of(cls, actor: Actor) -> Self:
        """Translate."""
        return cls(id=actor.id, role=actor.role, node=actor.node)


class RequestForm(_Form):
    """One request, or one broken glass. No value, and nothing of the person but the id."""

    id: str = Field(examples=["gtrcvbqdkhmnpsfj"])
    state: State
    requester: ActorForm
    profile_id: str | None = Field(description="Null: the person was destroyed.")
    field: str
    purpose: str
    reason: str = Field(repr=False)
    at: datetime
    ends_at: datetime = Field(description="Of what it waits for: an answer, its use, a review.")
    second: ActorForm | None = Field(description="Who approved, rejected or reviewed it.")
    comment: str | None = Field(repr=False)
    second_at: datetime | None
    used_at: datetime | None

    @classmethod
    def of(cls, one: Request) -> Self:
        """Translate."""
        return cls(
            id=one.id,
            state=one.state,
            requester=ActorForm.of(one.requester),
            profile_id=one.profile_id,
            field=one.field,
            purpose=one.purpose,
            reason=one.reason,
            at=one.at,
            ends_at=one.ends_at,
            second=ActorForm.of(one.second) if one.second else None,
            comment=one.comment,
            second_at=one.second_at,
            used_at=one.used_at,
        )


class RequestsForm(_Form):
    """The caller's own requests and those that they may judge: 200 at most."""

    requests: list[RequestForm]
    after: str | None = Field(description="Ask with it for the next ones; null: these are all.")
