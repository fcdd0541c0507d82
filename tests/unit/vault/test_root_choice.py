"""Which providers of the root there are, and where a passphrase comes from: to the letter."""

import base64
import getpass
import io
import traceback
from pathlib import Path
from uuid import UUID

import pytest

from cdp.settings import Settings
from cdp.vault.errors import PassphraseWeak, RootNeeds, RootUnreachable
from cdp.vault.primitives import Stretching
from cdp.vault.roots.choice import Passphrase, standard
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.passphrase import PassphraseRoot
from cdp.vault.roots.provider import RootPlace
from cdp.vault.secret import Secret

PHRASE = "canary phrase four five"
ROOT = Secret(b"canary-root-canary-root-canary-r")
HERE = RootPlace(UUID(int=1), 1)
OUTSIDE = base64.b64encode(bytes(range(32))).decode()
CHEAP = Stretching(19 * 1024, 1, 1)  # what the tests can wait for


def refused(kind, do, *arguments):
    """The sentence of the error that ``do`` ends in; nothing of it shows the passphrase."""
    with pytest.raises(kind) as caught:
        do(*arguments)
    error = caught.value
    assert type(error) is kind
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "/cdp/" in frame.f_code.co_filename:
            assert "canary" not in repr(frame.f_locals), frame.f_code.co_qualname
    assert "canary" not in f"{error!r} {error.args}"
    return str(error)


def at_terminal(monkeypatch, *typed):
    """Have somebody sit at the terminal and type this; returns what they are asked."""
    asked, left = [], list(typed)

    def typing(prompt):
        asked.append(prompt)
        return left.pop(0)

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr(getpass, "getpass", typing)
    return asked


# ── the providers ───────────────────────────────────────────────────────────


def known(passphrase=None, **named):
    """The providers of these settings."""
    return standard(Settings(Path(), Path(), None, 1, 1, 1, **named), passphrase or Passphrase())


def test_there_are_four_providers():
    """File, passphrase, environment and KMS; making them asks nobody for anything."""
    assert repr(known()) == "<root providers: file, passphrase, environment, aws-kms>"


def test_the_key_from_outside_is_that_of_the_settings():
    """CDP_ROOT_KEY reaches its provider; where it is not set, the provider asks for it."""
    held = EnvironmentRoot(Secret(OUTSIDE.encode())).wrap(ROOT, HERE)
    opened = known(root_key=OUTSIDE).named("environment").unwrap(held, HERE)
    assert opened.expose() == ROOT.expose()
    said = refused(RootNeeds, known().named("environment").unwrap, held, HERE)
    assert "CDP_ROOT_KEY is not set" in said


def test_the_passphrase_is_the_one_that_is_handed_over():
    """The provider asks for the passphrase when it is needed, with the costs of a new ring."""
    held = PassphraseRoot(Passphrase(PHRASE), CHEAP).wrap(ROOT, HERE)
    guard = known(Passphrase(PHRASE)).named("passphrase")
    assert guard.unwrap(held, HERE).expose() == ROOT.expose()
    refused(PassphraseWeak, known(Passphrase("canary")).named("passphrase").wrap, ROOT, HERE)


def test_kms_is_asked_for_the_key_of_the_settings_where_they_say(monkeypatch, tmp_path):
    """CDP_KMS_KEY and CDP_KMS_ENDPOINT reach their provider; without a key it asks for one."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    key, nowhere = "arn:aws:kms:eu-central-1:123456789012:key/7", "no address"
    guard = known(kms_key=key, kms_endpoint=nowhere).named("aws-kms")
    said = refused(RootUnreachable, guard.wrap, ROOT, HERE)
    assert said.startswith(f"provider aws-kms, key {key}: KMS does not answer (ValueError)")
    said = refused(RootNeeds, known(kms_endpoint=nowhere).named("aws-kms").wrap, ROOT, HERE)
    assert "CDP_KMS_KEY is not set" in said


# ── the passphrase ──────────────────────────────────────────────────────────


def test_nobody_to_ask_names_the_settings(monkeypatch):
    """Started by a timer, a command says which setting gives the passphrase."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert refused(RootNeeds, Passphrase()) == (
        "the root is under a passphrase, and none is given; next: set CDP_PASSPHRASE_FILE or "
        "CDP_PASSPHRASE, or run this at a terminal"
    )


