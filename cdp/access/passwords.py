"""Passwords: what may be one, and what is stored of it. Pure.

The rules are those of NIST SP 800-63B, section 5.1.1.2: length counts, composition does not,
what everybody tries first is refused, nothing expires. What is stored is Argon2id (RFC 9106,
second recommended option: 64 MiB, 3 passes, 4 lanes, salt of 128 bits) in PHC form::

    $argon2id$v=19$m=65536,t=3,p=4$salt$hash

Invariants, each named by a test in ``tests/unit/access/test_passwords.py``:

1. The same password never gives the same text twice, and the text does not hold it.
2. A stored text asks for no more memory or time than the bounds below.
3. Whatever is typed costs the same to check, also where there is nothing to check against.
4. Two ways to type one character (composed or not, full-width or not) are one password.
"""

import base64
import binascii
import re
import unicodedata
from typing import Final

from cdp.errors import Refused, Stop
from cdp.vault import primitives
from cdp.vault.primitives import Stretching
from cdp.vault.secret import Secret
from connectors.record import Sensitive

COSTS: Final = Stretching(memory_kib=64 * 1024, iterations=3, lanes=4)
MOST: Final = Stretching(memory_kib=256 * 1024, iterations=16, lanes=16)
SALT_BYTES: Final = 16
LEAST_CHARACTERS: Final = 12
MOST_CHARACTERS: Final = 256
REASON: Final = "sign in"
_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)
# What is tried first wherever twelve characters are asked for, in lower case. A password is also
# refused when it is one of these with something short around it.
_TRIED_FIRST: Final = frozenset(
    {
        "administrator", "adminadmin", "changeme", "correcthorsebatterystaple", "customerdata",
        "iloveyou", "letmein", "passphrase", "password", "passw0rd", "qwertyuiop", "qwerty",
        "secret", "trustno1", "welcome", "woaini", "wodemima", "1q2w3e4r5t6y", "1qaz2wsx3edc",
        "zaq12wsx", "asdfghjkl", "zxcvbnm", "abc123",
    }
)  # fmt: skip
_AROUND: Final = 5  # characters around one of those that make it no better
_FEWEST_DIFFERENT: Final = 5  # characters
_RUNS: Final = ("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm")


def refuse_weak(password: Sensitive, principal_id: str) -> None:
    """Refuse what others would guess.

    Raises:
        Refused: too short, too long, or among what is tried first.
    """
    text = normal(password)
    if not LEAST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
        step = f"choose {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, such as four words"
        raise Refused("password_length", step)
    if _is_guessable(text.casefold(), principal_id.casefold()):
        raise Refused(
            "password_often_tried", "choose one that nobody would try, such as four words"
        )


def _is_guessable(text: str, principal_id: str) -> bool:
    if len(set(text)) < _FEWEST_DIFFERENT:
        return True
    if any(text in run or text[::-1] in run for run in _RUNS):
        return True
    known = {*_TRIED_FIRST, principal_id, "kith"}
    return any(one in text and len(text) - len(one) * text.count(one) <= _AROUND for one in known)


def normal(password: Sensitive) -> str:
    """The password as it is compared: NFKC, as SP 800-63B asks where Unicode is taken."""
    return unicodedata.normalize("NFKC", password.reveal(reason=REASON))


def stored(password: Sensitive, salt: bytes, costs: Stretching = COSTS) -> str:
    """Return what is stored of a password; ``salt`` is 16 random bytes."""
    told = _stretched(password, salt, costs)
    memory, iterations, lanes = costs
    return f"$argon2id$v=19$m={memory},t={iterations},p={lanes}${_text(salt)}${_text(told)}"


def matches(password: Sensitive, text: str | None) -> bool:
    """Say whether the password is the stored one; without a text the work is the same.

    Raises:
        Stop: the stored text is not one that Kith wrote.
    """
    if text is None:
        return primitives.same(_stretched(password, bytes(SALT_BYTES), COSTS), b"")
    costs, salt, told = _parsed(text)
    return primitives.same(_stretched(password, salt, costs), told)


def is_current(text: str, costs: Stretching = COSTS) -> bool:
    """Say whether a stored text was made at today's costs."""
    return _parsed(text)[0] == costs


def _stretched(password: Sensitive, salt: bytes, costs: Stretching) -> bytes:
    given = Secret(normal(password).encode(errors="surrogatepass"))
    return primitives.stretched(given, salt, costs).expose()


def _parsed(text: str) -> tuple[Stretching, bytes, bytes]:
    found = _PHC.fullmatch(text)
    costs = Stretching(*map(int, found.groups()[:3])) if found else None
    if found is None or costs is None or not _within_bounds(costs):
        raise Stop("password_unreadable", "reset the account: cdp access reset-account")
    return costs, _bytes(found[4]), _bytes(found[5])


def _within_bounds(costs: Stretching) -> bool:
    # RFC 9106, section 3.1: at least 8 KiB a lane.
    bounded = all(1 <= have <= most for have, most in zip(costs, MOST, strict=True))
    return bounded and costs.memory_kib >= 8 * costs.lanes


def _text(content: bytes) -> str:
    return base64.b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise Stop("password_unreadable", "reset the account: cdp access reset-account") from None
