"""Questions and answers of the Authorization API 1.0 (OpenID AuthZEN), on the wire.

Members that the standard leaves open are read from closed lists: ``context.purpose`` and
``context.circumstances``, and of a resource ``properties.stores`` and ``properties.field``. What
else a caller's context holds is not read.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cdp.access.questions import Named, Question, What, Who
from policies.decision import Decision
from policies.vocabulary import FieldClass

MOST: int = 100  # questions in one request
LARGEST_PAGE: int = 1000
_Word = Annotated[str, Field(max_length=128)]


class _Asked(BaseModel):
    """Base of what is sent: the standard lets callers add members, which are not read."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class SubjectProperties(_Asked):
    """``acting_as``: the assignment, role@node; without it the first."""

    acting_as: _Word | None = None


class SubjectForm(_Asked):
    """Whose right it is."""

    type: _Word
    id: _Word
    properties: SubjectProperties = SubjectProperties()


class SubjectKind(_Asked):
    """The kind of subject that is searched for."""

    type: _Word


class ResourceProperties(_Asked):
    """Of a field, the stores of the person; of a store or a profile, the field."""

    stores: Annotated[list[_Word], Field(max_length=200)] | None = None
    field: _Word = FieldClass.PROFILE_ID.value


class ResourceKind(_Asked):
    """The kind of resource that is searched for: ``field`` or ``store``."""

    type: _Word
    properties: ResourceProperties = ResourceProperties()


class ResourceForm(ResourceKind):
    """What it is about: a ``field``, a ``store`` or a ``profile``."""

    id: _Word


class ActionForm(_Asked):
    """An action of the policy."""

    name: _Word


class ContextForm(_Asked):
    """What for, and in which circumstances. Without a purpose everything is refused."""

    purpose: _Word = ""
    circumstances: Annotated[list[_Word], Field(max_length=8)] = []


class PageAsked(_Asked):
    """Which part of a long answer."""

    token: _Word = ""
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = LARGEST_PAGE


class EvaluationForm(_Asked):
    """One question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": {"type": "principal", "id": "clerk.bj01"},
                    "action": {"name": "read"},
                    "resource": {
                        "type": "field",
                        "id": "phone",
                        "properties": {"stores": ["BJ01"]},
                    },
                    "context": {"purpose": "service"},
                }
            ]
        }
    )
    subject: SubjectForm
    action: ActionForm
    resource: ResourceForm
    context: ContextForm = ContextForm()

    def question(self) -> Question:
        """The question, as our policy is asked."""
        return question(self.subject, self.action.name, self.resource, self.context)


class OneOfMany(_Asked):
    """One of several questions; what it leaves out is taken from the request."""

    subject: SubjectForm | None = None
    action: ActionForm | None = None
    resource: ResourceForm | None = None
    context: ContextForm | None = None


class Options(_Asked):
    """When to stop."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = (
        "execute_all"
    )


class EvaluationsForm(OneOfMany):
    """Several questions in one request, or, without ``evaluations``, one."""

    evaluations: Annotated[list[OneOfMany], Field(max_length=MOST)] = []
    options: Options = Options()

    def questions(self) -> list[EvaluationForm]:
        """Each question with what the request gives to all; what lacks there too is empty."""
        return [
            EvaluationForm(
                subject=one.subject or self.subject or SubjectForm(type="", id=""),
                action=one.action or self.action or ActionForm(name=""),
                resource=one.resource or self.resource or ResourceForm(type="", id=""),
                context=one.context or self.context or ContextForm(),
            )
            for one in self.evaluations or [self]
        ]

    @model_validator(mode="after")
    def _whole_if_alone(self) -> Self:
        if not self.evaluations and None in (self.subject, self.action, self.resource):
            raise PydanticCustomError("missing", "subject, action and resource are needed")
        return self


class SubjectSearch(_Asked):
    """Who may do it?"""

    subject: SubjectKind
    action: ActionForm
    resource: ResourceForm
    context: ContextForm = ContextForm()
    page: PageAsked = PageAsked()


class ResourceSearch(_Asked):
    """On what may she do it?"""

    subject: SubjectForm
    action: ActionForm
    resource: ResourceKind
    context: ContextForm = ContextForm()
    page: PageAsked = PageAsked()


class ActionSearch(_Asked):
    """What may she do?"""

    subject: SubjectForm
    resource: ResourceForm
    context: ContextForm = ContextForm()
    page: PageAsked = PageAsked()


class Answered(BaseModel):
    """Base of what we send."""

    model_config = ConfigDict(extra="forbid")


class ReasonForm(Answered):
    """Why, in English."""

    en: str


class DecisionContext(Answered):
    """What stands behind a decision, and how much of the field is shown."""

    reason: str
    reason_user: ReasonForm
    reason_admin: ReasonForm
    treatment: str
    policy_version: str


class DecisionForm(Answered):
    """The answer to one question."""

    decision: bool
    context: DecisionContext

    @classmethod
    def of(cls, decision: Decision, version: str) -> Self:
        """Return the answer."""
        return cls(
            decision=decision.allowed,
            context=DecisionContext(
                reason=decision.reason.value,
                reason_user=ReasonForm(en=decision.reason.sentence),
                reason_admin=ReasonForm(en=decision.rule),
                treatment=decision.treatment.word,
                policy_version=version,
            ),
        )


class DecisionsForm(Answered):
    """The answers to several questions, in their order, up to where it was to stop."""

    evaluations: list[DecisionForm]


class PageForm(Answered):
    """Where the answer goes on: an empty token says that this is all."""

    next_token: str
    count: int
    total: int


class EntityForm(Answered):
    """Somebody or something that was found."""

    type: str
    id: str


class ActionName(Answered):
    """An action that was found."""

    name: str


class EntitiesForm(Answered):
    """Subjects or resources that were found."""

    page: PageForm
    results: list[EntityForm]

    @classmethod
    def of(cls, found: list[Named], page: PageAsked) -> Self:
        """Return the asked part of what was found, which is in the order of ids."""
        return cls(
            page=part([one.id for one in found], page),
            results=[EntityForm(type=one.type, id=one.id) for one in found if one.id > page.token][
                : page.limit
            ],
        )


class ActionsForm(Answered):
    """Actions that were found."""

    page: PageForm
    results: list[ActionName]

    @classmethod
    def of(cls, found: list[str], page: PageAsked) -> Self:
        """Return the asked part of what was found, in alphabetical order."""
        names = sorted(found)
        left = [ActionName(name=one) for one in names if one > page.token]
        return cls(page=part(names, page), results=left[: page.limit])


def part(ids: list[str], page: PageAsked) -> PageForm:
    """Describe the page of sorted ids that begins after the token."""
    left = [one for one in ids if one > page.token]
    more = len(left) > page.limit
    return PageForm(
        next_token=left[page.limit - 1] if more else "",
        count=min(len(left), page.limit),
        total=len(ids),
    )


def question(
    subject: SubjectForm, action: str, resource: ResourceForm, context: ContextForm
) -> Question:
    """Return the question, as our policy is asked."""
    told = resource.properties
    return Question(
        Who(subject.type, subject.id, subject.properties.acting_as),
        action,
        What(
            resource.type,
            resource.id,
            told.field,
            None if told.stores is None else frozenset(told.stores),
        ),
        context.purpose,
        frozenset(context.circumstances),
    )


class MetadataForm(Answered):
    """Where the decision point answers what."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str
