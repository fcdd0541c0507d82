"""Secrets of sources are fetched from where they were put for sources, and never show."""

import os
import traceback
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cdp.credentials import SourceSecrets
from cdp.errors import Stop
from cdp.settings import Settings
from cdp.vault.credentials import MAX_SECRET, SealedCredentials
from cdp.vault.errors import KeyRingChanged
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from cdp.vault.secret import Secret
from connectors.credentials import NoCredentialError, Reference

SECRET = "canary-秘密"
STORED = (
    b"{\n"
    b' "format": "kith-credentials",\n'
    b' "version": 1,\n'
    b' "workspace": "00000000-0000-0000-0000-000000000007",\n'
    b' "entries": {\n'
    b'  "till": "AQABbm5ubm5ubm5ubm5uWLaPK5bF1cFD3JDiW9FwySdo1S/lnzonA4NFnTA="\n'
    b" }\n"
    b"}\n"
)  # made once by the first release that sealed credentials


@pytest.fixture
def keyring(tmp_path):
    """A new ring."""
    return KeyRing.create(tmp_path / "keyring.json", UUID(int=7))


@pytest.fixture
def secrets(tmp_path, keyring):
    """A lookup over a folder and an environment of its own."""
    environment = {"CDP_HOME": str(tmp_path), "SOURCE_TILL": SECRET, "OTHER": SECRET}
    return SourceSecrets(Settings.from_environment(environment), tmp_path, keyring)


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file with a mode."""
    path.write_bytes(content)
    path.chmod(mode)


def given(secrets, kind, name):
    """What a reference gives, opened."""
    return secrets(Reference(kind, name)).reveal(reason="test")


def refused(secrets, kind, name):
    """The rule and next step of a refusal; nothing of it shows the secret."""
    with pytest.raises(NoCredentialError) as caught:
        secrets(Reference(kind, name))
    error = caught.value
    said = "".join(traceback.format_exception(error))
    assert "canary" not in f"{said} {error!r} {error.args}"
    return error.rule, error.next_step


def test_each_kind_of_reference_is_fetched(secrets, tmp_path, keyring):
    """A variable, a file and an entry of the ring give what was put there."""
    put(tmp_path / "key", f"{SECRET}\r\n".encode())
    SealedCredentials(tmp_path / "credentials.json", keyring).put("till", Secret(SECRET.encode()))
    assert given(secrets, "env", "SOURCE_TILL") == SECRET
    assert given(secrets, "file", "key") == SECRET
    assert given(secrets, "file", str(tmp_path / "key")) == SECRET
    assert given(secrets, "ring", "till") == SECRET
    assert SECRET not in repr(secrets)


def test_no_secret_of_kith_is_one_of_a_source(secrets, tmp_path, keyring):
    """Invariant 4: the ring and what it seals, by any name, and the process's own environment."""
    SealedCredentials(tmp_path / "credentials.json", keyring).put("till", Secret(SECRET.encode()))
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "keyring.json")
    (tmp_path / "other").hardlink_to(tmp_path / "credentials.json")
    put(tmp_path / "copy", (tmp_path / "keyring.json").read_bytes())
    for name in ("keyring.json", "deep/../credentials.json", "link", "other", "copy"):
        assert refused(secrets, "file", name)[0] == "credential_not_of_a_source", name
    assert refused(secrets, "file", "/proc/self/environ")[0] == "credential_file_unusable"


def test_a_passphrase_is_no_secret_of_a_source(tmp_path, keyring):
    """Invariant 4: what opens the ring, and what an identity provider knows."""
    put(tmp_path / "phrase", SECRET.encode())
    names = ("CDP_PASSPHRASE_FILE", "CDP_OIDC_CLIENT_SECRET_FILE")
    for name in names:
        environment = {"CDP_HOME": str(tmp_path), name: str(tmp_path / "phrase")}
        secrets = SourceSecrets(Settings.from_environment(environment), tmp_path, keyring)
        assert refused(secrets, "file", "phrase")[0] == "credential_not_of_a_source", name


def test_a_private_key_keeps_its_lines(secrets, tmp_path):
    """Only one line break at the end of a file is no part of the secret."""
    put(tmp_path / "key", b"one\ntwo\n\n")
    assert given(secrets, "file", "key") == "one\ntwo\n"


def test_only_variables_for_sources_are_kept(tmp_path):
    """Invariant 1: the settings hold no other variable, and show none."""
    environment = {"SOURCE_A": SECRET, "CDP_ROOT_KEY": "x", "PATH": SECRET}
    settings = Settings.from_environment(environment)
    assert settings.source_secrets == {"SOURCE_A": SECRET}
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("kind", "name", "rule"),
    [
        ("env", "SOURCE_NONE", "credential_not_set"),
        ("env", "SOURCE_EMPTY", "credential_empty"),
        ("env", "SOURCE_BYTES", "credential_not_text"),
        ("file", "none", "credential_file_missing"),
        ("file", "empty", "credential_empty"),
        ("file", "folder", "credential_file_unusable"),
        ("file", "large", "credential_file_unusable"),
        ("file", "pipe", "credential_file_unusable"),
        ("file", "exposed", "credential_file_exposed"),
        ("file", "bytes", "credential_not_text"),
        ("ring", "none", "credential_not_stored"),
    ],
)
def test_what_cannot_be_used_is_refused(secrets, tmp_path, kind, name, rule):
    """Invariants 2 and 3: missing, empty, exposed, too large or no text; with a next step."""
    environment = {"SOURCE_EMPTY": "", "SOURCE_BYTES": "canary\udcff"}
    secrets._settings = replace(secrets._settings, source_secrets=environment)
    put(tmp_path / "empty", b"\n")
    put(tmp_path / "large", b"x" * (MAX_SECRET + 1))
    put(tmp_path / "exposed", SECRET.encode(), 0o604)
    put(tmp_path / "bytes", b"canary\xff")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    found, step = refused(secrets, kind, name)
    assert found == rule
    assert step.endswith((".", name))


