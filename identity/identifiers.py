"""What the identifier catalogue says, in the words of identity's comparisons.

How often one value stands for two people cannot be learnt from unlabelled pairs: where two
records have nothing in common but an identifier, the data does not say who is right. It
comes from who issues it, and stands with its reason in ``identifiers.yaml``. Phones are the
exception: their share is measured, see ``identity.sharing.wrong_shares``.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from identity.catalogue import shipped

# Feature -> the comparison that weighs it, for its best level.
COMPARED: Final[Mapping[str, str]] = {
    "unionid": "unionid",
    "email": "e-mail",
    "national_id": "ID number",
    "tax_number": "tax number",
    "accounts": "account",
}


@cache
def wrong_shares() -> Mapping[str, float]:
    """Comparison -> share of value-sharing pairs that are two people.

    Accounts are one comparison: the weakest type that feeds it decides.
    """
    catalogue = shipped()
    return {
        comparison: max(catalogue[name].wrong_share or 0.0 for name in catalogue.feeding(feature))
        for feature, comparison in COMPARED.items()
    }


@cache
def exclusive() -> frozenset[str]:
    """The comparisons where two different valid values prove two people.

    Accounts differ only where the catalogue, or a workspace's own type, says so of them.
    """
    unique = {one.feeds for one in shipped().types.values() if one.unique}
    return frozenset({COMPARED[feature] for feature in unique & set(COMPARED)} | {"account"})


@cache
def most_people(name: str) -> int:
    """A value of this type with more people than this names nobody.

    Raises:
        ValueError: the people of this type are not counted.
    """
    limit = shipped()[name].most_people
    if limit is None:
        raise ValueError(f"the people behind a value of {name} are not counted")
    return limit


class _WrongShare(Mapping[str, float]):
    """``wrong_shares()`` as a mapping; the catalogue is read at the first look, not at import."""

    def __getitem__(self, comparison: str) -> float:
        return wrong_shares()[comparison]

    def __iter__(self) -> Iterator[str]:
        return iter(wrong_shares())

    def __len__(self) -> int:
        return len(wrong_shares())


WRONG_SHARE: Final[Mapping[str, float]] = _WrongShare()
