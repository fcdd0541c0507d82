"""Presets: entries of ``sources:`` that ship, written out with a workspace's own scopes.

A preset is text, not a layer under ``cdp.yaml``: what a source means stands in the workspace's
own file, and a new release of a preset changes nobody's keys.

Invariants, each named by a test in ``tests/unit/connectors/test_presets.py``:

1. What is written out is a valid source: every scope it needs has been given.
2. No answer changes anything but the value that asks for it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import yaml

from connectors.errors import DeclarationError

_ASKED: Final = re.compile(r'"<([a-z_]+)>"')
_BREAK: Final = "\n---\n"  # between what is said of a preset and the source itself
MAX_ANSWER: Final = 256  # characters, as of a scope


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset.

    Attributes:
        name: of the preset.
        about: what it is for, one sentence.
        asks: what has to be filled in, and what that is.
        location: where the file usually lies.
        text: the entry, as YAML, with ``"<name>"`` where an answer belongs.
    """

    name: str
    about: str
    asks: Mapping[str, str]
    location: str
    text: str

    def written(self, source: str, answers: Mapping[str, str], location: str | None = None) -> str:
        """The entry under ``sources:`` as YAML text.

        Args:
            source: the name it gets.
            answers: to everything that the preset asks.
            location: of the file; None: where it usually lies.

        Raises:
            DeclarationError: an answer is missing, or to no question.
        """
        missing = [name for name in self.asks if not answers.get(name, "").strip()]
        if missing:
            step = "; ".join(f"--with {name}=... ({self.asks[name]})" for name in missing)
            raise DeclarationError(source, "answer_missing", f"Give {step}.", field=missing[0])
        given = {name: answers[name] for name in answers if name != "location"}
        for name, answer in given.items():
            if name not in self.asks:
                step = f"This preset asks for: {', '.join(self.asks) or 'nothing'}."
                raise DeclarationError(source, "no_such_question", step, field=name)
            if len(answer) > MAX_ANSWER:
                step = f"Use at most {MAX_ANSWER} characters."
                raise DeclarationError(source, "too_long", step, field=name)
            if not answer.isprintable():
                raise DeclarationError(source, "wrong_form", "Write one line.", field=name)
        given["location"] = location or self.location
        entry = _ASKED.sub(lambda found: _quoted(given[found[1]]), self.text)
        lines = [f"  {source}:", *(f"    {line}" if line else "" for line in entry.splitlines())]
        return "\n".join(lines) + "\n"


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        DeclarationError: there is none.
    """
    if name not in presets():
        step = f"Use one of: {', '.join(sorted(presets()))}."
        raise DeclarationError("(preset)", "no_such_preset", step)
    return presets()[name]


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name, in alphabetical order."""
    folder = resources.files("connectors.presets")
    files = [one for one in folder.iterdir() if one.name.endswith(".yaml")]
    found = {
        one.name.removesuffix(".yaml"): one.read_text("utf-8")
        for one in sorted(files, key=lambda one: one.name)
    }
    return MappingProxyType({name: _read(name, text) for name, text in found.items()})


def _read(name: str, text: str) -> Preset:
    said, _, entry = text.partition(_BREAK)
    head = yaml.safe_load(said)
    return Preset(
        name, head["about"], MappingProxyType(head.get("asks") or {}), head["location"], entry
    )


def _quoted(text: str) -> str:
    """Text as a YAML scalar in double quotes, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)