def test_a_sealed_secret_opens_only_under_its_name(tmp_path, keyring):
    """What was moved to another name in the file is refused."""
    kept = SealedCredentials(tmp_path / "credentials.json", keyring)
    kept.put("a", Secret(SECRET.encode()))
    text = (tmp_path / "credentials.json").read_text()
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert "canary" not in text
    (tmp_path / "credentials.json").write_text(text.replace('"a"', '"b"'))
    with pytest.raises(Stop, match="credential_refused"):
        kept.get("b")
    assert kept.get("a") is None


def test_the_ring_of_another_workspace_opens_nothing(tmp_path, keyring):
    """A file belongs to one workspace, and its secrets to one ring."""
    path = tmp_path / "credentials.json"
    SealedCredentials(path, keyring).put("a", Secret(SECRET.encode()))
    other = KeyRing.create(tmp_path / "other.json", UUID(int=8))
    with pytest.raises(Stop, match="credentials_of_another_workspace"):
        SealedCredentials(path, other).names()
    same = KeyRing.create(tmp_path / "same.json", UUID(int=7))
    with pytest.raises(Stop, match="credential_refused"):
        SealedCredentials(path, same).get("a")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format": 1}', b"\xff", b'{"entries": {"a": 7}}']
)
def test_a_garbled_file_is_refused(tmp_path, keyring, secrets, content):
    """It stops, names the file, and is not written over."""
    put(tmp_path / "credentials.json", content)
    kept = SealedCredentials(tmp_path / "credentials.json", keyring)
    with pytest.raises(Stop, match="credentials_garbled"):
        kept.put("a", Secret(b"x"))
    assert (tmp_path / "credentials.json").read_bytes() == content
    assert refused(secrets, "ring", "a")[0] == "credentials_garbled"


def test_an_exposed_file_is_refused(tmp_path, keyring):
    """Others must not be able to read or replace it."""
    put(tmp_path / "credentials.json", b"{}", 0o644)
    with pytest.raises(Stop, match="credentials_unusable"):
        SealedCredentials(tmp_path / "credentials.json", keyring).names()


def test_secrets_are_replaced_listed_and_removed(tmp_path, keyring):
    """Names can be listed; a removed secret is gone."""
    kept = SealedCredentials(tmp_path / "credentials.json", keyring)
    assert kept.names() == ()
    assert not kept.remove("a")
    kept.put("b", Secret(b"1"))
    kept.put("a", Secret(b"2"))
    kept.put("b", Secret(b"3"))
    assert kept.names() == ("a", "b")
    assert kept.get("b").expose() == b"3"
    assert kept.remove("b")
    assert kept.names() == ("a",)
    assert "a" not in repr(kept).split()


def test_a_writer_that_comes_between_is_noticed(tmp_path, keyring, monkeypatch):
    """Of two that write at once, one is told to run again, and loses nothing of the other."""
    kept = SealedCredentials(tmp_path / "credentials.json", keyring)
    kept.put("a", Secret(b"1"))
    before = kept._content()
    kept.put("b", Secret(b"2"))
    monkeypatch.setattr(SealedCredentials, "_content", lambda _: before)
    with pytest.raises(KeyRingChanged):
        kept.put("c", Secret(b"3"))
    monkeypatch.undo()
    assert kept.names() == ("a", "b")


def test_what_cannot_be_stored_stops(tmp_path, keyring):
    """A secret that is too large, and a folder that is not there."""
    with pytest.raises(Stop, match="credential_too_large"):
        SealedCredentials(tmp_path / "c", keyring).put("a", Secret(b"x" * (MAX_SECRET + 1)))
    with pytest.raises(Stop, match="credentials_unwritable"):
        SealedCredentials(tmp_path / "none" / "c", keyring).put("a", Secret(b"x"))


def test_the_form_of_the_file_stays(tmp_path):
    """Format 1 to the byte: what a release has stored, every later one opens."""
    drawn = iter(range(1, 255))
    document = RingDocument.fresh(UUID(int=7), lambda count: bytes([next(drawn)]) * count)
    stored = SealedCredentials(tmp_path / "credentials.json", KeyRing.of(document))
    stored.put("till", Secret(SECRET.encode()), lambda count: b"n" * count)
    assert (tmp_path / "credentials.json").read_bytes() == STORED
    again = stored.get("till")
    assert again is not None
    assert again.expose() == SECRET.encode()
