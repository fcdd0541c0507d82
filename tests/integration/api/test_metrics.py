"""``GET /metrics``: for operators, and about nobody."""

import pytest

from cdp.running import prometheus
from tests.integration.api.site import CANARIES, Site, assert_problem

pytestmark = pytest.mark.integration


def test_metrics_are_for_operators(site: Site) -> None:
    """Who wires sources may read them; a clerk is refused, with an event; nobody without a key."""
    answer = site.get("operator", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == prometheus.CONTENT_TYPE
    assert "kith_resolve_failures 0" in answer.text
    assert not [canary for canary in CANARIES if canary in answer.text]
    assert_problem(site.get("clerk.bj01", "/metrics"), 403)
    assert_problem(site.client.get("/metrics"), 401, "unauthorised")
    actions = [one["action"] for one in site.retailer.events()]
    assert actions.count("metrics.read") == 1
