"""Who guards the root: what each provider stores and says, exactly, and what it asks again."""

import base64
import unicodedata
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cdp.errors import KithError
from cdp.vault.errors import (
    PassphraseWeak,
    PassphraseWrong,
    RootKeyWrong,
    RootNeeds,
    RootOfAnotherPlace,
    RootProviderUnknown,
    RootUnreachable,
)
from cdp.vault.primitives import Stretching
from cdp.vault.roots import local
from cdp.vault.roots.asked import AskedRoot
from cdp.vault.roots.environment import EnvironmentRoot
from cdp.vault.roots.file import FILE, ONLY_FILE
from cdp.vault.roots.passphrase import PassphraseRoot
from cdp.vault.roots.provider import RootPlace
from cdp.vault.secret import Secret
from tests.unit.vault.sealed_rings import derived, framed, text_of

WORKSPACE = UUID(int=1)
HERE, THERE = RootPlace(WORKSPACE, 3), RootPlace(WORKSPACE, 4)
ROOT, OTHER = Secret(bytes(range(32))), Secret(bytes(range(1, 33)))
KEY = bytes(range(100, 132))
PHRASE = "four words, and a café"
CHEAP = Stretching(19 * 1024, 1, 1)  # the least that is taken
MISPLACED = (
    "the root was sealed for another workspace or root version, or was changed; "
    "next: restore this workspace's key ring from your own copy of it"
)


def said(kind: type[KithError], do: Callable[[], object]) -> str:
    """The sentence of the error that ``do`` ends in."""
    with pytest.raises(kind) as caught:
        do()
    assert type(caught.value) is kind
    return str(caught.value)


def counted(size: int) -> bytes:
    """Randomness that is known: so many bytes of that very number."""
    return bytes([size]) * size


def phrase(text: str = PHRASE, costs: Stretching = CHEAP) -> PassphraseRoot:
    return PassphraseRoot(lambda: Secret(text.encode()), costs, counted)


def outside(key: bytes = KEY) -> EnvironmentRoot:
    return EnvironmentRoot(Secret(base64.b64encode(key)), counted)


def stretched(text: str, costs: tuple[int, int, int]) -> bytes:
    """Argon2id of a passphrase with the salt that `counted` gives."""
    memory, iterations, lanes = costs
    function = Argon2id(
        salt=counted(16), length=32, iterations=iterations, lanes=lanes, memory_cost=memory
    )
    return function.derive(unicodedata.normalize("NFC", text).encode())


def held_of(key: bytes, provider: str, place: RootPlace = HERE) -> dict[str, str]:
    """What a key seals the root to, made from the description and no code of `cdp.vault`."""
    numbered = place.version.to_bytes(8, "big")
    bound = framed(b"kith/root", provider.encode(), place.workspace.bytes, numbered)
    cipher = AESGCMSIV(derived(key, framed(b"kith/root/wrap/1")))
    content = counted(12) + cipher.encrypt(counted(12), ROOT.expose(), bound)
    check = derived(key, framed(b"kith/root/check/1"))
    return {"check": text_of(check), "sealed": text_of(content)}


# ── what is stored ──────────────────────────────────────────────────────────


def test_a_root_under_a_key_from_outside_is_stored_as_described():
    """Check and sealed root come out the same of other code; nothing else is stored."""
    assert dict(outside().wrap(ROOT, HERE)) == held_of(KEY, "environment")
    assert outside().unwrap(held_of(KEY, "environment"), HERE).expose() == ROOT.expose()


@pytest.mark.parametrize("costs", [(19 * 1024, 1, 1), (19 * 1024 + 8, 2, 16)], ids=str)
def test_a_root_under_a_passphrase_is_stored_as_described(costs):
    """Function, costs and salt beside it; the costs that are stored open it, up to 16 lanes."""
    expected = {
        "function": "argon2id",
        "memory_kib": costs[0],
        "iterations": costs[1],
        "lanes": costs[2],
        "salt": text_of(counted(16)),
        **held_of(stretched(PHRASE, costs), "passphrase"),
    }
    assert dict(phrase(costs=Stretching(*costs)).wrap(ROOT, HERE)) == expected
    assert phrase().unwrap(expected, HERE).expose() == ROOT.expose()


