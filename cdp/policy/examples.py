"""Questions with the answers that a policy must give: files of examples, and which fail.

An example is a JSON object: what it ``says``, the ``subject`` (id, role, node; for a service its
contract; ``circumstances`` as a list of words), ``action``, ``field_class``, ``purpose``,
``stores`` (a list, or null for no one person), ``approver`` where there is one, ``emergency``,
and what to ``expect``: allowed, treatment, reason. ``organisation.json`` is the tree they are in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cdp.errors import Stop
from policies.decision import CompiledPolicy, Policy, Subject
from policies.errors import PoliciesError
from policies.organisation import read_organisation
from policies.vocabulary import NO_CIRCUMSTANCES, Circumstances

FOLDER: Final = "examples"
ORGANISATION: Final = "organisation.json"
_MOST: Final = 2**20  # bytes of one file


@dataclass(frozen=True, slots=True)
class Example:
    """One example, and what came of it."""

    file: str
    says: str
    expected: Mapping[str, object]
    got: Mapping[str, object]
    rule: str  # the policy line that decided

    @property
    def holds(self) -> bool:
        """Whether the policy answers as the example says."""
        return self.expected == self.got


def check(compiled: CompiledPolicy, folder: Path) -> list[Example]:
    """Ask a policy every example in the files of a folder.

    Raises:
        Stop: a file cannot be read, or an example is not one; names file and place.
    """
    try:
        organisation = read_organisation(_read(folder / ORGANISATION))
    except PoliciesError as error:
        raise Stop("examples_unreadable", str(error), path=folder / ORGANISATION) from None
    policy = Policy(compiled, organisation)
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name != ORGANISATION:
            for position, entry in enumerate(_read(path), start=1):
                try:
                    found.append(_asked(policy, path.name, entry))
                except (KeyError, TypeError, ValueError, AttributeError):
                    step = "give it the parts that the others have"
                    raise Stop("not_an_example", step, path=path, position=position) from None
    if not found:
        raise Stop("no_examples", "write some: docs/howto/change-the-policy.md", path=folder)
    return found


def _asked(policy: Policy, file: str, entry: dict[str, Any]) -> Example:
    stores = entry["stores"]
    decision = policy.decide(
        _subject(entry["subject"]),
        entry["action"],
        entry["field_class"],
        entry["purpose"],
        None if stores is None else frozenset(stores),
        _subject(entry["approver"]) if "approver" in entry else None,
        emergency=bool(entry.get("emergency", False)),
    )
    got = {
        "allowed": decision.allowed,
        "treatment": decision.treatment.word,
        "reason": decision.reason.value,
    }
    return Example(file, str(entry["says"]), dict(entry["expect"]), got, decision.rule)


def _subject(entry: dict[str, Any]) -> Subject:
    sets = {name: frozenset(held) for name, held in entry.items() if isinstance(held, list)}
    return Subject(
        **{**entry, **sets, "circumstances": circumstances(entry.get("circumstances", []))}
    )


def circumstances(words: list[str]) -> Circumstances:
    """Return the circumstances of these words.

    Raises:
        ValueError: a word is none.
    """
    known = {one.word: one for one in Circumstances}
    found = NO_CIRCUMSTANCES
    for word in words:
        if word not in known:
            raise ValueError(f"no such circumstance; use {', '.join(known)}")
        found |= known[word]
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _MOST:
            raise Stop("examples_too_large", f"keep a file below {_MOST:,} bytes", path=path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise Stop("examples_unreadable", "make it valid JSON in UTF-8", path=path) from None
    if not isinstance(content, list):
        raise Stop("examples_unreadable", "write a list of examples", path=path)
    return content
