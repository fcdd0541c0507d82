"""The HTTP API: health, the published contract, and a real server."""

import httpx
import pytest
import sqlalchemy as sa

from api import edge, forms
from api.errors import MEDIA_TYPE
from cdp.storage import schema
from tests.integration.api.site import (
    CANARY_PHONE,
    Site,
    assert_problem,
)
from tests.integration.served import served

pytestmark = pytest.mark.integration
HOOKS = "/v1/hooks/{source}"  # of other systems, whose credential is a signature
INBOUND = {  # of SDKs, whose credential is a write key
    "/sa",
    "/v1/cloudevents",
    *(f"/v1/{call}" for call in ("batch", "identify", "track", "page", "screen", "group", "alias")),
}


def test_health_needs_no_key_and_readiness_says_what_is_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live while the process answers; ready with database, schema and key ring."""
    assert site.client.get("/healthz").json() == {"status": "live"}
    ready = site.client.get("/readyz")
    assert ready.json() == {"status": "ready"}
    assert ready.headers["cache-control"] == "no-store"
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.update(schema.workspace).values(key_check=b"x" * 34))
    assert_problem(site.client.get("/readyz"), 503, "key_ring_of_another_workspace")
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.delete(schema.workspace))
    assert_problem(site.client.get("/readyz"), 503, "database_empty")
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.alembic_version SET version_num = 'older'"))
    assert_problem(site.client.get("/readyz"), 503, "schema_not_current")

    def gone(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", None, Exception(CANARY_PHONE))

    monkeypatch.setattr("cdp.storage.migrate.is_current", gone)
    assert_problem(site.client.get("/readyz"), 503, "database_unavailable")


def test_the_contract_is_published_with_examples(site: Site) -> None:
    """OpenAPI names every route, its problems and an example of each body; no page with scripts."""
    contract = site.client.get("/openapi.json").json()
    assert set(contract["paths"]) == {
        "/healthz",
        "/metrics",
        "/readyz",
        "/.well-known/authzen-configuration",
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        "/access/v1/search/action",
        "/access/v1/search/resource",
        "/access/v1/search/subject",
        "/v1/profiles",
        "/v1/profiles/{profile_id}",
        "/v1/profiles/lookup",
        "/v1/profiles/match",
        "/v1/profiles/search",
        "/v1/figures",
        "/v1/profiles/{profile_id}/reveal",
        "/v1/profiles/{profile_id}/evidence",
        "/v1/reveals",
        "/v1/reveals/{request_id}",
        "/v1/reveals/{request_id}/approval",
        "/v1/reveals/{request_id}/review",
        "/v1/session",
        "/v1/session/acting-as",
        "/v1/session/enrolment",
        "/v1/session/enrolment/confirm",
        "/v1/session/oidc/callback",
        "/v1/session/oidc/start",
        "/v1/sources/{source}/records",
        HOOKS,
        *INBOUND,
    }
    for path in INBOUND:
        told = contract["paths"][path]["post"]
        assert {"200", "400", "401", "403", "413", "429", "503"} <= set(told["responses"])
        assert told["security"] == [{"writeKey": []}, {"writeKeyAsBearer": []}]
        assert all(one["schema"] for one in told["requestBody"]["content"].values())
    told = contract["paths"][HOOKS]["post"]
    assert set(told["responses"]) == {"200", "400", "401", "403", "408", "413", "429", "503"}
    assert told["security"] == [{"webhookSignature": []}]
    assert told["requestBody"]["content"]["application/json"]["schema"]
    for path, methods in contract["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1") and path not in {HOOKS, *INBOUND}:
                about_one = () if path == "/v1/figures" else ("404",)
                for status in ("400", "401", "403", *about_one, "422"):
                    assert MEDIA_TYPE in operation["responses"][status]["content"], (path, status)
                getting_in = path.startswith("/v1/session/") and "acting-as" not in path
                if getting_in or (path == "/v1/session" and operation is methods.get("post")):
                    assert "security" not in operation
                else:
                    assert operation["security"] == [{"apiKey": []}, {"session": []}]
    schemas = contract["components"]["schemas"]
    assert "ProblemForm" in schemas
    assert "HTTPValidationError" not in schemas
    assert schemas["Lookup"]["examples"]
    assert schemas["Reveal"]["examples"]
    sent = contract["paths"]["/v1/sources/{source}/records"]["post"]
    assert {"409", "413", "415", "503"} <= set(sent["responses"])
    assert {"application/json", "application/x-ndjson"} <= set(sent["requestBody"]["content"])
    assert sent["requestBody"]["content"]["application/json"]["examples"]
    assert_problem(site.client.get("/docs"), 404)


def test_a_real_server_answers_on_loopback(site: Site) -> None:
    """Uvicorn serves the same answers, without naming itself."""
    with (
        served(site.retailer.workspace) as url,
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        assert client.get("/readyz").json() == {"status": "ready"}
        answer = client.get(
            f"/v1/profiles/{site.ada}?purpose=service", headers=site.key("clerk.bj01")
        )
        assert answer.json()["fields"]["phone"]["value"] == "139****6789"
        assert "server" not in answer.headers
        large = client.post("/v1/profiles/lookup", content=b"x" * (edge.BODY_LIMIT + 1))
        assert_problem(large, 413, "body_too_large")
        assert_problem(client.get("/nothing"), 404)


def test_a_lookup_form_hides_its_value() -> None:
    """What was typed is wrapped as soon as it is read, and its errors do not repeat it."""
    form = forms.Lookup.model_validate({"field": "phone", "value": "canary", "purpose": "service"})
    assert "canary" not in f"{form!r} {form} {form.model_dump_json()}"
    with pytest.raises(ValueError, match="purpose") as caught:
        forms.Lookup.model_validate({"field": "phone", "value": "canary", "purpose": "canary"})
    assert "canary" not in str(caught.value)
