"""A root of keys in AWS KMS, against moto's own KMS in this process: boto3 is the real one."""

import json
import sys
import traceback
from uuid import UUID

import boto3
import pytest
from boto3.session import Session
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse

from cdp.vault.errors import RootNeeds, RootOfAnotherPlace, RootRefused, RootUnreachable
from cdp.vault.roots import aws_kms
from cdp.vault.roots.aws_kms import AwsKmsRoot
from cdp.vault.roots.provider import RootPlace
from cdp.vault.secret import Secret

REGION = "eu-central-1"
ROOT = b"canary-root-canary-root-canary-r"
HERE = RootPlace(UUID(int=7), 3)
ELSEWHERE = [RootPlace(UUID(int=8), 3), RootPlace(UUID(int=7), 4)]
NO_KEY = f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"
ALLOW = (
    "let this account encrypt and decrypt with the key, see that the key is enabled and not "
    "being deleted, and try again"
)
GIVE = "give credentials as boto3 reads them, and name the key by its ARN"
LEAD = "see that the network and CDP_KMS_ENDPOINT lead to KMS, and try again"


LOADER = create_loader()


@pytest.fixture
def account(monkeypatch, tmp_path):
    """An account at an empty KMS, as boto3 finds one: credentials, but no region."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Every session parses megabytes of descriptions of services; here they share them.
    monkeypatch.setattr("botocore.session.create_loader", lambda *_: LOADER)
    with mock_aws(config={"core": {"mock_credentials": False}}):
        yield


@pytest.fixture
def kms(account):
    """A client of that KMS."""
    return boto3.client("kms", region_name=REGION)


@pytest.fixture
def key(kms):
    """The ARN of a new key."""
    return kms.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def waits(monkeypatch):
    """What boto3 waited between two attempts, in seconds; no test waits."""
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def answers(account, monkeypatch):
    """Have KMS answer every call with one error; what it was asked is in the list."""
    asked = []

    def answer(error):
        def say_no(_, **request):
            asked.append(request)
            raise error

        monkeypatch.setattr(KmsBackend, "encrypt", say_no)
        monkeypatch.setattr(KmsBackend, "decrypt", say_no)
        monkeypatch.setattr(KmsResponse, "_validate_key_id", lambda *_: None)
        return asked

    return answer


def refused(kind, do, *arguments):
    """The sentence of the error that ``do`` ends in; provider invariant 3 holds for it."""
    with pytest.raises(kind) as caught:
        do(*arguments)
    error = caught.value
    assert type(error) is kind
    assert error.__context__ is None  # botocore's own error keeps frames that hold the root
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "/cdp/" in frame.f_code.co_filename:
            assert "canary" not in repr(frame.f_locals)
    assert "canary" not in f"{error!r} {error.args}"
    return str(error)


def sentence(rule, step, key=NO_KEY):
    return f"provider aws-kms, key {key}: {rule}; next: {step}"


# ── a root goes there and comes back ────────────────────────────────────────


def test_a_root_comes_back_in_its_own_place_only(key):
    """Provider invariant 1: what the ring keeps is JSON and opens for one root of one workspace."""
    guard = AwsKmsRoot(key)
    held = json.loads(json.dumps(guard.wrap(Secret(ROOT), HERE)))
    assert held.keys() == {"key", "sealed"}
    assert guard.unwrap(held, HERE).expose() == ROOT
    for place in ELSEWHERE:
        assert refused(RootOfAnotherPlace, guard.unwrap, held, place) == (
            f"provider aws-kms, workspace {place.workspace}, root version {place.version}, "
            f"key {key}: the root was sealed for another workspace or root version, or was "
            "changed; next: restore this workspace's key ring from your own copy of it"
        )


def test_a_key_policy_can_ask_for_workspace_and_root_version(kms, key):
    """The encryption context has the two documented names, and nothing else in it."""
    held = AwsKmsRoot(key).wrap(Secret(ROOT), HERE)
    opened = kms.decrypt(
        CiphertextBlob=aws_kms.local.bytes_of(held["sealed"]),
        EncryptionContext={
            "kith:workspace": "00000000-0000-0000-0000-000000000007",
            "kith:root-version": "3",
        },
    )
    assert opened["Plaintext"] == ROOT


def test_the_ring_keeps_the_arn_of_an_alias(kms, key, monkeypatch):
    """An alias that is moved to another key later does not shut the ring."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    kms.create_alias(AliasName="alias/root", TargetKeyId=key)
    guard = AwsKmsRoot("alias/root")
    held = guard.wrap(Secret(ROOT), HERE)
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/root", TargetKeyId=another)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert held["key"] == key
    assert guard.unwrap(held, HERE).expose() == ROOT