def test_a_root_in_the_file_is_stored_as_it_is():
    """The file's own root is base 64 of its 32 bytes."""
    assert dict(FILE.wrap(ROOT, HERE)) == {"secret": text_of(ROOT.expose())}
    assert FILE.unwrap({"secret": text_of(KEY)}, THERE).expose() == KEY


def test_providers_are_told_apart_by_name_and_say_what_they_need():
    """The words of the ring file and of `CDP_ROOT_PROVIDER`, and what each waits for."""
    needs = {one.name: one.needs for one in (FILE, phrase(), outside())}
    assert needs == {
        "file": "nothing beside the key ring file",
        "passphrase": (
            "CDP_PASSPHRASE, CDP_PASSPHRASE_FILE, or somebody at the terminal to type it"
        ),
        "environment": "CDP_ROOT_KEY: 32 random bytes in base 64",
    }
    assert repr(phrase()) == "<root under a passphrase>"
    assert repr(outside()) == "<root under a key from outside>"
    assert repr(ONLY_FILE.adding(outside())) == "<root providers: file, environment>"


def test_a_provider_that_is_not_there_is_named_with_those_that_are():
    """Of two of one name the later counts; a name that is not there is answered with all."""
    another = EnvironmentRoot(None)
    known = ONLY_FILE.adding(outside()).adding(another)
    assert known.named("environment") is another
    assert known.named("file") is FILE
    assert said(RootProviderUnknown, lambda: known.named("kms")) == (
        "provider kms: this program has no root provider of that name, it has file, environment; "
        "next: use one of these, or the program that has the other"
    )


# ── what is said ────────────────────────────────────────────────────────────


def test_the_wrong_key_says_what_to_give():
    """Provider, root version and the setting; the passphrase's hint is about how it is typed."""
    held = phrase().wrap(ROOT, HERE)
    assert said(PassphraseWrong, lambda: phrase(PHRASE.title()).unwrap(held, HERE)) == (
        "provider passphrase, root version 3: the passphrase is wrong; "
        "next: give the one that this key ring was sealed with, capitals and spaces alike"
    )
    held = outside().wrap(ROOT, HERE)
    assert said(RootKeyWrong, lambda: outside(KEY[::-1]).unwrap(held, HERE)) == (
        "provider environment, root version 3: "
        "CDP_ROOT_KEY is not the key that this root was sealed with; "
        "next: set it to the key that was in force when the key ring was last written"
    )


@pytest.mark.parametrize("guard", [phrase(), outside()], ids=["passphrase", "environment"])
def test_a_root_that_is_not_of_this_place_says_so(guard):
    """Provider invariant 1: another version, a changed, a cut and a longer root are one finding."""
    held = dict(guard.wrap(ROOT, HERE))
    content = base64.b64decode(held["sealed"])
    turned = content[:-1] + bytes([content[-1] ^ 1])
    for sealed in (content[:59], content + b"\0", b"", turned):
        wrong = {**held, "sealed": text_of(sealed)}
        assert said(RootOfAnotherPlace, lambda wrong=wrong: guard.unwrap(wrong, HERE)) == (
            f"provider {guard.name}, workspace {WORKSPACE}, root version 3: {MISPLACED}"
        )
    assert said(RootOfAnotherPlace, lambda: guard.unwrap(held, THERE)) == (
        f"provider {guard.name}, workspace {WORKSPACE}, root version 4: {MISPLACED}"
    )


