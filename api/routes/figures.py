"""Figures about groups of people, and no person."""

from typing import Any

from fastapi import APIRouter

from api import list_forms
from api.auth import Authenticated
from api.errors import denied, described
from cdp.access.answers import Denial

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("Not JSON, or no purpose"),
    401: described("No valid API key"),
    403: described("Not allowed, or a field that the caller would not be shown clear"),
    413: described("The body is too large"),
    422: described("Not of its form, or a grouping that cannot be used"),
}
router = APIRouter(prefix="/v1/figures", tags=["figures"], responses=_PROBLEMS)


@router.post("")
def count(caller: Authenticated, form: list_forms.FiguresQuestion) -> list_forms.FiguresForm:
    """Count people in groups. Groups below ten are hidden, with others that would tell them."""
    with caller.session() as session:
        answer = session.gate.figures(
            session.connection, session.subject, form.purpose.value, form.question()
        )
    if isinstance(answer, Denial):
        raise denied(answer)
    return list_forms.FiguresForm.of(answer)
