"""Load a policy, ask Casbin about every combination of words once, keep the answers.

The only module that imports casbin. Guarantees:

1. A policy that is empty, unparsable, contradictory or uses an unknown word does not
   load; whoever held an older ``CompiledPolicy`` still holds it, unchanged.
2. The table answers what Casbin answers. Questions are left out only where no line of
   the policy names the role, action, purpose and field, and those are refused.
3. Casbin hears words of the vocabulary and nothing else: no id, no value, no store.
4. Casbin writes no log, whatever logging is configured before or after.
5. An enforcer that allows what no line grants (a switched-off or misread one) is not believed.
6. No line allows a sensitive field for a purpose that purposes.yaml keeps it out of.
7. Equal content has an equal version; other content has another one.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from logging import CRITICAL, Logger
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import casbin
from casbin.util.log import disabled_logging
from cryptography.hazmat.primitives import hashes

from policies.decision import CompiledPolicy, Decision, Reason, refused
from policies.declarations import (
    MASKING_FILE,
    PURPOSES_FILE,
    PurposeRule,
    read_masking,
    read_purposes,
)
from policies.errors import PolicyRefusedError, quoted
from policies.policyfile import POLICY_FILE, Rule, Rules, check_rules, read_rules
from policies.vocabulary import (
    SENSITIVE,
    Action,
    Effect,
    FieldClass,
    Purpose,
    Role,
    Treatment,
)

MODEL_FILE: Final = "model.conf"
_HERE: Final = Path(__file__).parent
_FORMAT: Final = 1  # of the content that the version is computed over
_STRANGER: Final = "nobody"  # a role that no policy can name
_FIXED: Final = MappingProxyType(
    {
        "r": "role,action,field,treatment,purpose",
        "p": "role,action,field,treatment,purpose,eft",
        "g": "_,_",
        "g2": "_,_",
        "e": "some(where(p.eft==allow))&&!some(where(p.eft==deny))",
    }
)
_EQUALITIES: Final = ("r.role==p.role", "r.action==p.action", "r.purpose==p.purpose")
_VOCABULARY: Final = tuple(
    tuple(member.value for member in kind) for kind in (Role, Action, FieldClass, Purpose)
)
_Words = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A policy as its files say it, checked word by word but not yet compiled."""

    model: str
    rules: Rules
    purposes: Mapping[Purpose, PurposeRule]
    masking: Mapping[str, str]


def load_policy(directory: Path = _HERE) -> CompiledPolicy:
    """Read model.conf, policy.csv, purposes.yaml and masking.yaml, and compile them.

    Raises:
        PolicyRefusedError: a file is missing or cannot be used; says where and what to do.
    """
    return compile_policy(read_source(directory))


def read_source(directory: Path = _HERE) -> PolicySource:
    """Read the four files of a policy without compiling them.

    Raises:
        PolicyRefusedError: a file is missing or cannot be used.
    """
    return PolicySource(
        model=_read(directory, MODEL_FILE),
        rules=read_rules(_read(directory, POLICY_FILE)),
        purposes=read_purposes(_read(directory, PURPOSES_FILE)),
        masking=read_masking(_read(directory, MASKING_FILE)),
    )


def _read(directory: Path, name: str) -> str:
    try:
        return (directory / name).read_bytes().decode("utf-8")
    except OSError:
        raise PolicyRefusedError(name, "the file cannot be read", "restore it") from None
    except UnicodeDecodeError:
        raise PolicyRefusedError(name, "it is not UTF-8", "save it as UTF-8") from None


def compile_policy(source: PolicySource) -> CompiledPolicy:
    """Evaluate a policy over the closed vocabulary.

    Raises:
        PolicyRefusedError: the model or the lines cannot be believed.
    """
    _check_model(source.model)
    check_rules(source.rules)
    if not source.rules.rules:
        raise PolicyRefusedError(POLICY_FILE, "there is no p line", "restore the file")
    _check_sensitive(source)
    words = product(*_VOCABULARY)
    table: dict[tuple[str, ...], Decision] = dict.fromkeys(words, refused(Reason.NO_RULE))
    slices: defaultdict[tuple[Role, Action, Purpose], list[Rule]] = defaultdict(list)
    for rule in source.rules.rules:
        slices[rule.role, rule.action, rule.purpose].append(rule)
    granted = set()
    for (role, action, purpose), rules in slices.items():
        part = Rules(tuple(rules), source.rules.groups)
        for field, decision in _decide_slice(source.model, part).items():
            table[role.value, action.value, field.value, purpose.value] = decision
            if decision.allowed:
                granted.add((role.value, action.value, purpose.value))
    return CompiledPolicy(
        version=_version(source),
        table=MappingProxyType(table),
        granted=frozenset(granted),
        purposes=source.purposes,
        masking=source.masking,
    )


def build_enforcer(model: str, rules: Rules) -> casbin.Enforcer:
    """Return Casbin itself with these lines, silent, for ``ask``."""
    disabled_logging()
    definition = casbin.Enforcer.new_model(text=model)
    for rule in rules.rules:
        definition.add_policy("p", "p", list(rule.words))
    for group, fields in rules.groups.items():
        for field in sorted(fields):
            definition.add_policy("g", "g", [field.value, group])
    for lesser, greater in pairwise(Treatment):
        definition.add_policy("g", "g2", [lesser.word, greater.word])
    enforcer = casbin.Enforcer(definition)
    enforcer.build_role_links()
    # Casbin logs every request, and any later dictConfig switches its named loggers on
    # again; this one is not in the registry, so nothing can.
    enforcer.logger = Logger("casbin.silent", level=CRITICAL + 1)  # noqa: LOG001 (see above)
    return enforcer


