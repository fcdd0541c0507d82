"""The HTTP API: what logs and errors hold."""

import json
import logging

import pytest
import structlog

from cdp.access.gate import Gate
from cdp.vault.errors import CellRefused
from tests.integration.api.site import (
    CANARIES,
    CANARY_NAME,
    CANARY_PHONE,
    Site,
    assert_problem,
)

pytestmark = pytest.mark.integration


def test_logs_hold_routes_and_never_what_was_sent(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge 3 and 4: paths, query strings, bodies and the messages of errors are not logged."""

    def broken(*_: object) -> None:
        raise RuntimeError(f"{CANARY_NAME} {CANARY_PHONE}")

    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service&q=canary")
        site.get("clerk.bj01", "/v1/profiles/canary?purpose=service")
        site.client.get("/canary?canary=1", headers={"User-Agent": "canary"})
        lookup = {"field": "phone", "value": CANARY_PHONE, "purpose": "service"}
        site.post("clerk.bj01", "/v1/profiles/lookup", lookup)
        monkeypatch.setattr(Gate, "find", broken)
        failed = site.post("clerk.bj01", "/v1/profiles/lookup", lookup)
    assert_problem(failed, 500, "unexpected")
    told = [(one.get("route"), one.get("status"), one.get("principal")) for one in lines]
    assert told == [
        ("/v1/profiles/{profile_id}", 200, "clerk.bj01"),
        ("/v1/profiles/{profile_id}", 404, "clerk.bj01"),
        ("none", 404, None),
        ("/v1/profiles/lookup", 200, "clerk.bj01"),
        (None, None, None),
        ("/v1/profiles/lookup", 500, "clerk.bj01"),
    ]
    assert (lines[4]["event"], lines[4]["error"]) == ("unexpected_error", "RuntimeError")
    assert lines[4]["at"].startswith("api/routes/profiles.py:")
    assert lines[4]["reference"] in failed.json()["detail"]
    # The driver's own test client names addresses in its log; ours must not.
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    written = json.dumps(lines, ensure_ascii=False) + " ".join(ours)
    assert not [canary for canary in CANARIES if canary in written]


def test_an_error_of_the_vault_names_no_value(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that does not open is our fault, and the problem tells the rule alone."""

    def refused(*_: object) -> None:
        raise CellRefused("the cell was changed", "restore it", record=1, field="phone")

    monkeypatch.setattr(type(site.retailer.workspace.vault), "open_cells", refused)
    response = site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service")
    assert_problem(response, 500, "stopped")
