"""Which identifiers there are, and what each is worth.

``identifiers.yaml`` ships with Kith; a workspace adds types of its own. Everything here is
configuration and nobody's data: ``cdp.ingest`` reads values by it, identity weighs by it.

Invariants, each named by a test in ``tests/unit/identity/test_catalogue.py``:
    1. A catalogue that breaks a rule is refused as a whole; the error names path, rule and
       next step, and never a value.
    2. People are counted, and unique values held against each other, only where that is
       read: a word that nothing reads is refused.
    3. A type that a workspace adds can neither replace one that ships nor be trusted more
       than one.
    4. Blocked patterns and forms are closed sets: no expression is ever evaluated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import yaml

from identity import catalogue_schema
from identity.errors import CatalogueError

FILE: Final = "identifiers.yaml"
SECTION: Final = "identifiers"  # of a workspace's cdp.yaml
NONE: Final = "none"
_NO_FEATURE: Final = frozenset({"accounts", NONE})  # feeds of types that have none of their own
_COUNTED: Final = ("accounts", "email", "phones")  # feeds of types whose people are counted
_TAIL: Final = 8  # characters at the end, or at the start, that a filler fills


@dataclass(frozen=True, slots=True)
class Blocked:
    """Values that stand for nobody.

    Attributes:
        values: in lower case.
        patterns: names from ``PATTERNS``.
    """

    values: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()

    def blocks(self, text: str) -> bool:
        """Whether ``text``, in canonical form, stands for nobody."""
        if text.casefold() in self.values:
            return True
        for name in self.patterns:  # noqa: SIM110 - a generator takes as long again, per value
            if PATTERNS[name](text):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Form:
    """What a value looks like, for types that no normaliser of their own reads.

    Attributes:
        characters: ``visible`` or ``ascii``, kept as spelled; ``letters_and_digits`` or
            ``digits``, without separators and in upper case.
        shortest, longest: characters.
    """

    characters: str = "visible"
    shortest: int = 2
    longest: int = 128


@dataclass(frozen=True, slots=True)
class IdentifierType:
    """One kind of identifier.

    Attributes:
        name: unique in the catalogue.
        about: for people.
        field: the mapping field it arrives in; mostly its own name.
        scope: within what a value is unique, or ``none``.
        wrong_share: of the pairs of records that share a value, the share that is two
            people; None: measured in the data.
        because: why.
        unique: a person has one within the scope: two different values prove two people.
        most_people: a value that more people hold is no evidence; None: not counted.
        feeds: a feature of ``identity.features``, or ``none``.
        shipped: False for a workspace's own.
    """

    name: str
    about: str
    field: str
    scope: str
    wrong_share: float | None
    because: str
    feeds: str
    unique: bool = False
    most_people: int | None = None
    blocked: Blocked = Blocked()
    form: Form = Form()
    shipped: bool = True

    @property
    def scoped(self) -> bool:
        """Whether a value means nothing without its scope."""
        return self.scope != NONE

    def reading(self) -> tuple[Any, ...]:
        """All that decides how a value is read and keyed, in a stable order; plain data."""
        form, blocked = self.form, self.blocked
        return (
            *(self.name, self.feeds, self.unique, self.most_people),
            *(form.characters, form.shortest, form.longest),
            *(sorted(blocked.values), sorted(blocked.patterns)),
        )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All identifier types by name, and the words that mean nothing in any of them."""

    types: Mapping[str, IdentifierType]
    fillers: Blocked
    _feeding: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        feeding: dict[str, list[str]] = {}
        for one in self.types.values():
            feeding.setdefault(one.feeds, []).append(one.name)
        fixed = {feature: tuple(names) for feature, names in feeding.items()}
        object.__setattr__(self, "_feeding", MappingProxyType(fixed))

    def __getitem__(self, name: str) -> IdentifierType:
        """The type of that name; KeyError if there is none."""
        return self.types[name]

    def __contains__(self, name: str) -> bool:
        return name in self.types

    def feeding(self, feature: str) -> tuple[str, ...]:
        """The names of the types that feed a feature, in the order of the catalogue."""
        return self._feeding.get(feature, ())

    @property
    def held_apart(self) -> tuple[str, ...]:
        """The unique types without a feature of their own, in the order of the catalogue."""
        return tuple(
            one.name for one in self.types.values() if one.unique and one.feeds in _NO_FEATURE
        )

    @property
    def added(self) -> frozenset[str]:
        """The names of the workspace's own types."""
        return frozenset(one.name for one in self.types.values() if not one.shipped)

    def with_types(self, entries: object) -> "Catalogue":
        """This catalogue and a workspace's own types.

        Args:
            entries: the ``identifiers:`` section of cdp.yaml, as YAML gave it.

        Raises:
            CatalogueError: an entry breaks a rule.
        """
        raw = catalogue_schema.require(entries, SECTION, "types")
        own: dict[str, IdentifierType] = {}
        for name, entry in raw.items():
            where = f"{SECTION}.{name}"
            if name in self.types:
                raise CatalogueError(where, "name_taken", "Choose another name: this one ships.")
            own[name] = _type(name, entry, self.fillers, shipped=False)
            _require_modest(own[name], where, self)
        whole = Catalogue(MappingProxyType({**self.types, **own}), self.fillers)
        for one in own.values():
            _require_sense(one, whole, SECTION)
        return whole


