"""Whether a webhook is its source's own. See ``cdp/resolution/hooks_proof.py``."""

import base64
import pickle
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from standardwebhooks import Webhook

from cdp.resolution import hooks_proof
from cdp.resolution.hooks_proof import HookSecrets, Proven
from cdp.vault.event_keys import EventKeys
from cdp.vault.keyring import KeyRing
from connectors.hooks.declaration import NAMED_FOR, HookSpec, SignatureSpec
from connectors.hooks.rows import Post
from connectors.record import Sensitive
from tests.integration.hooks.world import mac

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
KEYS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in range(3)]
BODY = b'{"id": "canary"}'
SPECS = {
    "crm": HookSpec(SignatureSpec("standard")),
    "shop": HookSpec(SignatureSpec("hmac", "x-mac", "hex")),
    "timed": HookSpec(SignatureSpec("hmac", "x-mac", "hex", timestamp_header="x-at", tolerance=60)),
}
SHARED: dict[str, Mapping[str, Sensitive | None]] = {
    "crm": {"secret": Sensitive(KEYS[0]), "former_secret": Sensitive(KEYS[1])},
    "shop": {"secret": Sensitive("shared")},
    "timed": {"secret": Sensitive("shared")},
}
Prove = Callable[[str, Post], Proven | None]


@pytest.fixture
def names(tmp_path: Path) -> EventKeys:
    """Names of messages."""
    return EventKeys(KeyRing.create(tmp_path / "ring", uuid4()))


@pytest.fixture
def prove(names: EventKeys) -> Prove:
    """Judges a message now."""
    secrets = HookSecrets(SPECS, SHARED)
    assert secrets.whole
    return lambda source, post: secrets.proven(source, post, names, NOW)


def standard(key: str, ago: float = 0, name: str = "msg_1") -> Post:
    at = NOW - timedelta(seconds=ago)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(name, at, BODY.decode()),
    }
    return Post(headers, BODY)


def plain(ago: float | None = None) -> Post:
    if ago is None:
        return Post({"x-mac": mac("shared", BODY).hex()}, BODY)
    at = str(int(NOW.timestamp() - ago))
    return Post({"x-at": at, "x-mac": mac("shared", f"{at}.".encode() + BODY).hex()}, BODY)


def test_a_good_signature_under_either_secret_within_the_tolerance(prove: Prove) -> None:
    """Invariant 1: the present secret and the former one; the time where it is signed."""
    for key in KEYS[:2]:
        assert prove("crm", standard(key)) is not None
    for ago, good in ((300, True), (-300, True), (301, False), (-301, False)):
        assert (prove("crm", standard(KEYS[0], ago)) is not None) is good
    assert prove("shop", plain()) is not None
    assert prove("timed", plain(59)) is not None
    assert prove("timed", plain(61)) is None
    assert prove("crm", standard(KEYS[2])) is None


def test_nothing_else_is_proven(prove: Prove) -> None:
    """Invariant 1: each part that is signed counts, and the source."""
    good = standard(KEYS[0])
    for headers, body in (
        ({**good.headers, "webhook-id": "msg_2"}, BODY),
        ({**good.headers, "webhook-timestamp": str(int(NOW.timestamp()) + 1)}, BODY),
        (good.headers, BODY + b" "),
        (good.headers, b""),
        ({**good.headers, "webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()}, BODY),
        ({}, BODY),
    ):
        assert prove("crm", Post(headers, body)) is None
    for source in ("shop", "timed", "nobody", ""):
        assert prove(source, good) is None
    assert prove("timed", plain()) is None


def test_a_message_has_one_name_and_is_remembered_long_enough(prove: Prove) -> None:
    """By the sender's name of it for a day, whenever it is sent again; else by what is signed."""
    first, again = prove("crm", standard(KEYS[0], 5)), prove("crm", standard(KEYS[1]))
    other = prove("crm", standard(KEYS[0], name="msg_2"))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.message == again.message != other.message
    assert first.until == NOW + NAMED_FOR
    bare, timed = prove("shop", plain()), prove("timed", plain(1))
    assert bare is not None
    assert timed is not None
    assert bare.until == NOW + timedelta(seconds=300)
    assert timed.until == NOW + timedelta(seconds=120)
    assert bare.message != timed.message


def test_what_is_not_proven_costs_the_same(prove: Prove, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 2: two hashes of the whole body and two comparisons, whatever is wrong."""
    compared: list[tuple[int, int]] = []
    same = hooks_proof.primitives.same

    def counted(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return same(left, right)

    monkeypatch.setattr(hooks_proof.primitives, "same", counted)
    wrong = standard(KEYS[2])
    for source, post in (
        ("crm", wrong),
        ("shop", wrong),
        ("nobody", wrong),
        ("crm", Post({}, BODY)),
        ("nobody", Post({}, BODY)),
        ("crm", Post({"webhook-signature": "v1,AA"}, BODY)),
        ("crm", standard(KEYS[0], 999)),
        ("crm", standard(KEYS[0])),  # and what is good
        ("shop", plain()),
    ):
        compared.clear()
        prove(source, post)
        assert compared == [(32, 32)] * 2


def test_a_secret_that_cannot_be_used_lets_nobody_in(
    names: EventKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariant 3: it is told by rule, and the other secret still counts."""
    broken = {"secret": Sensitive("canary"), "former_secret": Sensitive(KEYS[1])}
    secrets = HookSecrets(SPECS, {**SHARED, "crm": broken, "shop": {"secret": None}})
    assert not secrets.whole
    assert secrets.proven("crm", standard(KEYS[1]), names, NOW) is not None
    assert secrets.proven("crm", standard(KEYS[0]), names, NOW) is None
    assert secrets.proven("shop", Post({"x-mac": mac("", BODY).hex()}, BODY), names, NOW) is None
    written = "".join(capsys.readouterr())
    assert "secret_form" in written
    assert "credential_unavailable" in written
    assert "canary" not in written


def test_nothing_shows(prove: Prove) -> None:
    """Invariant 4: neither printed nor pickled."""
    secrets = HookSecrets(SPECS, SHARED)
    proven = prove("crm", standard(KEYS[0]))
    shown = f"{secrets!r} {proven!r} {standard(KEYS[0])!r}"
    assert not [one for one in (*KEYS, "shared", "canary", "msg_1") if one in shown]
    for one in (secrets, proven):
        with pytest.raises(TypeError):
            pickle.dumps(one)