def test_a_passphrase_is_counted_in_characters():
    """Eleven characters are too few, whatever bytes they take; twelve are enough."""
    assert said(PassphraseWeak, lambda: phrase("é" * 11).wrap(ROOT, HERE)) == (
        "the passphrase has fewer than 12 characters; "
        "next: take a longer one: five words drawn by chance are good"
    )
    held = phrase("é" * 12).wrap(ROOT, HERE)
    assert phrase("e\u0301" * 12).unwrap(held, HERE).expose() == ROOT.expose()


def test_a_key_from_outside_that_is_none_says_which_command_makes_one():
    """Not set, and set to something else: sealing and opening say the same."""
    place = "provider environment: CDP_ROOT_KEY is not"
    held = outside().wrap(ROOT, HERE)
    for given, rest in (
        (None, "set; next: set it to 32 random bytes in base 64, as `openssl rand -base64 32` "),
        (b"", "32 bytes in base 64; next: set it to what `openssl rand -base64 32` "),
        (b"?" + text_of(KEY).encode(), "32 bytes in base 64; next: set it to what `openssl rand "),
        (text_of(KEY[1:]).encode(), "32 bytes in base 64; next: set it to what `openssl rand "),
        ("ä".encode() * 44, "32 bytes in base 64; next: set it to what `openssl rand -base64 "),
    ):
        guard = EnvironmentRoot(given if given is None else Secret(given))
        sentences = {
            said(RootNeeds, lambda guard=guard: guard.wrap(ROOT, HERE)),
            said(RootNeeds, lambda guard=guard: guard.unwrap(held, HERE)),
        }
        [sentence] = sentences
        assert sentence.startswith(f"{place} {rest}")
        end = "prints" if given is None else "prints, whole and on one line"
        assert sentence.endswith(f"`openssl rand -base64 32` {end}")
    spaced = EnvironmentRoot(Secret(b" \n" + text_of(KEY).encode() + b"\r\n"))
    assert spaced.unwrap(held, HERE).expose() == ROOT.expose()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"function": "argon2i"}, "not costs that Kith writes"),
        ({"memory_kib": 19 * 1024 - 1}, "not costs that Kith writes"),
        ({"memory_kib": 1024 * 1024 + 1}, "not costs that Kith writes"),
        ({"iterations": 0}, "not costs that Kith writes"),
        ({"iterations": 65}, "not costs that Kith writes"),
        ({"lanes": 17}, "not costs that Kith writes"),
        ({"lanes": True}, "not a whole number"),
        ({"lanes": 1.0}, "not a whole number"),
        ({"salt": text_of(bytes(15))}, "not a salt"),
        ({"salt": text_of(bytes(17))}, "not a salt"),
        ({"salt": 16}, "not base 64"),
        ({"check": None}, "not base 64"),
    ],
    ids=str,
)
def test_costs_and_salts_that_kith_did_not_write_are_not_spent(change, why):
    """What is outside the bounds is refused before a passphrase is asked for or stretched."""
    held = {**phrase().wrap(ROOT, HERE), **change}
    asked: list[int] = []

    def ask() -> Secret:
        asked.append(1)
        return Secret(PHRASE.encode())

    with pytest.raises(ValueError, match=f"^{why}$"):
        PassphraseRoot(ask, CHEAP).unwrap(held, HERE)
    assert bool(asked) == ("check" in change)


@pytest.mark.parametrize("text", ["AAA", "AAA=\n", "AA A=", "ÄAA=", b"AAA=", None, 7])
def test_what_is_not_base_64_is_refused(text):
    """Neither a break nor a space is passed over, nor is anything but text."""
    with pytest.raises(ValueError):
        local.bytes_of(text)
    assert local.bytes_of("AAA=") == b"\0\0"


# ── asked beforehand ────────────────────────────────────────────────────────