@cache
def shipped() -> Catalogue:
    """The catalogue that ships with Kith, read once."""
    return parse(resources.files("identity").joinpath(FILE).read_text("utf-8"))


def parse(text: str) -> Catalogue:
    """Read a whole catalogue.

    Raises:
        CatalogueError: naming path, rule and next step.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise CatalogueError(FILE, "not_yaml", "Make it valid YAML.") from None
    raw = catalogue_schema.require(document, FILE)
    words = frozenset(word.casefold() for word in raw["fillers"])
    fillers = Blocked(words, ("repeated",))
    types = {n: _type(n, entry, fillers, shipped=True) for n, entry in raw["types"].items()}
    whole = Catalogue(MappingProxyType(types), fillers)
    for one in types.values():
        _require_sense(one, whole, f"{FILE}.types")
    return whole


def _type(name: str, raw: Mapping[str, Any], fillers: Blocked, *, shipped: bool) -> IdentifierType:
    share = raw["strength"]["wrong_share"]
    return IdentifierType(
        name=name,
        about=raw["about"],
        field=raw.get("field", name),
        scope=raw["scope"],
        wrong_share=None if share == "measured" else float(share),
        because=raw["strength"]["because"],
        feeds=raw["feeds"],
        unique=raw.get("unique", False),
        most_people=raw.get("most_people"),
        blocked=_blocked(raw.get("blocked", {}), fillers),
        form=Form(**raw.get("form", {})),
        shipped=shipped,
    )


def _blocked(raw: Mapping[str, Any], fillers: Blocked) -> Blocked:
    values = frozenset(value.casefold() for value in raw.get("values", ()))
    patterns = tuple(raw.get("patterns", ()))
    if raw.get("fillers", True):
        values |= fillers.values
        patterns = tuple(dict.fromkeys(fillers.patterns + patterns))
    return Blocked(values, patterns)


# ── rules between keys ──────────────────────────────────────────────────────


def _require_sense(one: IdentifierType, whole: Catalogue, top: str) -> None:
    where = f"{top}.{one.name}"
    if one.form.shortest > one.form.longest:
        raise CatalogueError(f"{where}.form", "no_length", "Make shortest no greater than longest.")
    if one.field != one.name and (one.field not in whole or one.feeds != NONE):
        raise CatalogueError(
            f"{where}.field", "unknown_field", "Name another type here, and feed none."
        )
    _require_evidence(one, whole, where)


def _require_evidence(one: IdentifierType, whole: Catalogue, where: str) -> None:
    own_feature = one.feeds not in _NO_FEATURE
    if own_feature and len(whole.feeding(one.feeds)) > 1:
        raise CatalogueError(f"{where}.feeds", "fed_twice", "Feed accounts, or none.")
    if one.unique and one.feeds == "phones":
        raise CatalogueError(f"{where}.unique", "not_compared", "Remove it: people have two.")
    if (one.wrong_share is None) != (one.feeds == "phones"):
        raise CatalogueError(
            f"{where}.strength.wrong_share",
            "wrong_share",
            "Write a number from 0 to 1; what feeds phones, and nothing else, is measured.",
        )
    if one.feeds in {"phones", "email"} and one.most_people is None:
        raise CatalogueError(f"{where}.most_people", "key_missing", "Say how many people.")
    if one.feeds not in _COUNTED and one.most_people is not None:
        raise CatalogueError(
            f"{where}.most_people",
            "not_counted",
            f"Remove it: people are counted for what feeds one of: {', '.join(_COUNTED)}.",
        )


def _require_modest(one: IdentifierType, where: str, trusted: Catalogue) -> None:
    """A workspace's own type stands beside the accounts that ship, and is no stronger."""
    if one.feeds not in {"accounts", NONE}:
        raise CatalogueError(f"{where}.feeds", "not_one_of", "Write one of: accounts, none.")
    if one.field != one.name:
        raise CatalogueError(f"{where}.field", "unknown_key", "Remove it.")
    limit = max(trusted[name].wrong_share or 0.0 for name in trusted.feeding("accounts"))
    if one.feeds == "accounts" and one.wrong_share is not None and one.wrong_share > limit:
        raise CatalogueError(
            f"{where}.strength.wrong_share",
            "too_weak",
            f"Feed none: what is wrong more often than {limit:g} would join strangers.",
        )


# ── patterns ────────────────────────────────────────────────────────────────

_UP: Final = "01234567890"
_DOWN: Final = "9876543210"


def _repeated(text: str) -> bool:
    """One character over and over, and a bare 0."""
    return text == "0" or (len(text) > 1 and text == text[0] * len(text))


def _counts(digits: str) -> bool:
    return len(digits) == _TAIL and (digits in _UP or digits in _DOWN)


PATTERNS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "repeated": _repeated,
        "repeated_tail": lambda text: len(text) >= _TAIL and _repeated(text[-_TAIL:]),
        "counting_tail": lambda text: _counts(text[-_TAIL:]),
        "counting_head": lambda text: text[:_TAIL] == "12345678",
    }
)
