"""Who guards the root: what every provider keeps to, and what each says when it cannot."""

import base64
import json
import os
import traceback
from pathlib import Path
from uuid import UUID

import pytest

from cdp.errors import KithError
from cdp.vault import ring_document
from cdp.vault.errors import (
    KeyRingGarbled,
    PassphraseWeak,
    PassphraseWrong,
    RootKeyWrong,
    RootNeeds,
    RootOfAnotherPlace,
    RootProviderUnknown,
)
from cdp.vault.primitives import Stretching
from cdp.vault.ring_document import RingDocument
from cdp.vault.roots.choice import Passphrase
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.passphrase import COSTS, PassphraseRoot
from cdp.vault.roots.provider import RootPlace, RootProviders
from cdp.vault.secret import Secret

ROOT = b"canary-root-canary-root-canary-r"
PHRASE = "canary-phrase four five"
OUTSIDE = base64.b64encode(b"canary-outside-canary-outside-ca").decode()
HERE = RootPlace(UUID(int=1), 1)
CHEAP = Stretching(19 * 1024, 1, 1)  # what the tests can wait for


def phrase(text=PHRASE):
    return PassphraseRoot(Passphrase(text), CHEAP)


def outside(text=OUTSIDE):
    return EnvironmentRoot(Secret(text.encode()))


class Backwards:
    """A third provider, as somebody outside would write one: it wraps by turning round."""

    name = "backwards"
    needs = "nothing"

    def wrap(self, root, place):
        """Turn the root round."""
        return {"turned": root.expose()[::-1].hex(), "place": f"{place.workspace}/{place.version}"}

    def unwrap(self, held, place):
        """Turn it back."""
        if held["place"] != f"{place.workspace}/{place.version}":
            raise RootOfAnotherPlace("it is of another place", "restore the ring")
        return Secret(bytes.fromhex(held["turned"])[::-1])


GUARDS = {"file": FILE, "passphrase": phrase(), "environment": outside(), "other": Backwards()}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_root_comes_back(guard):
    """Every provider gives back the root that it was given, and what it keeps is plain JSON."""
    held = json.loads(json.dumps(dict(guard.wrap(Secret(ROOT), HERE))))
    assert guard.unwrap(held, HERE).expose() == ROOT
    assert guard.needs


@pytest.mark.parametrize("guard", [phrase(), outside(), Backwards()], ids=["phrase", "key", "own"])
@pytest.mark.parametrize("place", [RootPlace(UUID(int=2), 1), RootPlace(UUID(int=1), 2)])
def test_a_root_opens_in_its_place_only(guard, place):
    """Provider invariant 1: for another workspace or root version a root does not open."""
    held = guard.wrap(Secret(ROOT), HERE)
    with pytest.raises(RootOfAnotherPlace, match="next: restore"):
        guard.unwrap(held, place)


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_ring_opens_with_its_provider(document, guard):
    """A ring names its provider and opens with it; a provider registered in code works alike."""
    providers = ONLY_FILE.adding(guard)
    content = document.encode(os.urandom, guard)
    opened = ring_document.decode(content, Path("ring"), providers)
    assert opened.provider == guard.name
    assert (
        opened.keys["contact"].secrets[1].expose() == document.keys["contact"].secrets[1].expose()
    )
    root = base64.b64encode(document.roots.secrets[1].expose())
    assert (root in content) == (guard is FILE)


def test_a_ring_of_a_provider_that_is_not_there_is_refused(document):
    """A program without the ring's provider says which it has."""
    content = document.encode(os.urandom, Backwards())
    with pytest.raises(RootProviderUnknown, match=r"key ring ring.*it has file"):
        ring_document.decode(content, Path("ring"))


def test_the_wrong_passphrase_is_said_to_be_wrong():
    """A wrong passphrase is told from a changed or misplaced root."""
    held = phrase().wrap(Secret(ROOT), HERE)
    with pytest.raises(PassphraseWrong, match=r"passphrase is wrong.*capitals"):
        phrase(PHRASE + "!").unwrap(held, HERE)


def test_a_passphrase_is_the_same_however_its_letters_are_composed():
    """Composed and decomposed letters are one passphrase."""
    held = phrase("caf\u00e9 caf\u00e9 caf\u00e9").wrap(Secret(ROOT), HERE)
    assert phrase("cafe\u0301 cafe\u0301 cafe\u0301").unwrap(held, HERE).expose() == ROOT


def test_a_short_passphrase_guards_nothing():
    """A passphrase of eleven characters is refused, one of twelve is taken."""
    with pytest.raises(PassphraseWeak, match="fewer than 12"):
        phrase("a" * 11).wrap(Secret(ROOT), HERE)
    assert phrase("a" * 12).wrap(Secret(ROOT), HERE)