@pytest.mark.parametrize(
    ("key", "region"),
    [
        (f"arn:aws:kms:{REGION}:123456789012:alias/root", REGION),
        (f"arn:aws:kms:{REGION}", REGION),
        ("arn:aws:kms::123456789012:alias/root", None),
        ("arn:aws:kms", None),
        ("one:two:three:four:five", None),
        ("alias/root", None),
    ],
    ids=["alias", "cut short", "no region", "cut shorter", "no ARN", "a name"],
)
def test_only_an_arn_names_a_region(key, region):
    """Of anything else boto3 is left to find the region where it always does."""
    assert aws_kms._region(key) == region


def test_nobody_waits_long_for_kms(key, waits, monkeypatch):
    """Five seconds to connect and five to read, twice at most; another endpoint if one is set."""
    made = []
    really = Session.client

    def remembered(session, *arguments, **options):
        made.append(really(session, *arguments, **options))
        return made[-1]

    monkeypatch.setattr(Session, "client", remembered)
    AwsKmsRoot(key).wrap(Secret(ROOT), HERE)
    meta = made[0].meta
    assert (meta.config.connect_timeout, meta.config.read_timeout) == (5, 5)
    assert meta.config.retries["total_max_attempts"] == 2
    assert meta.endpoint_url == f"https://kms.{REGION}.amazonaws.com"
    another = "http://127.0.0.1:9"
    refused(RootUnreachable, AwsKmsRoot(key, another).wrap, Secret(ROOT), HERE)
    assert (made[1].meta.endpoint_url, made[1].meta.region_name) == (another, REGION)


# ── what is missing on our side ─────────────────────────────────────────────


def test_without_a_key_nothing_is_asked(answers):
    """Provider invariant 2: to seal, the setting is needed; it is named. To open it is not."""
    asked = answers(JsonRESTError("NotFoundException", ""))
    said = refused(RootNeeds, AwsKmsRoot(None).wrap, Secret(ROOT), HERE)
    assert said == (
        "provider aws-kms: CDP_KMS_KEY is not set; next: set it to the ARN of the KMS key"
    )
    assert not asked
    refused(RootRefused, AwsKmsRoot(None).unwrap, {"key": NO_KEY, "sealed": "AAAA"}, HERE)
    assert asked


