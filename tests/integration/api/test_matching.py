"""Look-ups by parts over HTTP."""

import pytest
import yaml

from cdp.ingest.reindex import build
from tests.integration.api.site import Site, assert_problem
from tests.integration.retailer import declaration

pytestmark = pytest.mark.integration


def test_a_member_is_found_by_surname_and_end_of_phone(site: Site) -> None:
    """The parts stand in the body; the answer is that of any look-up; refusals hold nothing."""
    workspace = site.retailer.workspace
    pair = {"surname_phone": {"parts": ["surname", "phone_tail_4"], "bits": 12}}
    content = yaml.safe_dump(declaration() | {"indexes": pair}, allow_unicode=True)
    workspace.settings.declaration.write_text(content, encoding="utf-8")
    site.restart()
    build(workspace, lambda *_: None)
    asked = {"parts": {"surname": "欧阳", "phone_tail_4": "6789"}, "purpose": "service"}
    found = site.post("clerk.bj01", "/v1/profiles/match", asked)
    assert found.status_code == 200, found.text
    (one,) = found.json()["profiles"]
    assert (one["profile_id"], one["fields"]["name"]["value"]) == (site.ada, "欧阳**")
    nobody = site.post("clerk.sz01", "/v1/profiles/match", asked)
    assert (nobody.status_code, nobody.json()) == (200, {"profiles": []})
    hidden = {"parts": {"name": "欧阳金丝", "phone_tail_4": "6789"}, "purpose": "service"}
    assert_problem(site.post("clerk.bj01", "/v1/profiles/match", hidden), 403)
    for parts, code in (
        ({"phone_tail_4": "6789"}, "no_such_index"),
        ({"phone_tail_4": "canary"}, "not_of_its_shape"),
        ({}, None),
    ):
        body = {"parts": parts, "purpose": "service"}
        assert_problem(site.post("clerk.bj01", "/v1/profiles/match", body), 422, code)