def test_the_costs_are_those_of_the_rfc_and_are_stored():
    """RFC 9106's second option: 64 MiB, 3 passes, 4 lanes, 128 bits of salt; it opens too."""
    assert COSTS == (64 * 1024, 3, 4)
    held = PassphraseRoot(Passphrase(PHRASE)).wrap(Secret(ROOT), HERE)
    assert [held[name] for name in Stretching._fields] == [65536, 3, 4]
    assert len(base64.b64decode(held["salt"])) == 16
    assert phrase().unwrap(held, HERE).expose() == ROOT


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 8},
        {"memory_kib": 2**40},
        {"iterations": 10**9},
        {"lanes": 0},
        {"lanes": True},
        {"iterations": "3"},
        {"salt": ""},
        {"function": "scrypt"},
        {"check": 7},
        {"sealed": "?"},
    ],
    ids=str,
)
def test_costs_that_kith_did_not_write_are_refused(document, change):
    """A changed ring makes nobody spend all memory, nor opens with a weaker derivation."""
    body = json.loads(document.encode(os.urandom, phrase()))
    body["root"]["versions"]["1"]["held"].update(change)
    with pytest.raises(KeyRingGarbled, match="root cannot be read"):
        ring_document.decode(json.dumps(body).encode(), Path("ring"), RootProviders([phrase()]))


def test_the_wrong_key_from_outside_is_said_to_be_wrong():
    """Another CDP_ROOT_KEY than the ring was written with is told from a changed root."""
    held = outside().wrap(Secret(ROOT), HERE)
    other = base64.b64encode(os.urandom(32)).decode()
    with pytest.raises(RootKeyWrong, match=r"CDP_ROOT_KEY is not the key.*next: set it"):
        outside(other).unwrap(held, HERE)
    assert outside(OUTSIDE + "\n").unwrap(held, HERE).expose() == ROOT


LONG = base64.b64encode(bytes(33)).decode()


@pytest.mark.parametrize("given", ["", "c2hvcnQ=", "not base64!", LONG])
def test_a_key_from_outside_that_is_none_is_named(given):
    """What is not 32 bytes in base 64 is refused, with the command that makes one."""
    with pytest.raises(RootNeeds, match=r"not 32 bytes.*openssl rand -base64 32"):
        outside(given).wrap(Secret(ROOT), HERE)


def test_a_key_from_outside_that_is_missing_is_named():
    """Without CDP_ROOT_KEY the setting is named."""
    with pytest.raises(RootNeeds, match="CDP_ROOT_KEY is not set"):
        EnvironmentRoot(None).wrap(Secret(ROOT), HERE)


# ── nothing shows ───────────────────────────────────────────────────────────


def shown(content):
    found = []
    for material in (ROOT, PHRASE.encode(), OUTSIDE.encode(), base64.b64decode(OUTSIDE)):
        core = material[:12]
        found += [form for form in (core.decode(), core.hex()) if form in content]
        found += [form for form in [base64.b64encode(core).decode()] if form in content]
    return found


def failures(path):
    document = RingDocument.fresh(UUID(int=1), lambda size: ROOT[:size])
    sealed = document.encode(os.urandom, phrase())
    keyed = document.encode(os.urandom, outside())
    plain = document.encode(bytes)
    wrong = RootProviders([phrase("another phrase"), outside(base64.b64encode(bytes(32)).decode())])
    body = json.loads(plain)
    body["root"]["provider"] = "elsewhere"
    held = phrase().wrap(Secret(ROOT), HERE)
    return {
        "wrong passphrase": lambda: ring_document.decode(sealed, path, wrong),
        "wrong key": lambda: ring_document.decode(keyed, path, wrong),
        "unknown provider": lambda: ring_document.decode(json.dumps(body).encode(), path),
        "another place": lambda: phrase().unwrap(held, RootPlace(UUID(int=2), 1)),
        "short": lambda: phrase(PHRASE[:11]).wrap(Secret(ROOT), HERE),
        "no key": lambda: outside(OUTSIDE[:-4]).wrap(Secret(ROOT), HERE),
    }


def test_no_failure_of_a_provider_shows_anything(tmp_path):
    """Provider invariant 3: no error shows root, passphrase or key, nor do the frames' locals."""
    assert shown(repr(ROOT))
    assert shown(PHRASE)
    for name, fail in failures(tmp_path / "ring").items():
        with pytest.raises(KithError) as caught:
            fail()
        behind = caught.value.__context__
        assert not shown(f"{caught.value!r} {caught.value.args} {behind!r}"), name
        for one in filter(None, (caught.value, behind)):
            for frame, _ in traceback.walk_tb(one.__traceback__):
                if "/cdp/" in frame.f_code.co_filename:
                    assert not shown(repr(frame.f_locals)), (name, frame.f_code.co_qualname)


def test_no_provider_shows_what_it_holds():
    """Provider invariant 3: a provider turned to text gives nothing away."""
    for one in (*GUARDS.values(), Passphrase(PHRASE), RootProviders(GUARDS.values())):
        assert not shown(f"{one!r} {one}")
