"""What a decision costs beside Casbin's, a page, and row-level security.

The questions are drawn, with a fixed seed, from the words of the shipped policy: half of them
about people in reach and half of any kind, so that refusals count too. Casbin is asked the same
questions with the whole policy loaded, one ``enforce`` each, as a request would have to. Both
sides take turns in one process; each figure is the median of the rounds. Pages and row-level
security are measured by ``benchmarks/policy_rows.py``.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from benchmarks import policy_rows
from benchmarks.report import report
from policies.decision import Policy, Subject
from policies.enforcer import ask, build_enforcer, holding, load_policy, read_source
from policies.organisation import Organisation, read_organisation
from policies.vocabulary import (
    ALL_CIRCUMSTANCES,
    ROLE_NODES,
    Action,
    FieldClass,
    NodeKind,
    Purpose,
    Role,
    Treatment,
)

_REGIONS, _STORES = 20, 50  # of one brand; fifty stores in each region
_Question = tuple[Subject, str, str, str, frozenset[str]]
_T = TypeVar("_T")
_SEED: Final = 20260504


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--questions", type=int, default=20_000, help="to the table, in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--people", type=int, default=40_000, help="behind the list queries")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Let table and Casbin take turns, then measure pages and rows."""
    source = read_source()
    organisation = _organisation()
    policy = Policy(load_policy(), organisation)
    enforcer = build_enforcer(source.rules)
    questions = _questions(organisation, arguments.questions)
    words = [
        (one.role, action, field, Treatment.MASK.word, purpose, holding(ALL_CIRCUMSTANCES))
        for one, action, field, purpose, _ in questions[: max(1, len(questions) // 100)]
    ]

    def by_table() -> None:
        decide = policy.decide
        for subject, action, field, purpose, stores in questions:
            decide(subject, action, field, purpose, stores)

    def by_casbin() -> None:
        for each in words:
            ask(enforcer, each)

    taken: dict[str, list[float]] = {"decision_us": [], "casbin_us": []}
    for _ in range(arguments.rounds):
        taken["decision_us"].append(_seconds(by_table) / len(questions))
        taken["casbin_us"].append(_seconds(by_casbin) / len(words))
    metrics = {name: 1e6 * statistics.median(times) for name, times in taken.items()}
    metrics["times_faster"] = metrics["casbin_us"] / metrics["decision_us"]
    metrics["refused_share"] = sum(not policy.decide(*one).allowed for one in questions) / len(
        questions
    )
    head_office = Subject("somebody", Role.HEADQUARTERS.value, "brand")
    metrics["page_ms"] = policy_rows.page_ms(policy, head_office, Purpose.SERVICE.value)
    metrics["rls_overhead"] = policy_rows.rls_overhead(arguments.people)
    targets = [
        ("decision_us", "<=", 1.0),
        ("page_ms", "<=", 2.0),
        ("rls_overhead", "<=", 0.10),
    ]
    return report("policy.decisions", metrics, targets)


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _organisation() -> Organisation:
    regions = [
        {"id": f"R{n}", "kind": "region", "parent": "brand", "name": f"Region {n}"}
        for n in range(_REGIONS)
    ]
    stores = [
        {"id": f"S{n}", "kind": "store", "parent": f"R{n % _REGIONS}", "name": f"Store {n}"}
        for n in range(_REGIONS * _STORES)
    ]
    return read_organisation([{"id": "brand", "kind": "brand", "name": "Brand"}, *regions, *stores])


def _questions(organisation: Organisation, count: int) -> list[_Question]:
    """Draw questions: of each pair one by a role at its own level, and one of any words."""
    draw = np.random.default_rng(_SEED)

    def one_of(choices: Sequence[_T]) -> _T:
        return choices[int(draw.integers(len(choices)))]

    by_kind = {
        kind: [node.id for node in organisation.nodes.values() if node.kind is kind]
        for kind in NodeKind
    }
    stores = by_kind[NodeKind.STORE]
    reading = (FieldClass.NAME, FieldClass.PHONE, FieldClass.TAGS, FieldClass.PROFILE_ID)
    found: list[_Question] = []
    for _ in range(count // 2):
        role = one_of((Role.CLERK, Role.MANAGER, Role.HEADQUARTERS))
        node = one_of([n for kind in sorted(ROLE_NODES[role]) for n in by_kind[kind]])
        own = one_of(sorted(organisation.stores_under(node)))
        subject = Subject("somebody", role.value, node)
        found.append((subject, "read", one_of(reading).value, "service", frozenset({own})))
        anybody = Subject("anybody", one_of(list(Role)).value, one_of(stores))
        words = one_of(list(Action)).value, one_of(list(FieldClass)).value
        about = frozenset({one_of(stores)})
        found.append((anybody, *words, one_of(list(Purpose)).value, about))
    return found
