"""Our policy, asked by other systems: the Authorization API 1.0 of OpenID AuthZEN.

A refusal is an answer (200, ``decision: false``), never a status. See ``cdp/access/questions.py``
for what it promises, and docs/howto/ask-the-policy.md for how to ask.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastapi import APIRouter, Request

from api import authzen_forms as forms
from api.auth import Authenticated, Caller
from api.errors import Problem, denied, described
from cdp.access.questions import PROFILE, Questions
from policies.decision import Decision

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: described("Not JSON"),
    401: described("No valid credential"),
    403: described("The caller may not ask about others"),
    413: described("The body is too large"),
    422: described("Not of its form"),
}
router = APIRouter(tags=["authzen"])
_BASE: Final = "/access/v1"
# The answer at which each semantic stops; none: all are answered.
_STOPS: Final = {"deny_on_first_deny": False, "permit_on_first_permit": True}


@contextmanager
def _asking(caller: Caller, about: Iterable[str]) -> Iterator[Questions]:
    """Answer in one transaction, after its event; 403 where the caller may not ask."""
    workspace = caller.services.workspace.repinned()
    with caller.session() as session:
        questions = Questions(workspace, session.connection, session.subject, caller.request_id)
        denial = questions.refusal(about)
        if denial is None:
            yield questions
    if denial is not None:
        raise denied(denial)


@router.post(f"{_BASE}/evaluation", responses=_PROBLEMS)
def evaluate(caller: Authenticated, form: forms.EvaluationForm) -> forms.DecisionForm:
    """May she do it?"""
    with _asking(caller, {form.subject.id}) as questions:
        decision = questions.answer(form.question())
    return forms.DecisionForm.of(decision, questions.version)


@router.post(f"{_BASE}/evaluations", responses=_PROBLEMS)
def evaluate_several(
    caller: Authenticated, form: forms.EvaluationsForm
) -> forms.DecisionsForm | forms.DecisionForm:
    """May she do these? Without ``evaluations``, the same as one evaluation."""
    asked = form.questions()
    answers: list[Decision] = []
    stop = _STOPS.get(form.options.evaluations_semantic)
    with _asking(caller, {one.subject.id for one in asked}) as questions:
        for one in asked:
            answers.append(questions.answer(one.question()))
            if answers[-1].allowed is stop:
                break
    made = [forms.DecisionForm.of(one, questions.version) for one in answers]
    return forms.DecisionsForm(evaluations=made) if form.evaluations else made[0]


@router.post(f"{_BASE}/search/subject", responses=_PROBLEMS)
def search_subjects(caller: Authenticated, form: forms.SubjectSearch) -> forms.EntitiesForm:
    """Who may do it?"""
    nobody = forms.SubjectForm(type=form.subject.type, id="")
    question = forms.question(nobody, form.action.name, form.resource, form.context)
    with _asking(caller, ()) as questions:
        found = questions.subjects(question)
    return forms.EntitiesForm.of(found, form.page)


@router.post(f"{_BASE}/search/resource", responses=_PROBLEMS)
def search_resources(caller: Authenticated, form: forms.ResourceSearch) -> forms.EntitiesForm:
    """On which fields, or people of which stores, may she do it?"""
    if form.resource.type == PROFILE:
        raise Problem(422, "people_are_not_listed", "Search for fields or stores.")
    nothing = forms.ResourceForm(
        type=form.resource.type, id="", properties=form.resource.properties
    )
    question = forms.question(form.subject, form.action.name, nothing, form.context)
    with _asking(caller, {form.subject.id}) as questions:
        found = questions.resources(question)
    return forms.EntitiesForm.of(found, form.page)


@router.post(f"{_BASE}/search/action", responses=_PROBLEMS)
def search_actions(caller: Authenticated, form: forms.ActionSearch) -> forms.ActionsForm:
    """What may she do with it?"""
    question = forms.question(form.subject, "", form.resource, form.context)
    with _asking(caller, {form.subject.id}) as questions:
        found = questions.actions(question)
    return forms.ActionsForm.of(found, form.page)


@router.get("/.well-known/authzen-configuration")
def describe(request: Request) -> forms.MetadataForm:
    """Where this decision point answers what. Anybody may ask."""
    here = str(request.base_url).rstrip("/")
    return forms.MetadataForm(
        policy_decision_point=here,
        access_evaluation_endpoint=f"{here}{_BASE}/evaluation",
        access_evaluations_endpoint=f"{here}{_BASE}/evaluations",
        search_subject_endpoint=f"{here}{_BASE}/search/subject",
        search_resource_endpoint=f"{here}{_BASE}/search/resource",
        search_action_endpoint=f"{here}{_BASE}/search/action",
    )
