"""Names: one canonical form, and how much of a person's name it is.

Invariants:

1. A nickname is never a name.
2. What a mask hides is not guessed: the visible pattern stays, and the name is incomplete.
3. Part of a name (a surname with a form of address) never passes for a whole one.
"""

from dataclasses import replace

from cdp.ingest.normalise.han_name import HAN, SYLLABARIES, read_han, read_remark, seems_name
from cdp.ingest.normalise.latin_name import read_latin
from cdp.ingest.normalise.name_parts import Name, NameKind, Script
from cdp.ingest.normalise.name_words import NO_NAMES
from cdp.ingest.normalise.result import Problem
from cdp.ingest.normalise.text import tidy

LIMIT = 128  # characters
LONGEST = 64  # characters of a canonical name

_NICKNAME = Problem("nickname", "nothing to do: a nickname is kept, and never used as a name")
_NO_NAME = Problem("blocked", "clear the filler value at the source")
_LONG = Problem("not_a_name", "map a column that holds one person's name")


def normalise_name(
    text: str, kind: NameKind = NameKind.NAME, labels: tuple[str, ...] = ()
) -> Name | Problem:
    """Return the name in `text`, a field of the given kind.

    `labels` are words known to surround names in remarks, such as the names of the stores.
    Problems: `empty`, `too_long`, `unreadable`, `nickname`, `blocked` (a filler), `not_a_name`,
    `organisation`.
    """
    if kind is NameKind.NICKNAME:
        return _NICKNAME
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    if plain.casefold() in NO_NAMES:
        return _NO_NAME
    name = _read(plain, kind, labels)
    if isinstance(name, Problem):
        return name
    if len(name.full) > LONGEST:
        return _LONG
    return _NO_NAME if name.full in NO_NAMES else name


def _read(plain: str, kind: NameKind, labels: tuple[str, ...]) -> Name | Problem:
    if HAN.search(plain) is None or (kind is not NameKind.REMARK and SYLLABARIES.search(plain)):
        return read_latin(plain, kind)
    if kind is NameKind.REMARK:
        return read_remark(plain, labels)
    return read_han(plain, kind)


def looks_like_name(text: str) -> bool:
    """Say whether a short text is more likely a person's name than a nickname or a label.

    A judgement for Han texts: a known surname, one or two characters behind it, no everyday
    word. Any other text is no name.
    """
    plain = tidy(text, LIMIT)
    return not isinstance(plain, Problem) and plain not in NO_NAMES and seems_name(plain)


def join_names(given: Name | None, surname: Name | None) -> Name | None:
    """Make one name from the two columns of a source that keeps the parts apart.

    Each argument is the answer of `normalise_name` for kinds `given_name` and `surname`. Parts
    in two scripts (陈, David) make no one name: written together, each would be read as the
    whole. They count as parts.
    """
    if given is None or surname is None:
        return given or surname
    if (given.script is Script.HAN) != (surname.script is Script.HAN):
        return None
    if given.script is Script.HAN and surname.script is Script.HAN:
        full = surname.full + given.full
        tokens: tuple[str, ...] = (full,)
    else:
        full = f"{given.full} {surname.full}"
        tokens = tuple(sorted(given.tokens + surname.tokens))
    masked = given.masked or surname.masked
    return replace(
        surname,
        full=full,
        surname=surname.full,
        given=given.full,
        masked=masked,
        complete=not masked,
        tokens=tokens,
    )
