"""Features of names, and of texts that differ by one slip: what `cdp.ingest.features` derives.

Pure. What is remembered of a name, and for how long, is said there.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import combinations
from typing import Final

from cdp.ingest.normalise.name_parts import Name, Script
from cdp.ingest.normalise.nicknames import formal_names

Key = Callable[[str, str], int]
Features = dict[str, int | Sequence[int]]

MOST_WORDS: Final = 10  # of one name; every two of them make a feature
SHORTEST_NEAR: Final = 4  # characters; below this, one deletion leaves too little to name anything


def variants(text: str, fixed: int = 0) -> set[str]:
    """The text and its one-deletion neighbours; the first ``fixed`` characters stay.

    Two texts one deletion, insertion, substitution or exchange of neighbours apart share
    at least one of these (Bocek, Hunt & Stiller 2007, "Fast Similarity Search").
    """
    found = {text}
    if len(text) >= SHORTEST_NEAR:
        found |= {text[:place] + text[place + 1 :] for place in range(fixed, len(text))}
    return found


def near_keys(feature: str, text: str, key: Key) -> list[int]:
    """Key the text and its one-deletion neighbours."""
    return [key(feature, variant) for variant in variants(text)]


def visible(part: Name, key: Key, features: Features) -> None:
    """What shows of an incomplete name: 张** its surname, 张*三 also its end, 雨姐 only an end."""
    if part.surname:
        features["surname"] = key("surname", part.surname)
    # A mask ends where the name does, but for 阿*提·买买提, where the father's name follows.
    whole = part.masked and "·" not in part.full
    end = part.full[-1:] if whole else (part.given or "")[-1:]
    if part.script is Script.HAN and end and end != "*":
        features["given_end"] = key("given_end", end)


def of_surname(surname: str, key: Key) -> Features:
    """What a surname gives, whosever it is."""
    return {
        "surname": key("surname", surname),
        "surname_near": near_keys("surname_near", surname, key),
    }


def of_given(given: str, key: Key) -> Features:
    """What a given name gives, whosever it is."""
    near = near_keys("given_near", given, key)
    near += [key("given_near", formal) for formal in formal_names(given)]
    return {
        "given": key("given", given),
        "given_end": key("given_end", given[-1]),
        "given_near": near,
    }


def words_of(whole: Name, key: Key, features: Features) -> None:
    """The words of a name in letters: people add titles and middle names, and leave them out."""
    if whole.script is Script.HAN or whole.masked:
        return
    words = sorted(set(whole.tokens))
    features["words"] = [key("words", word) for word in words]
    features["words_near"] = [k for word in words for k in _word_near(word, key)]
    pairs = combinations(words[:MOST_WORDS], 2)
    features["word_pairs"] = [key("word_pairs", " ".join(pair)) for pair in pairs]


def _word_near(word: str, key: Key) -> list[int]:
    near = near_keys("words_near", word, key)
    return near + [key("words_near", formal) for formal in formal_names(word)]


def near_names(whole: Name) -> Collection[str]:
    """A whole name, its one-deletion neighbours and those it may be short for."""
    surname, given = whole.surname or "", whole.given or ""
    if whole.script is Script.HAN:
        # The surname stays: 张三 and 李三 are not one slip apart. A given name of one
        # character stays too, or every 张 would be near every other.
        variants = {whole.full}
        if len(given) > 1:
            variants |= {surname + given[:i] + given[i + 1 :] for i in range(len(given))}
        return variants
    return [
        f"{near_given}|{near_surname}"
        for near_given, near_surname in _latin_variants(given, surname)
    ]


def _latin_variants(given: str, surname: str) -> Iterable[tuple[str, str]]:
    yield given, surname
    # Bill Smith has a key in common with William Smith, as if he were one slip away.
    yield from ((formal, surname) for formal in formal_names(given))
    if len(given) >= SHORTEST_NEAR:
        yield from {(given[:i] + given[i + 1 :], surname) for i in range(len(given))}
    if len(surname) >= SHORTEST_NEAR:
        yield from {(given, surname[:i] + surname[i + 1 :]) for i in range(len(surname))}
