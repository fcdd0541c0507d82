"""Whose id it is: two spellings of one id are one person, or they could be their own second one."""

import unicodedata


def person_of(principal: str) -> str:
    """Return the one spelling of an id: case, width of letters and outer blanks aside."""
    return unicodedata.normalize("NFKC", principal).strip().casefold()


def same_person(one: str, other: str) -> bool:
    """Say whether two ids are one person's."""
    return person_of(one) == person_of(other)
