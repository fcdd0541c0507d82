"""What a webhook claims of itself."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from connectors.hooks.claims import MOST, claim_of, key_of
from connectors.hooks.declaration import SignatureSpec
from connectors.record import Sensitive

STANDARD = SignatureSpec("standard")
SHOPIFY = SignatureSpec("hmac", "x-shopify-hmac-sha256", "base64")
GITHUB = SignatureSpec("hmac", "x-hub-signature-256", "hex", "sha256=")
TIMED = SignatureSpec("hmac", "x-mac", "hex", timestamp_header="x-at", separator=":")
SECRET = "whsec_" + base64.b64encode(b"a secret of a made-up sender").decode()
BODY = '{"id": "7"}'
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_a_message_of_the_independent_library_is_read() -> None:
    """Standard Webhooks: what is signed, when, under which name; the key is the secret's."""
    signature = Webhook(SECRET).sign("msg_1", AT, BODY)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(AT.timestamp())),
        "webhook-signature": f"v1a,abc {signature} v1,%%%",
    }
    claim = claim_of(STANDARD, headers, BODY.encode())
    key = key_of(STANDARD, Sensitive(SECRET))
    assert key is not None
    [found] = claim.signatures
    assert found == hmac.new(key, claim.signed, hashlib.sha256).digest()
    assert (claim.name, claim.at, claim.whole) == ("msg_1", int(AT.timestamp()), True)


def test_the_forms_of_shopify_and_github_are_read() -> None:
    """The body alone, in base 64 or in hexadecimal digits behind a prefix (invariant 2)."""
    digest = hmac.new(b"shared", BODY.encode(), hashlib.sha256).digest()
    shopify = {"x-shopify-hmac-sha256": base64.b64encode(digest).decode()}
    github = {"x-hub-signature-256": f"sha256={digest.hex()}"}
    for spec, headers in ((SHOPIFY, shopify), (GITHUB, github)):
        claim = claim_of(spec, headers, BODY.encode())
        assert (claim.signed, claim.signatures, claim.name) == (BODY.encode(), (digest,), None)
    assert key_of(GITHUB, Sensitive("shared")) == b"shared"
    assert key_of(GITHUB, Sensitive(" \t")) is None  # anybody would guess it


def test_a_time_that_is_declared_is_part_of_what_is_signed() -> None:
    """Before the body, with the separator between (invariant 2)."""
    claim = claim_of(TIMED, {"x-at": "1700000000", "x-mac": "00" * 32}, b"{}")
    assert (claim.signed, claim.at, claim.whole) == (b"1700000000:{}", 1_700_000_000, True)


LACKING: list[tuple[SignatureSpec, dict[str, str]]] = [
    (STANDARD, {}),
    (STANDARD, {"webhook-id": "a", "webhook-timestamp": "1"}),
    (STANDARD, {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,"}),
    (STANDARD, {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}),
    (STANDARD, {"webhook-id": "a b", "webhook-timestamp": "1", "webhook-signature": "v1,x"}),
    (STANDARD, {"webhook-id": "a", "webhook-timestamp": "-1", "webhook-signature": "v1,x"}),
    (SHOPIFY, {}),
    (SHOPIFY, {"x-shopify-hmac-sha256": "é"}),
    (GITHUB, {"x-hub-signature-256": "00" * 32}),
    (GITHUB, {"x-hub-signature-256": "sha256=" + "zz" * 32}),
    (TIMED, {"x-mac": "00" * 32}),
    (TIMED, {"x-mac": "00" * 32, "x-at": "1e9"}),
    (TIMED, {"x-mac": "00" * 32, "x-at": "9" * 13}),
]


@pytest.mark.parametrize(("spec", "headers"), LACKING)
def test_what_lacks_a_part_is_a_claim_that_no_key_fits(
    spec: SignatureSpec, headers: dict[str, str]
) -> None:
    """Invariant 1: it holds the body, so that it costs what a good one costs."""
    claim = claim_of(spec, headers, b"body")
    assert claim.signatures == () or not claim.whole
    assert b"body" in claim.signed


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature",
                                        "x-mac", "x-at", "x-hub-signature-256"]), st.text()),
       st.binary(max_size=50))  # fmt: skip
def test_whatever_was_sent_is_a_claim(headers: dict[str, str], body: bytes) -> None:
    """Invariant 1: no header makes it fail; signatures have 32 bytes, and are few."""
    for spec in (STANDARD, SHOPIFY, GITHUB, TIMED):
        claim = claim_of(spec, headers, body)
        assert claim.signed.endswith(body)
        assert all(len(one) == 32 for one in claim.signatures)
        assert len(claim.signatures) <= MOST


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "canary %", "whsec_é"])
def test_a_secret_that_is_none_of_the_scheme_is_no_key(secret: str) -> None:
    """Too short, or no base 64."""
    assert key_of(STANDARD, Sensitive(secret)) is None


def test_nothing_shows() -> None:
    """A claim prints neither what was signed nor a signature nor a name."""
    claim: Any = claim_of(SHOPIFY, {"x-shopify-hmac-sha256": "canary"}, b"canary")
    assert "canary" not in f"{claim!r} {claim}"