class Guard:
    """A provider that counts, gives back what it is told to, and can stop answering."""

    name, needs = "guard", "an answer"

    def __init__(self, gives: Callable[[Any, RootPlace], Secret] | None = None) -> None:
        self.gives = gives or FILE.unwrap
        self.asked: list[tuple[str, int]] = []
        self.wraps = FILE.wrap

    def wrap(self, root, place):
        """Keep the root as `file` does."""
        self.asked.append(("wrap", place.version))
        return {**self.wraps(root, place), "turn": len(self.asked)}

    def unwrap(self, held, place):
        """Give what it was told to."""
        self.asked.append(("unwrap", place.version))
        return self.gives(held, place)

    def __repr__(self) -> str:
        return "<guard>"


def test_what_was_asked_beforehand_is_not_asked_again():
    """Editing invariant 5: the same root of the same place; any other is asked for when needed."""
    guard = Guard()
    asked = AskedRoot(guard)
    assert (asked.name, asked.needs, repr(asked)) == (
        "guard",
        "an answer",
        "<asked beforehand: <guard>>",
    )
    asked.ask({HERE: ROOT, THERE: OTHER})
    expected = [("wrap", 3), ("unwrap", 3), ("wrap", 4), ("unwrap", 4)]
    assert guard.asked == expected
    held = asked.wrap(ROOT, HERE)
    assert (held["turn"], asked.wrap(Secret(OTHER.expose()), THERE)["turn"]) == (1, 3)
    assert asked.unwrap(dict(held), HERE).expose() == ROOT.expose()
    assert guard.asked == expected
    # Another root, another place, or something else that is held: the provider decides.
    assert asked.wrap(OTHER, HERE)["secret"] == text_of(OTHER.expose())
    assert asked.wrap(ROOT, RootPlace(WORKSPACE, 9))["secret"] == text_of(ROOT.expose())
    assert asked.unwrap(held, THERE).expose() == ROOT.expose()
    assert asked.unwrap({"secret": text_of(KEY)}, HERE).expose() == KEY
    assert asked.unwrap(held, RootPlace(UUID(int=2), 3)).expose() == ROOT.expose()
    rest = [("wrap", 3), ("wrap", 9), ("unwrap", 4), ("unwrap", 3), ("unwrap", 3)]
    assert guard.asked == expected + rest


@pytest.mark.parametrize(
    "gives",
    [
        lambda _held, _place: OTHER,
        lambda _held, _place: Secret(ROOT.expose()[:-1]),
        lambda held, _place: held["nothing"],
        lambda _held, _place: int("none"),
        lambda held, _place: held + 1,
    ],
    ids=["another", "cut", "lacks", "garbled", "type"],
)
def test_a_provider_that_gives_no_root_back_says_where(gives):
    """Editing invariant 1: whatever comes instead, the place is named and nothing is known."""
    guard = Guard(gives)
    asked = AskedRoot(guard)
    assert said(RootOfAnotherPlace, lambda: asked.ask({HERE: ROOT})) == (
        f"provider guard, workspace {WORKSPACE}, root version 3: {MISPLACED}"
    )
    guard.gives = FILE.unwrap
    assert asked.wrap(ROOT, HERE)["turn"] == 3


def test_what_the_provider_says_while_it_is_asked_is_passed_on():
    """Its own error, in its own words, whichever of the two it was asked for."""

    def silent(_held, _place):
        raise RootUnreachable("it does not answer", "wait", provider="guard")

    guard = Guard(silent)
    for _ in range(2):
        assert said(RootUnreachable, lambda: AskedRoot(guard).ask({HERE: ROOT})) == (
            "provider guard: it does not answer; next: wait"
        )
        guard.wraps = silent


def test_a_check_tells_one_key_from_another():
    """Only the key that sealed is the key, compared whole."""
    held = held_of(KEY, "environment")
    assert local.is_key(Secret(KEY), held)
    assert not local.is_key(Secret(KEY[::-1]), held)
    assert not local.is_key(Secret(KEY), {**held, "check": held["check"][:-4]})