def test_what_is_asked_at_the_terminal(monkeypatch):
    """A new passphrase is asked for twice, one in use once; it is handed on when it was typed."""
    asked = at_terminal(monkeypatch, PHRASE, PHRASE, PHRASE)
    new, in_use = Passphrase(twice=True), Passphrase()
    assert (new.typed, in_use.typed) == (None, None)
    assert new().expose() == PHRASE.encode()
    assert asked == ["Passphrase of the key ring: ", "The same again: "]
    assert in_use().expose() == in_use().expose() == PHRASE.encode()
    assert asked[2:] == ["Passphrase of the key ring: "]
    assert (new.typed, in_use.typed) == (PHRASE, PHRASE)


def test_a_slip_at_the_terminal_leaves_nothing_behind(monkeypatch):
    """Two that differ: neither is kept, handed on, nor in a frame of the traceback."""
    at_terminal(monkeypatch, PHRASE, PHRASE.upper(), "another phrase", "another phrase")
    passphrase = Passphrase(twice=True)
    assert refused(RootNeeds, passphrase) == (
        "the two passphrases are not the same; next: run the command again"
    )
    assert passphrase.typed is None
    assert passphrase().expose() == b"another phrase"


@pytest.mark.parametrize("given", [True, False])
def test_what_is_not_utf_8_is_refused(monkeypatch, given):
    """Bytes of another encoding, as an environment or a terminal hands them on, are named."""
    at_terminal(monkeypatch, "caf\udce9 caf\udce9 caf\udce9")
    passphrase = Passphrase("caf\udce9 caf\udce9 caf\udce9") if given else Passphrase()
    said = refused(RootNeeds, passphrase)
    assert said == "the passphrase is not UTF-8 text; next: give it in UTF-8"


def test_a_passphrase_does_not_show():
    """Provider invariant 3: nor whether it was given."""
    assert repr(Passphrase(PHRASE)) == repr(Passphrase()) == "<passphrase>"


# ── its file ────────────────────────────────────────────────────────────────


@pytest.fixture
def path(tmp_path):
    """A file for its owner."""
    path = tmp_path / "phrase"
    path.touch(0o600)
    return path


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (PHRASE, PHRASE),
        (PHRASE + "\r\n", PHRASE),
        (PHRASE + "\n\n", PHRASE + "\n"),
        ("\r" + PHRASE + " \n", "\r" + PHRASE + " "),
    ],
    ids=["none", "of Windows", "two", "blanks"],
)
def test_one_line_break_at_the_end_is_not_of_the_passphrase(path, content, read):
    """That of an editor, on any system; blanks and all else are."""
    path.write_bytes(content.encode())
    assert Passphrase(path=path)().expose() == read.encode()


def test_a_group_may_have_the_passphrase(path):
    """A service's group may read the file: that is not everybody."""
    path.write_text(PHRASE, encoding="utf-8")
    path.chmod(0o640)
    assert Passphrase(path=path)().expose() == PHRASE.encode()


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o644])
def test_a_file_that_everybody_may_use_is_not_even_read(path, mode, monkeypatch):
    """Whoever may read, write or run it: the mode and the command that mends it are named."""
    path.write_text(PHRASE, encoding="utf-8")
    path.chmod(mode)
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda _: read.append(1) or b"")
    assert refused(RootNeeds, Passphrase(path=path)) == (
        f"path {path}: the file of the passphrase cannot be used (its mode is {mode:04o}, "
        "everybody may use it); next: name a file that its owner can read, and run "
        f"`chmod 600 {path}`"
    )
    assert not read


@pytest.mark.parametrize(
    ("failure", "named"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (OSError(), "OSError"),
    ],
    ids=["gone", "without a reason"],
)
def test_a_file_that_cannot_be_read_says_why(path, failure, named, monkeypatch):
    """The system's own reason is given; where it has none, the kind of error."""

    def fail(_):
        raise failure

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert refused(RootNeeds, Passphrase(path=path)) == (
        f"path {path}: the file of the passphrase cannot be used ({named}); next: name a file "
        f"that its owner can read, and run `chmod 600 {path}`"
    )
