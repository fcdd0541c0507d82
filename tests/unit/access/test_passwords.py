"""What may be a password, and what is stored of it."""

import re
import unicodedata

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from cdp.access import passwords
from cdp.errors import Refused, Stop
from cdp.vault.primitives import Stretching
from connectors.record import Sensitive

QUICK = Stretching(memory_kib=64, iterations=1, lanes=1)
GOOD = "four plain words here"


def refused(text: str, who: str = "clerk.bj01") -> str | None:
    try:
        passwords.refuse_weak(Sensitive(text), who)
    except Refused as error:
        return error.rule
    return None


def test_the_costs_are_those_of_the_standard() -> None:
    """RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4 lanes, 128 bit salt."""
    assert passwords.COSTS == (64 * 1024, 3, 4)
    assert passwords.SALT_BYTES == 16


def test_the_same_password_is_stored_otherwise_each_time() -> None:
    """Passwords 1: another salt gives another text, and neither holds the password."""
    one, other = (passwords.stored(Sensitive(GOOD), bytes([n]) * 16, QUICK) for n in (1, 2))
    assert one != other
    assert "plain" not in one + other
    assert one.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert passwords.matches(Sensitive(GOOD), one)
    assert passwords.matches(Sensitive(GOOD), other)
    assert not passwords.matches(Sensitive(GOOD + "x"), one)
    assert passwords.is_current(one, QUICK)
    assert not passwords.is_current(one)


def test_the_text_is_what_another_library_would_read() -> None:
    """The PHC form: the library's own reader, which we do not use, takes it."""
    text = passwords.stored(Sensitive(GOOD), b"somesaltsomesalt", QUICK)
    Argon2id.verify_phc_encoded(GOOD.encode(), text)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=9999999,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=64,t=999,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=16$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43,
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 42,
    ],
)  # fmt: skip
def test_a_stored_text_out_of_bounds_is_refused(text: str) -> None:
    """Passwords 2: what Kith did not write is not computed, whatever memory it asks for."""
    with pytest.raises(Stop, match="password_unreadable"):
        passwords.matches(Sensitive(GOOD), text)


def test_nothing_to_check_against_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords 3: one Argon2 at today's costs, also for nobody, and it never fits."""
    spent: list[Stretching] = []
    real = passwords.primitives.stretched

    def watched(given, salt, costs):
        spent.append(costs)
        return real(given, salt, QUICK)

    monkeypatch.setattr(passwords.primitives, "stretched", watched)
    assert not passwords.matches(Sensitive(GOOD), None)
    assert spent == [passwords.COSTS]


@given(st.text(min_size=1, max_size=20))
def test_a_password_in_two_spellings_is_one(text: str) -> None:
    """Passwords 4: full-width and composed characters do not matter."""
    other = unicodedata.normalize("NFKC", text)
    assert passwords.normal(Sensitive(text)) == passwords.normal(Sensitive(other))


def test_length_counts_and_composition_does_not() -> None:
    """SP 800-63B: twelve characters of any kind; neither digits nor capitals are asked for."""
    assert refused("elevenchars") == "password_length"
    assert refused("x" * 257) == "password_length"
    assert refused("correct battery horses") is None
    assert refused("四个平常的词语放在一起就可以") is None
    assert refused("　　 a b c d e f g") is None


@pytest.mark.parametrize(
    "text",
    [
        "aaaaaaaaaaaaaaa", "abababababab", "abcdefghijklm", "zyxwvutsrqponm", "123456789012",
        "qwertyuiopasdf", "password1234", "Passw0rd2026", "administrator", "kithkithkith",
        "clerk.bj01clerk.bj01", "clerk.bj01!23", "letmeinletmein", "ＰＡＳＳＷＯＲＤ１２３４",
        "correcthorsebatterystaple",
    ],
)  # fmt: skip
def test_what_is_tried_first_is_refused(text: str) -> None:
    """A short list, runs of the keyboard, one's own name, with a little around it."""
    assert refused(text) == "password_often_tried"


@pytest.mark.parametrize(
    "text",
    [
        "my secret garden of welcome mats",  # what is tried first, with much around it
        "password123456",  # six characters around it
        "abcdeabcdeabcde",  # five different ones
        "kithkith and friends",
        "a" * 8 + "bcdefghijklmnopq" * 15 + "rstuvwxy",  # 256 characters
    ],
)
def test_what_nobody_tries_first_is_taken(text: str) -> None:
    """A known word among others makes no password worse: the refusal has an edge."""
    assert refused(text) is None


@pytest.mark.parametrize("text", ["password12345", "kithkithkith5678", "abcdabcdabcd", "x" * 256])
def test_the_edge_of_what_is_tried_first(text: str) -> None:
    """Five characters around a known word, the name of the product too, and four different."""
    assert refused(text) == "password_often_tried"


@pytest.mark.parametrize(
    ("costs", "taken"),
    [
        ("m=262144,t=16,p=16", True),
        ("m=262145,t=16,p=16", False),
        ("m=262144,t=17,p=16", False),
        ("m=262144,t=16,p=17", False),
        ("m=8,t=1,p=1", True),
        ("m=7,t=1,p=1", False),
        ("m=128,t=1,p=16", True),
        ("m=127,t=1,p=16", False),
        ("m=64,t=1,p=0", False),
    ],
)
def test_the_bounds_are_exact(costs: str, *, taken: bool) -> None:
    """Passwords 2: the most and the least that a stored text may ask for, and one more."""
    text = f"$argon2id$v=19${costs}$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
    if taken:
        assert not passwords.is_current(text)
        return
    with pytest.raises(Stop, match=r"password_unreadable.*cdp access reset-account"):
        passwords.is_current(text)


def test_nothing_shows_in_what_is_stored_or_raised() -> None:
    """The password shows in no error."""
    with pytest.raises(Refused) as caught:
        passwords.refuse_weak(Sensitive("secret-word"), "x")
    assert not re.search("secret-word", f"{caught.value!r} {caught.value}")
