"""People: one by id, by identifier, by page; why records were joined."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from api import forms, list_forms
from api.auth import Authenticated
from api.errors import denied, described
from cdp.access.answers import NOT_FOUND, Denial
from cdp.access.cursors import LONGEST
from connectors.record import Sensitive
from policies.vocabulary import Action

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("Not JSON, or no purpose"),
    401: described("No valid API key"),
    403: described("Not allowed, whoever it is about"),
    404: described("No such person among those the caller may see"),
    413: described("The body is too large"),
    422: described("Not of its form, or an identifier or reason that cannot be used"),
}
router = APIRouter(prefix="/v1/profiles", tags=["profiles"], responses=_PROBLEMS)

ProfileId = Annotated[str, Path(description="A current or a former profile id.")]


@router.get("")
def list_profiles(
    caller: Authenticated,
    purpose: forms.PurposeQuery,
    after: Annotated[str | None, Query(max_length=LONGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> forms.PageForm:
    """List the people of the caller's stores, in the order of their ids."""
    with caller.session() as session:
        page = session.gate.list_page(
            session.connection, session.subject, purpose.value, after, limit
        )
    if isinstance(page, Denial):
        raise denied(page)
    return forms.PageForm.of(page)


@router.post("/search")
def search_profiles(caller: Authenticated, form: list_forms.Search) -> forms.PageForm:
    """List people by what the caller is shown clear of them, in an order."""
    with caller.session() as session:
        page = session.gate.list_page(
            session.connection,
            session.subject,
            form.purpose.value,
            form.after,
            form.limit,
            form.listing(),
        )
    if isinstance(page, Denial):
        raise denied(page)
    return forms.PageForm.of(page)


@router.get("/{profile_id}")
def read_profile(
    caller: Authenticated, profile_id: ProfileId, purpose: forms.PurposeQuery
) -> forms.ProfileForm:
    """Read one person. A former id answers with the current one and ``redirected_from``."""
    with caller.session() as session:
        view = session.gate.view(session.connection, session.subject, profile_id, purpose.value)
    if view is None:
        refusal = session.gate.refusal(session.subject, Action.READ, purpose.value)
        raise denied(refusal or NOT_FOUND)
    return forms.ProfileForm.of(view)


@router.post("/lookup")
def look_up(caller: Authenticated, form: forms.Lookup) -> forms.FoundForm:
    """Look people up by a full identifier that the person in front of you gave."""
    raw = Sensitive(form.value.get_secret_value())
    with caller.session() as session:
        found = session.gate.find(
            session.connection,
            session.subject,
            form.field.value,
            form.scope,
            raw,
            form.purpose.value,
        )
    if isinstance(found, Denial):
        raise denied(found)
    return forms.FoundForm(profiles=[forms.ProfileForm.of(view) for view in found])


@router.post("/match")
def match(caller: Authenticated, form: forms.PartsLookup) -> forms.FoundForm:
    """Look people up by parts that an index is made of: surname and end of the phone, say."""
    given = {part: Sensitive(value.get_secret_value()) for part, value in form.parts.items()}
    with caller.session() as session:
        found = session.gate.find_by_parts(
            session.connection, session.subject, given, form.purpose.value
        )
    if isinstance(found, Denial):
        raise denied(found)
    return forms.FoundForm(profiles=[forms.ProfileForm.of(view) for view in found])


@router.get("/{profile_id}/evidence")
def read_evidence(
    caller: Authenticated, profile_id: ProfileId, purpose: forms.PurposeQuery
) -> forms.EvidenceForm:
    """Say why the records of one person were joined."""
    with caller.session() as session:
        evidence = session.gate.evidence(
            session.connection, session.subject, profile_id, purpose.value
        )
    if isinstance(evidence, Denial):
        raise denied(evidence)
    return forms.EvidenceForm.of(evidence)
