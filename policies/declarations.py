"""Read purposes.yaml and masking.yaml: complete, and nothing beyond the vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from policies.errors import PolicyRefusedError, quoted
from policies.masks import MASKS
from policies.vocabulary import DATA_FIELDS, LegalBasis, Purpose

PURPOSES_FILE: Final = "purposes.yaml"
MASKING_FILE: Final = "masking.yaml"
HIDDEN_WHOLE: Final = "whole"
"""The mask that shows nothing."""
_VERSION: Final = 1
_HERE: Final = Path(__file__).parent
_LONGEST_SAYING: Final = 200
_PURPOSE_KEYS: Final = frozenset({"legal_basis", "consent", "sensitive", "says"})


@dataclass(frozen=True, slots=True)
class PurposeRule:
    """What a purpose rests on."""

    legal_basis: LegalBasis
    consent: bool  # only people who agreed to this purpose and did not opt out
    sensitive: bool  # the sensitive tier may be touched for it, if a policy line says so
    says: str


_UNDECLARED: Final = PurposeRule(
    LegalBasis.CONSENT, consent=True, sensitive=False, says="Not declared when this was written."
)


def read_purposes(text: str, *, older: bool = False) -> Mapping[Purpose, PurposeRule]:
    """Parse purposes.yaml; every purpose of the vocabulary is declared once.

    Args:
        text: of the file.
        older: it was accepted by an earlier release. A purpose that it does not know needs
            consent and keeps the sensitive tier out; nothing else is forgiven.

    Raises:
        PolicyRefusedError: the file is unparsable, incomplete or has unknown words.
    """
    known = [purpose.value for purpose in Purpose]
    section = _section(PURPOSES_FILE, text, "purposes", known, older=older)
    return MappingProxyType(
        {
            purpose: _read_purpose(purpose, section[purpose.value])
            if purpose.value in section
            else _UNDECLARED
            for purpose in Purpose
        }
    )


def _read_purpose(purpose: Purpose, entry: object) -> PurposeRule:
    if not isinstance(entry, dict) or set(entry) != _PURPOSE_KEYS:
        raise PolicyRefusedError(
            PURPOSES_FILE,
            f"the purpose {purpose} is not fully declared",
            f"give it exactly {', '.join(sorted(_PURPOSE_KEYS))}",
        )
    consent, sensitive, says = entry["consent"], entry["sensitive"], entry["says"]
    if not isinstance(consent, bool) or not isinstance(sensitive, bool):
        raise PolicyRefusedError(
            PURPOSES_FILE,
            f"the purpose {purpose} has a consent or sensitive that is not true or false",
            "write true or false",
        )
    if not isinstance(says, str) or not says.strip():
        raise PolicyRefusedError(
            PURPOSES_FILE, f"the purpose {purpose} says nothing", "describe it in a sentence"
        )
    # It is shown to whoever approves: what moves a cursor or turns the reading round could hide
    # what else changes.
    if not says.isprintable() or len(says) > _LONGEST_SAYING:
        raise PolicyRefusedError(
            PURPOSES_FILE,
            f"the purpose {purpose} says what is not a line of printable characters",
            f"describe it in a sentence of at most {_LONGEST_SAYING} characters",
        )
    return PurposeRule(_read_basis(purpose, entry["legal_basis"]), consent, sensitive, says)


def _read_basis(purpose: Purpose, word: object) -> LegalBasis:
    known = [basis.value for basis in LegalBasis]
    if not isinstance(word, str) or word not in known:
        raise PolicyRefusedError(
            PURPOSES_FILE,
            f"the purpose {purpose} has the unknown legal basis {quoted(word)}",
            f"use one of {', '.join(known)}",
        )
    return LegalBasis(word)


def load_masking(directory: Path = _HERE) -> Mapping[str, str]:
    """Read masking.yaml alone, without the rest of the policy.

    Raises:
        PolicyRefusedError: the file is missing or cannot be used.
    """
    try:
        text = (directory / MASKING_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        rule = "the file cannot be read as UTF-8"
        raise PolicyRefusedError(MASKING_FILE, rule, "restore it") from None
    return read_masking(text)


def read_masking(text: str, *, older: bool = False) -> Mapping[str, str]:
    """Parse masking.yaml into the name of the mask of every field class.

    Args:
        text: of the file.
        older: it was accepted by an earlier release. A field class that it does not know is
            hidden whole; nothing else is forgiven.

    Raises:
        PolicyRefusedError: the file is unparsable, incomplete or has unknown words.
    """
    known = [field.value for field in DATA_FIELDS]
    section = _section(MASKING_FILE, text, "masks", known, older=older)
    for field, mask in section.items():
        if not isinstance(mask, str) or mask not in MASKS:
            raise PolicyRefusedError(
                MASKING_FILE,
                f"{field} has the unknown mask {quoted(mask)}",
                f"use one of {', '.join(MASKS)}",
            )
    return MappingProxyType({field: str(section.get(field, HIDDEN_WHOLE)) for field in known})


def _section(
    source: str, text: str, name: str, keys: list[str], *, older: bool
) -> dict[str, object]:
    """Return the one section of a version 1 file, with exactly these keys; an older one, fewer."""
    document = _parse(source, text)
    if not isinstance(document, dict) or set(document) != {"version", name}:
        raise PolicyRefusedError(
            source, f"it does not hold exactly version and {name}", "restore the file"
        )
    if document["version"] != _VERSION:
        raise PolicyRefusedError(
            source, f"version {quoted(document['version'])} is unknown", f"use version {_VERSION}"
        )
    section = document[name]
    if not isinstance(section, dict):
        raise PolicyRefusedError(source, f"{name} is not a mapping", "restore the file")
    unknown = [key for key in section if key not in keys]
    if unknown:
        raise PolicyRefusedError(source, f"{quoted(unknown[0])} is unknown", "remove its line")
    missing = [key for key in keys if key not in section]
    if missing and not older:
        raise PolicyRefusedError(source, f"{missing[0]} is missing", "add a line for it")
    return section


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice instead of keeping the last, and anchors.

    With anchors a short file can stand for one of any size.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(None, None, "an anchor", event.start_mark)
        return super().compose_node(parent, index)


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, "a key is given twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _parse(source: str, text: str) -> object:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (it is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise PolicyRefusedError(
            source, "it is not valid YAML, or gives a key twice", "correct that line", line
        ) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError):
        raise PolicyRefusedError(
            source, "it is not valid YAML", "restore the file or correct it"
        ) from None
