"""A change takes two persons: `cdp/policy/changing.py` and `cdp/access/policy_changes.py`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from cdp.audit.errors import DetailRefused
from cdp.errors import KithError, Refused
from cdp.policy import content
from cdp.policy.errors import NoSuchVersion, PolicyUntrusted, PolicyUnusable
from cdp.vault.errors import KeyWithheld
from cdp.vault.roles import COUNTER
from tests.integration.policy.office import (
    PEOPLE,
    WHY,
    WIDER,
    Office,
    edited,
    narrower,
    sees,
    wider,
)
from tests.journeys import tills

pytestmark = pytest.mark.integration
APPROVE = "p, compliance, approve, none, omit, legal, allow"
CLERK = "# --- clerk: the member in front of them, of their own store"


def test_init_puts_the_shipped_policy_in_force_once(office: Office) -> None:
    """The shipped policy is the first activation, by `init`; a second init adds none."""
    status = office.workspace.policies.status()
    assert (status.serial, status.version) == (1, content.compiled(content.shipped()).version)
    Office(office.settings.declaration.parent, str(office.settings.database_url)).close()
    rows = office.sql("SELECT serial, proposed_by, approved_by FROM kith.policy_activation")
    assert [tuple(one) for one in rows] == [(1, "init", "init")]


def test_one_proposes_and_another_approves(office: Office) -> None:
    """A change is in force once a second person approved it, and not before."""
    process = office.process()
    assert sees(process, "postcode") == "omit"
    proposal = office.by("operator").propose(wider(), WHY)
    assert not process.policies.refresh()
    assert sees(process, "postcode") == "omit"
    link = office.by("officer").approve(proposal.id, proposal.version)
    assert process.policies.refresh()
    assert (sees(process, "postcode"), sees(office.process(), "postcode")) == ("clear", "clear")
    assert process.policies.status().serial == link.serial == 2
    (row,) = office.sql("SELECT proposed_by, approved_by, reason FROM kith.policy_activation "
                        "WHERE serial = 2")  # fmt: skip
    assert tuple(row) == ("operator", "officer", WHY)


@pytest.mark.parametrize("who", ["operator", "officer"])
def test_who_may_configure_or_approve_proposes(office: Office, who: str) -> None:
    """Changes 1: an operator and an officer may propose."""
    assert office.by(who).propose(wider(), WHY).proposed_by == who


@pytest.mark.parametrize("who", ["office", "clerk"])
def test_nobody_else_proposes(office: Office, who: str) -> None:
    """Changes 1: head office and clerks may not, and the refusal is in the log."""
    with pytest.raises(Refused, match="No policy line allows it"):
        office.by(who).propose(wider(), WHY)
    assert office.sql("SELECT id FROM kith.policy_proposal") == []
    assert office.events() == [(who, "policy.propose", "deny", "no_rule")]


def test_an_operator_approves_and_rejects_nothing(office: Office) -> None:
    """Changes 1: who may only configure wires sources, and does not decide who sees what."""
    proposal = office.by("officer").propose(wider(), WHY)
    for act in (
        lambda: office.by("operator").approve(proposal.id, proposal.version),
        lambda: office.by("operator").reject(proposal.id, WHY),
    ):
        with pytest.raises(Refused):
            act()
    assert office.sql("SELECT ended FROM kith.policy_proposal")[0].ended is None
    assert office.workspace.policies.status().serial == 1


@pytest.mark.parametrize(("who", "again"), [("officer", "officer"), ("deputy", "Deputy")])
def test_nobody_approves_their_own(office: Office, who: str, again: str) -> None:
    """Changes 1: not under another spelling of the same id either."""
    proposal = office.by(who).propose(wider(), WHY)
    with pytest.raises(Refused, match=r"own_proposal.*have somebody else approve it"):
        office.by(again).approve(proposal.id, proposal.version)
    assert sees(office.process(), "postcode") == "omit"
    assert office.events()[-1] == (again, "policy.approve", "deny", "own_proposal")


def test_two_officers_at_once_make_one_activation(office: Office) -> None:
    """Changing 3: one of two approvals counts; the other is told who was faster."""
    proposal = office.by("operator").propose(wider(), WHY)
    officers = [office.by(who) for who in ("officer", "deputy")]

    def approve(one):
        try:
            return one.approve(proposal.id, proposal.version)
        except KithError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(approve, officers))
    (refused,) = [one for one in answers if isinstance(one, KithError)]
    assert refused.rule == "proposal_already_approved"
    assert refused.where["by"] in {"officer", "deputy"}
    assert len(office.sql("SELECT serial FROM kith.policy_activation")) == 2
    decisions = [(action, decision) for _, action, decision, _ in office.events()]
    assert sorted(decisions[1:]) == [("policy.approve", "allow"), ("policy.approve", "deny")]


def test_two_proposals_approved_at_once_make_one_activation(office: Office) -> None:
    """Changing 2: the second stood on a policy that is no longer in force: it is looked at anew."""
    first = office.by("operator").propose(wider(), WHY)
    second = office.by("operator").propose(narrower(), WHY)
    jobs = [(office.by("officer"), first), (office.by("deputy"), second)]

    def approve(job):
        try:
            return job[0].approve(job[1].id, job[1].version)
        except KithError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(approve, jobs))
    (refused,) = [one for one in answers if isinstance(one, KithError)]
    assert refused.rule == "policy_changed_since"
    assert len(office.sql("SELECT serial FROM kith.policy_activation")) == 2


@pytest.mark.parametrize("end", ["rejected", "withdrawn"])
def test_what_is_over_is_not_approved(office: Office, end: str) -> None:
    """Changing 2: a proposal that was rejected or taken back is not put in force."""
    proposal = office.by("operator").propose(wider(), WHY)
    if end == "rejected":
        office.by("officer").reject(proposal.id, "Too wide")
    else:
        office.by("operator").withdraw(proposal.id, "A mistake")
    with pytest.raises(Refused, match=f"proposal_already_{end}"):
        office.by("deputy").approve(proposal.id, proposal.version)
    with pytest.raises(Refused, match=f"proposal_already_{end}"):
        office.by("officer").reject(proposal.id, "Again")
    assert office.workspace.policies.status().serial == 1


def test_only_who_proposed_takes_it_back(office: Office) -> None:
    """Changes 1: somebody else rejects it, in their own name."""
    proposal = office.by("operator").propose(wider(), WHY)
    with pytest.raises(Refused, match="not_your_proposal"):
        office.by("officer").withdraw(proposal.id, WHY)


def test_a_proposal_that_is_not_there_is_refused(office: Office) -> None:
    """An unknown number is answered with the next step."""
    with pytest.raises(Refused, match=r"no_such_proposal.*cdp policy list"):
        office.by("officer").approve(7, "0" * 64)


def test_every_attempt_has_its_event(office: Office) -> None:
    """Changes 2: what was done and what was refused are in the log, with the reason typed."""
    proposal = office.by("operator").propose(wider(), WHY)
    office.by("officer").reject(proposal.id, "Too wide")
    with pytest.raises(DetailRefused):
        office.by("operator").propose(wider(), "call 13957140286")
    assert office.events() == [
        ("operator", "policy.propose", "allow", "granted"),
        ("officer", "policy.reject", "allow", "granted"),
        ("operator", "policy.propose", "deny", "detail_like_personal_number"),
    ]
    lines = [one.line for one in office.sql("SELECT line FROM kith.audit_event")]
    assert "13957140286" not in "".join(lines)
    assert WHY in lines[0]
    assert f"proposal-{proposal.id}" in lines[1]


def test_going_back_is_a_proposal_like_any_other(office: Office) -> None:
    """Changing 1: an older version is stored once and comes into force by two persons again."""
    first = office.workspace.policy.version
    office.change(wider())
    proposal = office.by("officer").roll_back(first[:10], "Back again")
    assert sees(office.process(), "postcode") == "clear"
    office.by("deputy").approve(proposal.id, proposal.version)
    process = office.process()
    assert (process.policy.version, sees(process, "postcode")) == (first, "omit")
    assert process.policies.status().serial == 3
    assert len(office.sql("SELECT id FROM kith.policy_version")) == 2


def test_what_is_in_force_is_not_proposed(office: Office) -> None:
    """Changes 4: neither as files that say the same, nor by its version."""
    same = edited((CLERK, "# a remark"))
    with pytest.raises(Refused, match="policy_in_force_already"):
        office.by("operator").propose(same, WHY)
    with pytest.raises(Refused, match="policy_in_force_already"):
        office.by("operator").roll_back(office.workspace.policy.version, WHY)
    assert office.sql("SELECT id FROM kith.policy_proposal") == []
    assert len(office.sql("SELECT id FROM kith.policy_version")) == 1


@pytest.mark.parametrize("typed", ["", "abc", "%%%%", "ffffffffffff", "g" * 8])
def test_a_version_that_is_not_there_is_refused(office: Office, typed: str) -> None:
    """What is typed as a version is digits of one, or refused; nothing in it is a pattern."""
    with pytest.raises(NoSuchVersion):
        office.by("operator").roll_back(typed, WHY)


@pytest.mark.parametrize(
    "line", ["p, compliance, approve, none, omit, legal, allow"], ids=["no approver"]
)
def test_a_policy_that_nobody_could_change_is_not_proposed(office: Office, line: str) -> None:
    """Changes 3: without anybody who may approve, there would be no way back."""
    with pytest.raises(Refused, match="nobody_could_change_it_again"):
        office.by("operator").propose(edited((line, "")), WHY)
    assert office.sql("SELECT id FROM kith.policy_version WHERE stored_by <> 'init'") == []


NO_POLICY = {
    "nothing": ("", "policy_unreadable"),
    "no files": ("{}", "policy_unreadable"),
    "format": ('{"format": 2, "files": {}}', "policy_format_unknown"),
    "word": (
        edited((CLERK, "p, clerk, read, shoe_size, clear, service, allow")),
        "unknown field or group 'shoe_size'",
    ),
    "contradicts": (
        edited((CLERK, "p, clerk, read, gender, clear, service, deny")),
        "contradicts line ",
    ),
    "sensitive": (
        edited((CLERK, "p, clerk, reveal, national_id, clear, service, allow")),
        "which keeps the sensitive tier out",
    ),
    "quote": (edited((CLERK, '"')), "not a line of CSV"),
    "yaml": (
        edited(("phone: phone", ""), file="masking.yaml").replace("masks:", "marks:"),
        "exactly version and masks",
    ),
    "deep": (
        edited(("gender: whole", f"gender: {'[' * 5000}{']' * 5000}"), file="masking.yaml"),
        "not valid YAML",
    ),
    "tricks": (
        edited(("says: Mess", 'says: "a\\x1b[2Jb" #'), file="purposes.yaml").replace(
            "says: Mess\\n", ""
        ),
        "a line of printable characters",
    ),
}


@pytest.mark.parametrize(("text", "message"), NO_POLICY.values(), ids=NO_POLICY)
def test_what_is_no_policy_is_not_proposed(office: Office, text: str, message: str) -> None:
    """An empty, unparsable or contradictory policy is refused; the one in force stays."""
    before = office.workspace.policy
    with pytest.raises(PolicyUnusable, match=message):
        office.by("operator").propose(text, WHY)
    assert len(office.sql("SELECT id FROM kith.policy_version")) == 1
    assert office.events()[-1] == ("operator", "policy.propose", "deny", "failed")
    assert not office.workspace.policies.refresh()
    assert office.workspace.policy is before


def test_a_process_that_lacks_the_signing_key_changes_nothing(office: Office) -> None:
    """A process that serves clerks could not sign a change, whoever asks."""
    counter = office.process(role=COUNTER)
    with pytest.raises(KeyWithheld):
        office.by("operator", counter).propose(wider(), WHY)
    assert office.events() == [("operator", "policy.propose", "deny", "failed")]
    assert office.sql("SELECT id FROM kith.policy_proposal") == []


def swapped(text: str | None = None) -> str:
    """Head office approves, and compliance officers no longer do."""
    return edited(
        (APPROVE, APPROVE.replace("compliance", "headquarters")), (APPROVE, ""), text=text
    )


@pytest.mark.parametrize("what", ["propose", "approve", "reject", "withdraw"])
def test_the_newest_policy_judges_who_changes_it(office: Office, what: str) -> None:
    """Changes 5: a process that has an older policy still does not judge by it."""
    officer = office.by("officer")
    mine = officer.propose(narrower(), WHY)
    office.change(swapped(), approved_by="deputy")
    proposal = office.by("operator").propose(edited(WIDER, text=swapped()), WHY)
    acts = {
        "propose": lambda: officer.propose(wider(), WHY),
        "approve": lambda: officer.approve(proposal.id, proposal.version),
        "reject": lambda: officer.reject(proposal.id, WHY),
        "withdraw": lambda: officer.withdraw(mine.id, WHY),
    }
    with pytest.raises(Refused, match="No policy line allows it"):
        acts[what]()
    newest = office.process().policies.status()
    assert newest.serial == 2
    assert office.events()[-1] == ("officer", f"policy.{what}", "deny", "no_rule")
    lines = office.sql("SELECT line::jsonb AS line FROM kith.audit_event ORDER BY id")
    assert lines[-1].line["policy_version"] == newest.version
    office.by("office").approve(proposal.id, proposal.version)  # who may now, may


@pytest.mark.parametrize("what", ["propose", "reject"])
def test_nobody_judges_by_what_is_not_to_be_believed(office: Office, what: str) -> None:
    """Changes 5: where the newest policy is altered, the older one of a process changes nothing."""
    officer = office.by("officer")
    office.change(narrower())
    proposal = office.by("operator").propose(wider(), WHY)
    office.forced("UPDATE kith.policy_activation SET reason = 'x' WHERE serial = 2")
    with pytest.raises(PolicyUntrusted, match="policy_not_as_signed"):
        officer.reject(proposal.id, WHY) if what == "reject" else officer.propose(wider(), "Again")
    assert office.events()[-1] == ("officer", f"policy.{what}", "deny", "failed")
    (ended,) = office.sql("SELECT ended FROM kith.policy_proposal WHERE id > 1")
    assert ended.ended is None


@pytest.mark.parametrize("gone", [True, False], ids=["left", "another role"])
def test_who_may_not_propose_any_more_proposed_nothing(office: Office, *, gone: bool) -> None:
    """Changes 6: what somebody proposed before they left is not put in force after."""
    proposal = office.by("operator").propose(wider(), WHY)
    others = [one for one in PEOPLE if one["id"] != "operator"]
    left = [] if gone else [{"id": "operator", "role": "clerk", "node": "BJ01"}]
    second = {"id": "wiring", "role": "operator", "node": "kith"}
    folder = office.settings.declaration.parent
    tills.write_declaration(folder, tills.declaration(principals=[*others, *left, second]))
    with pytest.raises(Refused, match="proposer_may_not_propose"):
        office.by("officer").approve(proposal.id, proposal.version)
    assert office.workspace.policies.status().serial == 1
    office.by("officer").reject(proposal.id, WHY)
    assert office.change(wider(), "wiring") == 2


@pytest.mark.parametrize("digits", [0, 8, 11, 64])
def test_only_what_was_looked_at_is_approved(office: Office, digits: int) -> None:
    """Changes 6: a number stands for what it stands for now; the version has to be named."""
    looked_at = office.by("operator").propose(wider(), WHY)
    office.forced("DELETE FROM kith.policy_proposal")
    office.sql("SELECT setval(pg_get_serial_sequence('kith.policy_proposal', 'id'), 1, FALSE)")
    other = office.by("operator").propose(narrower(), WHY)
    assert (other.id, other.version != looked_at.version) == (looked_at.id, True)
    named = looked_at.version if digits == 64 else other.version[:digits]
    with pytest.raises(Refused, match=r"not_the_version_looked_at.*--dry-run"):
        office.by("officer").approve(other.id, named)
    assert office.workspace.policies.status().serial == 1
    office.by("officer").approve(other.id, other.version[:12])


def test_what_decides_alike_is_proposed_on_purpose_only(office: Office) -> None:
    """Changes 4: lines that change nothing for anybody take a word more."""
    alike = edited((CLERK, "p, clerk, read, name, mask, service, allow"))
    with pytest.raises(Refused, match=r"policy_decides_alike.*--texts-only"):
        office.by("operator").propose(alike, WHY)
    assert office.sql("SELECT id FROM kith.policy_version WHERE stored_by <> 'init'") == []
    proposal = office.by("operator").propose(alike, WHY, texts_only=True)
    assert office.by("officer").approve(proposal.id, proposal.version).serial == 2
    first = content.compiled(content.shipped()).version
    with pytest.raises(Refused, match="policy_decides_alike"):
        office.by("operator").roll_back(first, WHY)
    assert office.by("operator").roll_back(first, WHY, texts_only=True).version == first
