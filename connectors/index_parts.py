"""What a compound index may be made of: a closed set of parts, and how they may be put together.

1. A part that many people share is never indexed alone, nor only with other parts of the
   same field: surname, birthday, city, gender, postcode and their like.
2. A compound without a part of an identifier is not truncated: truncation does not cure what
   public statistics foretell.
3. Equal parts and bits give an equal label, and the label is part of the key's derivation:
   an index that is defined anew never meets the rows of the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from connectors.errors import DeclarationError
from connectors.vocabulary import SENSITIVE_FIELDS

FULL_BITS: Final = 128
MOST_PARTS: Final = 4


class Part(NamedTuple):
    """One part of a person's data that an index may be made of."""

    name: str
    field: str
    about: str


_SHARED: Final = (
    Part("name", "name", "the whole name"),
    Part("surname", "name", "the surname"),
    Part("given_name", "name", "the given name"),
    Part("name_initials", "name", "first letters of the name, of its pinyin for Han"),
    Part("birth_date", "birth_date", "the birth date"),
    Part("birth_year", "birth_date", "the year of birth"),
    Part("birth_month_day", "birth_date", "the birthday without the year, MM-DD"),
    Part("gender", "gender", "the gender"),
    Part("city", "city", "the city"),
    Part("district", "district", "the district"),
    Part("postcode", "postcode", "the postcode"),
    Part("email_domain", "email", "what stands behind the @"),
    Part("phone_head_7", "phone", "the first seven digits: operator and city"),
)
# Few people share one, and no public table says how many.
_OF_IDENTIFIERS: Final = (
    Part("phone_tail_4", "phone", "the last four digits of a phone"),
    Part("loyalty_card_tail_4", "loyalty_card", "the last four characters of a card"),
    Part("national_id_tail_4", "national_id", "the last four characters of an ID number"),
    Part("bank_card_tail_4", "bank_card", "the last four digits of a bank card"),
)
ANCHORS: Final = frozenset(part.name for part in _OF_IDENTIFIERS)
PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {part.name: part for part in (*_SHARED, *_OF_IDENTIFIERS)}
)


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """A compound index: its name in ``cdp.yaml``, its parts, and how many bits are kept."""

    name: str
    parts: tuple[str, ...]  # sorted
    bits: int = FULL_BITS

    @classmethod
    def of(cls, name: str, parts: tuple[str, ...], bits: int = FULL_BITS) -> "IndexDefinition":
        """Put the parts in order and refuse what may not be indexed (`DeclarationError`)."""
        made = cls(name, tuple(sorted(parts)), bits)
        problem = fault(made)
        if problem is not None:
            rule, step = problem
            raise DeclarationError(f"indexes.{name}", rule, f"{step[0].upper()}{step[1:]}.")
        return made

    @property
    def label(self) -> str:
        """What is stored beside each index value: ``phone_tail_4+surname:15``."""
        return f"{'+'.join(self.parts)}:{self.bits}"

    @property
    def fields(self) -> frozenset[str]:
        """The identity fields that the parts are taken from."""
        return frozenset(PARTS[part].field for part in self.parts)

    @property
    def sensitive(self) -> bool:
        """Whether the sensitive tier has to be opened to make it."""
        return not SENSITIVE_FIELDS.isdisjoint(self.fields)

    @property
    def truncated(self) -> bool:
        """Whether different values share an index value on purpose."""
        return self.bits < FULL_BITS

    @property
    def anchored(self) -> bool:
        """Whether some part is of an identifier."""
        return not ANCHORS.isdisjoint(self.parts)


def fault(definition: IndexDefinition) -> tuple[str, str] | None:
    """Say what forbids an index whatever the data: rule and next step; None: nothing."""
    parts = definition.parts
    if not parts or not PARTS.keys() >= set(parts):
        return "an index is made of known parts", f"use some of: {', '.join(PARTS)}"
    if len(set(parts)) != len(parts) or len(parts) > MOST_PARTS:
        return "a part is repeated, or there are too many", f"name 1 to {MOST_PARTS} parts, once"
    if not 1 <= definition.bits <= FULL_BITS:
        return "bits out of range", f"keep 1 to {FULL_BITS} bits; see: cdp index plan"
    return None if definition.anchored else _fault_of_shared(definition)


def _fault_of_shared(definition: IndexDefinition) -> tuple[str, str] | None:
    if len(definition.fields) == 1:
        several = " and ".join(definition.parts)
        rule = f"{several} alone: so many people share one that its group tells who they are"
        return rule, "add a part of an identifier, such as phone_tail_4"
    if definition.truncated:
        rule = "truncated, and no part is of an identifier: public statistics foretell its groups"
        return rule, "add a part such as phone_tail_4, or keep all 128 bits if the plan allows it"
    return None
