"""Eight threads decide while the policy changes two hundred times: `cdp/policy/live.py`."""

import sys
import threading
import time
from collections import Counter
from typing import Self

import pytest

from cdp.policy import content
from cdp.policy.changing import Author
from cdp.policy.versions import trust_of
from cdp.workspace import Workspace
from policies.decision import Decision, Policy, Subject
from tests.integration.policy.office import NOW, Office, narrower, wider

pytestmark = pytest.mark.integration
THREADS, CHANGES = 8, 200
CLERK = Subject("clerk", "clerk", "BJ01")
OFFICE = Subject("office", "headquarters", "kith")
QUESTIONS = [
    (who, "read", field, "service", frozenset({"BJ01"}))
    for who in (CLERK, OFFICE)
    for field in ("postcode", "phone", "name", "gender", "national_id", "tags")
]


def answers(policy: Policy) -> list[Decision]:
    """What a policy says to every question."""
    return [policy.decide(*question) for question in QUESTIONS]


class Load:
    """Threads that decide, and hold every decision against the version that it reports."""

    def __init__(self, workspace: Workspace, expected: dict[str, list[Decision]]) -> None:
        self.workspace = workspace
        self.expected = expected
        self.wrong: list[str] = []
        self.seen = [Counter[str]() for _ in range(THREADS)]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._decide, args=(one,)) for one in self.seen]

    def __enter__(self) -> Self:
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)  # fifty times as many places to be interrupted at
        self.workspace.policies.follow()
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for one in self._threads:
            one.join()
        sys.setswitchinterval(self._interval)
        self.workspace.policies.stop()

    def _decide(self, mine: Counter[str]) -> None:
        while not self._ended.is_set():
            policies = self.workspace.policies.policy, self.workspace.repinned().policy
            for policy in policies:
                if answers(policy) != self.expected[policy.version]:
                    self.wrong.append(policy.version)
                mine[policy.version] += 1
            time.sleep(0.001)  # else who changes waits for whoever decides


def test_no_decision_is_half_of_one_policy_and_half_of_another(office: Office) -> None:
    """Live 1: each decision is that of the version it reports, whatever comes in between."""
    workspace, texts = office.workspace, [wider(), narrower()]
    organisation = workspace.declaration.organisation
    compiled = [content.compiled(text) for text in (content.shipped(), *texts)]
    expected = {one.version: answers(Policy(one, organisation)) for one in compiled}
    assert len({str(one) for one in expected.values()}) == 3
    author = Author(trust_of(workspace.keyring), workspace.keyring.signer(), NOW)
    with workspace.engine.begin() as connection:
        names = [author.store(connection, text, "operator") for text in texts]
    live = workspace.policies
    _ = live.policy
    link = live._held.link
    with Load(workspace, expected) as load:
        for number in range(CHANGES):
            with workspace.engine.begin() as connection:
                who = ("operator", "officer")
                link = author._activate(connection, names[number % 2], who, "x", link)
            live.refresh()
    status = live.status()
    assert load.wrong == []
    assert (status.changes, status.serial, status.refusal) == (CHANGES, CHANGES + 1, None)
    assert all(len(mine) > 1 for mine in load.seen)
    assert sum(load.seen, Counter[str]()).keys() >= set(names)
