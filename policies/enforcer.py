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
7. Equal content has an equal version; other content has another one. Casbin reads one model,
   and model.conf says that one or the load stops: no spelling of it decides otherwise.
8. No line shows a sensitive field clear where no second person has to approve
   (`policies.vocabulary.grantable`).
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

from policies.decision import CompiledPolicy, Decision, Verdicts, refused
from policies.declarations import (
    MASKING_FILE,
    PURPOSES_FILE,
    PurposeRule,
    read_masking,
    read_purposes,
)
from policies.errors import PolicyRefusedError, quoted
from policies.policyfile import POLICY_FILE, Rule, Rules, check_rules, read_rules
from policies.reasons import Reason
from policies.vocabulary import (
    ALL_CIRCUMSTANCES,
    EVERY_CIRCUMSTANCES,
    SENSITIVE,
    Action,
    Circumstances,
    Effect,
    FieldClass,
    Purpose,
    Role,
    Treatment,
)

MODEL_FILE: Final = "model.conf"
_HERE: Final = Path(__file__).parent
_FORMAT: Final = 2  # of the content that the version is computed over
_STRANGER: Final = "nobody"  # a role that no policy can name
# What Casbin reads, and what model.conf has to say. The table assumes every part of it.
_MODEL: Final = """
[request_definition]
r = role, action, field, treatment, purpose, circumstances
[policy_definition]
p = role, action, field, treatment, purpose, eft, condition
[role_definition]
g = _, _
g2 = _, _
g3 = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.role == p.role && r.action == p.action && r.purpose == p.purpose && \
g3(r.circumstances, p.condition) && g(r.field, p.field) && \
((p.eft == "allow" && g2(r.treatment, p.treatment)) || \
(p.eft == "deny" && g2(p.treatment, r.treatment)))
""".replace("\\\n", "")
# A quoted text is one token: the blanks in it count.
_QUOTED_OR_BLANK: Final = re.compile(r"""("[^"]*"|'[^']*')|\s+""")
_VOCABULARY: Final = tuple(
    tuple(member.value for member in kind) for kind in (Role, Action, FieldClass, Purpose)
)
_Words = tuple[str, str, str, str, str, str]


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
    nothing = (refused(Reason.NO_RULE),) * len(EVERY_CIRCUMSTANCES)
    table: dict[tuple[str, ...], Verdicts] = dict.fromkeys(product(*_VOCABULARY), nothing)
    slices: defaultdict[tuple[Role, Action, Purpose], list[Rule]] = defaultdict(list)
    for rule in source.rules.rules:
        slices[rule.role, rule.action, rule.purpose].append(rule)
    granted: set[tuple[str, str, str, Circumstances]] = set()
    for (role, action, purpose), rules in slices.items():
        part = Rules(tuple(rules), source.rules.groups)
        for field, verdicts in _decided(part).items():
            table[role.value, action.value, field.value, purpose.value] = verdicts
            granted |= {
                (role.value, action.value, purpose.value, held)
                for held, decision in zip(EVERY_CIRCUMSTANCES, verdicts, strict=True)
                if decision.allowed
            }
    return CompiledPolicy(
        version=_version(source),
        table=MappingProxyType(table),
        granted=frozenset(granted),
        purposes=source.purposes,
        masking=source.masking,
    )


def build_enforcer(rules: Rules) -> casbin.Enforcer:
    """Return Casbin itself with these lines, silent, for ``ask``."""
    disabled_logging()
    definition = casbin.Enforcer.new_model(text=_MODEL)
    for rule in rules.rules:
        definition.add_policy("p", "p", list(rule.words))
    for group, fields in rules.groups.items():
        for field in sorted(fields):
            definition.add_policy("g", "g", [field.value, group])
    for lesser, greater in pairwise(Treatment):
        definition.add_policy("g", "g2", [lesser.word, greater.word])
    for held, needed in product(EVERY_CIRCUMSTANCES, repeat=2):
        if needed in held:
            definition.add_policy("g", "g3", [holding(held), needed.word])
    enforcer = casbin.Enforcer(definition)
    enforcer.build_role_links()
    # Casbin logs every request, and any later dictConfig switches its named loggers on
    # again; this one is not in the registry, so nothing can.
    enforcer.logger = Logger("casbin.silent", level=CRITICAL + 1)  # noqa: LOG001 (see above)
    return enforcer