def test_without_the_library_it_says_what_to_install(monkeypatch):
    """Provider invariant 2: who keeps the root elsewhere need not install boto3."""
    for name in ("boto3.session", "botocore.config"):
        with monkeypatch.context() as missing:
            missing.setitem(sys.modules, name, None)
            said = refused(RootNeeds, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
        assert said == sentence("boto3 is not installed", "run: pip install 'kith[aws]'")


SIGNED_IN_ELSEWHERE = """[default]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = reader
"""


@pytest.mark.parametrize(
    ("unset", "put", "kind"),
    [
        (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], {}, "NoCredentialsError"),
        (["AWS_SECRET_ACCESS_KEY"], {}, "PartialCredentialsError"),
        ([], {"AWS_PROFILE": "nobody"}, "ProfileNotFound"),
    ],
)
def test_an_account_that_boto3_does_not_find_is_named(account, monkeypatch, unset, put, kind):
    """Provider invariant 2: no account, half of one, or a profile that is not there."""
    for name in unset:
        monkeypatch.delenv(name)
    for name, value in put.items():
        monkeypatch.setenv(name, value)
    said = refused(RootNeeds, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
    assert said == sentence(f"boto3 has no account or region to ask KMS with ({kind})", GIVE)


def test_a_sign_in_that_has_run_out_is_not_called_a_network_fault(account, monkeypatch, tmp_path):
    """Provider invariant 2: who must sign in again is not sent to look at the network."""
    (tmp_path / "AWS_CONFIG_FILE").write_text(SIGNED_IN_ELSEWHERE, encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    said = refused(RootNeeds, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
    assert "boto3 has no account or region to ask KMS with (" in said
    assert "SSO" in said


def test_a_region_that_nobody_names_is_asked_for(account):
    """Provider invariant 2: an alias without a region; with its ARN it would work."""
    said = refused(RootNeeds, AwsKmsRoot("alias/root").wrap, Secret(ROOT), HERE)
    rule = "boto3 has no account or region to ask KMS with (NoRegionError)"
    assert said == sentence(rule, GIVE, "alias/root")


@pytest.mark.parametrize(
    ("change", "failure", "match"),
    [
        ({"key": ""}, ValueError, "^no key is named$"),
        ({"key": 7}, ValueError, "^no key is named$"),
        ({"key": None}, ValueError, "^no key is named$"),
        ({"sealed": 7}, ValueError, "not base 64"),
        ({"sealed": "?"}, ValueError, "base64|padding"),
    ],
    ids=["empty", "number", "null", "sealed number", "not base 64"],
)
def test_what_kith_did_not_write_is_not_shown_to_kms(answers, change, failure, match):
    """The reader of the ring calls it garbled; KMS is not asked."""
    asked = answers(JsonRESTError("NotFoundException", ""))
    with pytest.raises(failure, match=match):
        AwsKmsRoot(NO_KEY).unwrap({"key": NO_KEY, "sealed": "AAAA", **change}, HERE)
    assert not asked


# ── what KMS says ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException"])
def test_what_kms_forbids_needs_somebody_who_allows_it(answers, code):
    """Only the code of KMS's answer is shown; its words may quote what was sent."""
    asked = answers(JsonRESTError(code, "canary-words"))
    said = refused(RootRefused, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
    assert said == sentence(f"KMS refuses ({code})", ALLOW)
    assert len(asked) == 1


def test_a_key_that_is_not_there_is_named(account):
    """The ARN stands in the sentence, to be compared with the right one."""
    said = refused(RootRefused, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
    assert said == sentence("KMS refuses (NotFoundException)", ALLOW)


def test_an_answer_without_a_code_is_a_refusal(answers):
    """Whatever is not known to pass is not tried again."""
    for answer in ({}, {"Error": {}}):
        answers(ClientError(answer, "Encrypt"))
        said = refused(RootRefused, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
        assert said == sentence("KMS refuses (unknown)", ALLOW)


@pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
def test_another_key_than_the_one_of_the_root_says_restore(answers, code):
    """A blob, key or context that do not belong together: the ring is not the right one."""
    answers(JsonRESTError(code, "canary-words"))
    held = {"key": NO_KEY, "sealed": "AAAA"}
    said = refused(RootOfAnotherPlace, AwsKmsRoot(None).unwrap, held, HERE)
    assert said.endswith("next: restore this workspace's key ring from your own copy of it")


@pytest.mark.parametrize(
    ("code", "attempts"), [("ThrottlingException", 2), ("KMSInternalException", 1)]
)
def test_a_busy_kms_may_work_in_a_moment(answers, waits, code, attempts):
    """boto3 tries twice what it may try again, with one pause; then it is said to be passing."""
    asked = answers(JsonRESTError(code, "canary-words"))
    said = refused(RootUnreachable, AwsKmsRoot(NO_KEY).wrap, Secret(ROOT), HERE)
    assert said == sentence(f"KMS is busy ({code})", "try again in a moment")
    assert len(asked) == attempts
    assert len(waits) == attempts - 1


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nowhere"], ids=["shut", "none"])
def test_an_endpoint_where_nobody_is_can_be_mended(account, waits, endpoint):
    """The setting that leads there is named; an endpoint that is no address counts too."""
    kind = "EndpointConnectionError" if ":" in endpoint else "ValueError"
    said = refused(RootUnreachable, AwsKmsRoot(NO_KEY, endpoint).wrap, Secret(ROOT), HERE)
    assert said == sentence(f"KMS does not answer ({kind})", LEAD)


@pytest.mark.parametrize(
    ("status", "found"),
    [(200, "something else did"), (404, "status 404"), (503, "status 503")],
)
def test_an_answer_that_is_not_of_kms_says_where_to_look(kms, waits, monkeypatch, status, found):
    """A proxy or another service answers: no key is refused, and no ring is garbled."""
    page = "<html>canary</html>", {"status": status}
    for what in ("encrypt", "decrypt"):
        monkeypatch.setattr(KmsResponse, what, lambda _: page)
    guard = AwsKmsRoot(NO_KEY)
    held = {"key": NO_KEY, "sealed": "AAAA"}
    expected = sentence(f"KMS does not answer ({found})", LEAD)
    assert refused(RootUnreachable, guard.wrap, Secret(ROOT), HERE) == expected
    assert refused(RootUnreachable, guard.unwrap, held, HERE) == expected


def test_the_provider_does_not_show_what_it_was_given():
    """Provider invariant 3: not even the key or the endpoint, which may name an account."""
    assert repr(AwsKmsRoot(NO_KEY, "https://user:canary@example.com")) == "<root in AWS KMS>"