def ask(enforcer: casbin.Enforcer, words: _Words) -> bool:
    """Ask Casbin one question: (role, action, field, treatment, purpose)."""
    answer: Any = enforcer.enforce(*words)
    return answer is True


def _decide_slice(model: str, part: Rules) -> dict[FieldClass, Decision]:
    """Return the decision for every field that the lines of one role, action, purpose name."""
    enforcer = build_enforcer(model, part)
    first = part.rules[0]
    role, action, purpose = first.role.value, first.action.value, first.purpose.value
    if ask(enforcer, (_STRANGER, action, first.target, Treatment.OMIT.word, purpose)):
        raise PolicyRefusedError(
            MODEL_FILE, "the enforcer allows a role that no line names", "restore the file"
        )
    named: defaultdict[FieldClass, list[Rule]] = defaultdict(list)
    for rule in part.rules:
        for field in part.fields_of(rule.target):
            named[field].append(rule)
    decisions = {}
    for field, rules in named.items():
        level = next(
            (
                treatment
                for treatment in sorted(Treatment, reverse=True)
                if ask(enforcer, (role, action, field.value, treatment.word, purpose))
            ),
            None,
        )
        decisions[field] = _attribute(level, rules)
    return decisions


def _attribute(level: Treatment | None, rules: list[Rule]) -> Decision:
    """Name the line behind Casbin's answer; the answer itself is not touched."""
    allows = [rule for rule in rules if rule.effect is Effect.ALLOW]
    denies = sorted(
        (rule for rule in rules if rule.effect is Effect.DENY), key=lambda rule: rule.treatment
    )
    if level is None:
        return refused(Reason.DENIED, denies[0].text) if denies else refused(Reason.NO_RULE)
    widest = max(allows, key=lambda rule: rule.treatment)
    if level < widest.treatment:
        return Decision(allowed=True, treatment=level, reason=Reason.LOWERED, rule=denies[0].text)
    return Decision(allowed=True, treatment=level, reason=Reason.GRANTED, rule=widest.text)


def _check_sensitive(source: PolicySource) -> None:
    for rule in source.rules.rules:
        if rule.effect is Effect.DENY or source.purposes[rule.purpose].sensitive:
            continue
        touched = sorted(source.rules.fields_of(rule.target) & SENSITIVE)
        if touched:
            raise PolicyRefusedError(
                POLICY_FILE,
                f"it allows {touched[0]} for {rule.purpose}, which keeps the sensitive tier out",
                "remove the line",
                rule.line,
            )


def _definitions(model: str) -> dict[str, str]:
    """Return the definitions of a model without blanks; Casbin would let a later one win."""
    found: dict[str, str] = {}
    for number, line in enumerate(model.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith(("#", "[")):
            continue
        key, separator, value = text.partition("=")
        if not separator or key.strip() in found:
            raise PolicyRefusedError(
                MODEL_FILE,
                "it is no definition, or the second one of its name",
                "keep one line `name = value` per definition",
                number,
            )
        found[key.strip()] = re.sub(r"\s+", "", value)
    return found


def _check_model(model: str) -> None:
    """Refuse a model that could mean something else than the table assumes (invariant 2)."""
    found = _definitions(model)
    matcher = found.pop("m", "")
    for name, expected in _FIXED.items():
        if found.pop(name, None) != expected:
            raise PolicyRefusedError(
                MODEL_FILE, f"the definition {name} is missing or changed", "restore the file"
            )
    if found:
        raise PolicyRefusedError(
            MODEL_FILE, f"the definition {quoted(next(iter(found)))} is unknown", "remove it"
        )
    terms = _top_level_terms(matcher)
    if not set(_EQUALITIES) <= set(terms):
        raise PolicyRefusedError(
            MODEL_FILE,
            "the matcher does not require an equal role, action and purpose",
            f"start it with {' && '.join(_EQUALITIES)}",
        )
    called = set(re.findall(r"(\w+)\(", matcher)) - {"g", "g2"}
    if called:
        raise PolicyRefusedError(
            MODEL_FILE,
            f"the matcher calls {quoted(min(called))}",
            "use g and g2 only: no pattern and no expression is evaluated",
        )


def _top_level_terms(matcher: str) -> list[str]:
    """Split a matcher at each && outside brackets; a || outside brackets leaves no terms."""
    terms, depth, start = [], 0, 0
    for index, char in enumerate(matcher):
        depth += {"(": 1, ")": -1}.get(char, 0)
        pair = matcher[index : index + 2]
        if depth == 0 and pair == "||":
            return []
        if depth == 0 and pair == "&&":
            terms.append(matcher[start:index])
            start = index + 2
    return [*terms, matcher[start:]]


def _version(source: PolicySource) -> str:
    """Return the SHA-256, in hex, of the canonical content: no comments, blanks or line order."""
    content = {
        "format": _FORMAT,
        "model": sorted(_definitions(source.model).items()),
        "rules": sorted(rule.words for rule in source.rules.rules),
        "groups": {name: sorted(fields) for name, fields in source.rules.groups.items()},
        "purposes": {name: asdict(rule) for name, rule in source.purposes.items()},
        "masking": dict(source.masking),
    }
    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(content, sort_keys=True, ensure_ascii=True).encode())
    return digest.finalize().hex()