def holding(held: Circumstances) -> str:
    """Return the word of a request for what holds; no condition has such a word."""
    return f"holds {held.word}"


def ask(enforcer: casbin.Enforcer, words: _Words) -> bool:
    """Ask Casbin one question: (role, action, field, treatment, purpose, circumstances)."""
    answer: Any = enforcer.enforce(*words)
    return answer is True


def _decided(part: Rules) -> dict[FieldClass, Verdicts]:
    """As `_decide_slice`; what goes wrong in Casbin refuses the policy."""
    try:
        return _decide_slice(part)
    except PolicyRefusedError:
        raise
    except Exception as failure:
        raise PolicyRefusedError(
            POLICY_FILE,
            f"it cannot be evaluated ({type(failure).__name__})",
            "report this as a mistake of the program, with the line",
            part.rules[0].line,
        ) from failure


def _decide_slice(part: Rules) -> dict[FieldClass, Verdicts]:
    """Return the decisions for every field that the lines of one role, action, purpose name."""
    enforcer = build_enforcer(part)
    first = part.rules[0]
    role, action, purpose = first.role.value, first.action.value, first.purpose.value
    held = holding(ALL_CIRCUMSTANCES)
    if ask(enforcer, (_STRANGER, action, first.target, Treatment.OMIT.word, purpose, held)):
        raise PolicyRefusedError(
            POLICY_FILE, "the enforcer allows a role that no line names", "restore the file"
        )
    named: defaultdict[FieldClass, list[Rule]] = defaultdict(list)
    for rule in part.rules:
        for field in part.fields_of(rule.target):
            named[field].append(rule)
    verdicts = {}
    for field, rules in named.items():
        asked = (
            EVERY_CIRCUMSTANCES if any(rule.condition for rule in rules) else (ALL_CIRCUMSTANCES,)
        )
        levels = [
            _level(enforcer, (role, action, field.value), (purpose, holding(held)))
            for held in asked
        ]
        found = tuple(
            _attribute(level, levels[-1], rules, held)
            for level, held in zip(levels, asked, strict=True)
        )
        verdicts[field] = found if len(found) > 1 else found * len(EVERY_CIRCUMSTANCES)
    return verdicts


def _level(
    enforcer: casbin.Enforcer, what: tuple[str, str, str], why: tuple[str, str]
) -> Treatment | None:
    """Return the greatest treatment that Casbin grants, or None."""
    falling = sorted(Treatment, reverse=True)
    return next((one for one in falling if ask(enforcer, (*what, one.word, *why))), None)


def _attribute(
    level: Treatment | None, most: Treatment | None, rules: list[Rule], held: Circumstances
) -> Decision:
    """Name the line behind Casbin's answer; the answer itself is not touched.

    Args:
        level: the answer.
        most: the answer where everything holds.
        rules: the lines that name the field.
        held: what holds.
    """
    allows = sorted(
        (rule for rule in rules if rule.effect is Effect.ALLOW), key=lambda rule: rule.treatment
    )
    denies = sorted(
        (rule for rule in rules if rule.effect is Effect.DENY), key=lambda rule: rule.treatment
    )
    if level is None and most is not None:
        return refused(Reason.NOT_NOW, allows[-1].text)
    if level is None:
        return refused(Reason.DENIED, denies[0].text) if denies else refused(Reason.NO_RULE)
    widest = [rule for rule in allows if rule.condition in held][-1]
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
    """Return the definitions of a model without blanks between words and signs.

    Raises:
        PolicyRefusedError: a line is none, or the second one of its name: Casbin would let that
            one win.
    """
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
        found[key.strip()] = _QUOTED_OR_BLANK.sub(r"\1", value)
    return found


def _check_model(model: str) -> None:
    """Refuse a model that says something else than what Casbin reads (invariant 2)."""
    found = _definitions(model)
    for name, expected in _definitions(_MODEL).items():
        if found.pop(name, None) != expected:
            raise PolicyRefusedError(
                MODEL_FILE, f"the definition {name} is missing or changed", "restore the file"
            )
    if found:
        raise PolicyRefusedError(
            MODEL_FILE, f"the definition {quoted(next(iter(found)))} is unknown", "remove it"
        )


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
