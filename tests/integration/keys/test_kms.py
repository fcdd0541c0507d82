"""The root of keys in AWS KMS; moto's own server, on loopback, stands in for the service."""

import datetime as dt
import json
from collections.abc import Iterator
from uuid import UUID

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cdp.errors import KithError
from cdp.vault import ring_edits
from cdp.vault.errors import (
    OtherWorkspace,
    RootNeeds,
    RootOfAnotherPlace,
    RootRefused,
    RootUnreachable,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.primitives import system_randomness
from cdp.vault.ring_editing import RingEditor
from cdp.vault.roots.aws_kms import AwsKmsRoot
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.provider import RootPlace
from cdp.vault.secret import Secret

REGION = "eu-central-1"
WORKSPACE, ANOTHER = UUID(int=7), UUID(int=8)
CANARY = b"canary-root-canary-root-canary-r"
PLACE = RootPlace(WORKSPACE, 1)
NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of a KMS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def account(service, monkeypatch, tmp_path):
    """An account of that KMS, as boto3 finds one, and a new key of it: its ARN."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("kms", region_name=REGION, endpoint_url=service)
    return client.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def root(account, service):
    return AwsKmsRoot(account, service)


def test_what_kms_holds_comes_back_in_its_own_place_only(root):
    """What a provider hands out opens for one workspace and one root version."""
    held = root.wrap(Secret(CANARY), PLACE)
    assert CANARY.decode() not in json.dumps(held)
    assert root.unwrap(held, PLACE).expose() == CANARY
    for elsewhere in (RootPlace(ANOTHER, 1), RootPlace(WORKSPACE, 2)):
        with pytest.raises(RootOfAnotherPlace) as refused:
            root.unwrap(held, elsewhere)
        assert "canary" not in str(refused.value)


def test_a_changed_blob_does_not_open(root):
    """What KMS did not make is refused, and nothing of it is returned."""
    held = dict(root.wrap(Secret(CANARY), PLACE))
    sealed = held["sealed"]
    held["sealed"] = sealed[:-8] + ("A" * 4 if sealed[-8:-4] != "AAAA" else "B" * 4) + sealed[-4:]
    with pytest.raises(KithError):
        root.unwrap(held, PLACE)


def test_a_ring_moves_to_kms_and_its_file_holds_no_root(root, service, tmp_path):
    """A ring whose root is in KMS opens through KMS, and by nobody without it."""
    path = tmp_path / "ring.json"
    made = KeyRing.create(path, WORKSPACE)
    providers = ONLY_FILE.adding(root)
    RingEditor(path, WORKSPACE, providers).edit(
        lambda ring: ring_edits.rotate_root(ring, system_randomness, NOW), to=root
    )
    opened = KeyRing.open(path, WORKSPACE, providers)
    assert opened.secret("contact").expose() == made.secret("contact").expose()
    assert json.loads(path.read_text())["root"]["provider"] == "aws-kms"
    elsewhere = ONLY_FILE.adding(AwsKmsRoot(None, "http://127.0.0.1:9"))
    with pytest.raises(RootUnreachable):
        KeyRing.open(path, WORKSPACE, elsewhere)
    with pytest.raises(OtherWorkspace):
        RingEditor(path, ANOTHER, providers).edit(lambda ring: ring)
    RingEditor(path, WORKSPACE, providers).edit(lambda ring: ring, to=FILE)
    assert KeyRing.open(path, WORKSPACE, ONLY_FILE).workspace == WORKSPACE


@pytest.mark.parametrize(
    ("key", "failure"),
    [
        (None, RootNeeds),
        (
            f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000",
            RootRefused,
        ),
    ],
)
def test_a_key_that_is_not_there_is_named_with_the_next_step(account, service, key, failure):
    """No key set, or one that KMS does not know: each says what to do, and shows no root."""
    with pytest.raises(failure) as refused:
        AwsKmsRoot(key, service).wrap(Secret(CANARY), PLACE)
    assert refused.value.next_step
    assert "canary" not in str(refused.value)


def test_without_credentials_it_says_what_it_needs(account, service, monkeypatch):
    """Without an account at KMS the provider says that it needs one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(RootNeeds):
        AwsKmsRoot(account, service).wrap(Secret(CANARY), PLACE)
