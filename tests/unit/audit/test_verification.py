"""Every way of tampering, found and named, without a database.

Invariant 3 of `cdp/audit/log.py` for the part that judges; the same classes are done to
a real PostgreSQL in ``tests/integration/test_audit.py``.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdp.audit.findings import PER_KIND, Kind
from cdp.audit.merkle import leaf_hash, root
from cdp.audit.verification import Verification


def judge(log, trusted=None):
    verification = Verification(log.checkpoints, log.keys, trusted)
    for row in sorted(log.rows, key=lambda row: (row.leaf is None, row.leaf or 0)):
        verification.event(row)
    return verification.report()


def kinds(log, trusted=None):
    return {finding.kind for finding in judge(log, trusted).findings}


def renumber(log):
    log.rows = [
        row if row.leaf is None else row._replace(leaf=place) for place, row in enumerate(log.rows)
    ]


def test_an_honest_log_is_found_honest(log):
    """3: Nothing is found where nothing was done, and the unsealed events are counted."""
    report = judge(log, trusted=log.checkpoints[1])
    assert report.ok
    assert (report.events, report.sealed, report.unsealed, report.checkpoints) == (14, 12, 2, 3)


def test_an_altered_line_is_found(log):
    """3: A changed reason breaks the root of its stretch."""
    log.rows[5] = log.rows[5]._replace(line=log.rows[5].line.replace("own_store", "other"))
    (finding,) = judge(log).findings
    assert (finding.kind, finding.where) == (Kind.LINE_ALTERED, "from leaf 4 on")


def test_a_line_altered_with_its_column_is_found(log):
    """3: A changed actor is found, and a column left behind says in which line."""
    log.rows[5] = log.rows[5]._replace(line=log.rows[5].line.replace('"clerk.', '"nobody.'))
    (finding,) = judge(log).findings
    assert (finding.kind, finding.where) == (Kind.LINE_ALTERED, "leaf 5, event 12")


@pytest.mark.parametrize("line", ["", "[]", "{", "[" * 100_000, '"x"'], ids=range(5))
def test_a_line_that_is_no_json_is_found(log, line):
    """3: A line made unreadable is a finding, not a crash."""
    log.rows[5] = log.rows[5]._replace(line=line)
    assert kinds(log) == {Kind.LINE_ALTERED}


@pytest.mark.parametrize("line", ["", "[]", "{", "[" * 100_000, '"x"', "{}"], ids=range(6))
def test_an_unreadable_line_that_no_root_covers_yet_is_found(log, line):
    """3: Before sealing there is only the line to compare the columns with."""
    log.rows[13] = log.rows[13]._replace(line=line)
    (finding,) = judge(log).findings
    assert finding.kind == Kind.COLUMN_ALTERED
    assert f"event {log.rows[13].id}" in finding.where


def test_a_time_before_christ_is_not_that_of_its_line(log):
    """3: The era of a column counts, for PostgreSQL holds times of both."""
    assert log.rows[1].at.endswith(" AD")
    log.rows[1] = log.rows[1]._replace(at=log.rows[1].at.replace(" AD", " BC"))
    assert kinds(log) == {Kind.COLUMN_ALTERED}


@pytest.mark.parametrize("column", ["actor", "action", "profile_id", "at"])
@pytest.mark.parametrize("place", [1, 13])
def test_an_altered_column_is_found(log, column, place):
    """3: A column that disagrees with its line is found, before sealing too."""
    log.rows[place] = log.rows[place]._replace(**{column: "other"})
    (finding,) = judge(log).findings
    assert finding.kind == Kind.COLUMN_ALTERED
    assert f"event {log.rows[place].id}" in finding.where


@pytest.mark.parametrize(
    ("column", "more"),
    [
        ("profile_id", '","purpose":"service'),
        ("actor", '","at":"'),
        ("action", '","actor":"clerk.2'),
    ],
)
def test_a_column_that_poses_as_two_parts_of_its_line_is_found(log, column, more):
    """3: A column that goes on with the text of the line is not that of the line."""
    log.rows[1] = log.rows[1]._replace(**{column: getattr(log.rows[1], column) + more})
    assert kinds(log) == {Kind.COLUMN_ALTERED}


def test_a_profile_id_that_was_there_or_not_counts(log):
    """3: Nobody's event given a profile, or a profile's event made nobody's, is found."""
    assert log.rows[1].profile_id is not None
    assert log.rows[3].profile_id is None
    for place in (1, 3):
        had = log.rows[place].profile_id
        log.rows[place] = log.rows[place]._replace(profile_id=None if had else "None")
        assert kinds(log) == {Kind.COLUMN_ALTERED}
        log.rows[place] = log.rows[place]._replace(profile_id=had)


def test_a_deleted_event_is_found(log):
    """3: A deleted event leaves a gap in the leaf numbers."""
    del log.rows[5]
    (finding,) = judge(log).findings
    assert (finding.kind, finding.where) == (Kind.EVENT_DELETED, "leaf 5")


def test_a_deleted_event_is_found_where_the_gap_was_closed(log):
    """3: Renumbering what follows does not hide a deletion."""
    del log.rows[5]
    renumber(log)
    (finding,) = judge(log).findings
    assert finding.kind == Kind.EVENT_DELETED
    assert "1 fewer" in finding.where


@pytest.mark.parametrize(("one", "two"), [(4, 6), (1, 2), (1, 9)])
def test_swapped_events_are_found(log, one, two):
    """3: Two events that changed places are found, in one stretch or across two."""
    a, b = log.rows[one], log.rows[two]
    log.rows[one], log.rows[two] = b._replace(leaf=a.leaf), a._replace(leaf=b.leaf)
    assert kinds(log) == {Kind.EVENTS_SWAPPED}


def test_an_inserted_event_is_found_in_the_middle(log):
    """3: A forged event with every later leaf moved up is found."""
    log.rows.insert(5, log.rows[6]._replace(id=11))
    renumber(log)
    (finding,) = judge(log).findings
    assert finding.kind == Kind.EVENT_INSERTED
    assert "1 more" in finding.where


def test_an_inserted_event_is_found_at_the_end(log):
    """3: A forged leaf after the last seal is found."""
    log.rows[12] = log.rows[12]._replace(leaf=12)
    (finding,) = judge(log).findings
    assert (finding.kind, finding.where) == (Kind.EVENT_INSERTED, "leaf 12")


@pytest.mark.parametrize("leaf", [-1, 5])
def test_an_inserted_event_is_found_where_the_constraint_was_dropped(log, leaf):
    """3: A second leaf of one number, or a leaf below the first, is found."""
    log.rows[12] = log.rows[12]._replace(leaf=leaf)
    assert kinds(log) == {Kind.EVENT_INSERTED}


@pytest.mark.parametrize("left", [0, 4, 9, 11])
def test_a_truncated_tail_is_found(log, left):
    """3: Events cut off under a checkpoint are missed."""
    del log.rows[left:]
    (finding,) = judge(log).findings
    assert finding.kind == Kind.TAIL_TRUNCATED
    assert finding.where in {f"leaves {left} to 11", "leaf 11"}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_removed_checkpoint_is_found(log, which):
    """3: Any one checkpoint that is gone is missed, for its seal is in the log."""
    gone = log.checkpoints.pop(which)
    (finding,) = judge(log).findings
    assert finding.kind == Kind.CHECKPOINT_REMOVED
    assert str(gone.size) in finding.where


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_altered_root_is_found_and_the_events_are_cleared(log, which):
    """3: A changed root is told from changed events: the signature fits the events."""
    log.checkpoints[which] = replace(log.checkpoints[which], root=bytes(32))
    assert kinds(log) == {Kind.CHECKPOINT_ALTERED}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_signature_by_another_key_is_found(log, signer, which):
    """3: A checkpoint signed by another key is not ours."""
    forged = replace(
        log.checkpoints[which], signature=signer.sign(log.checkpoints[which].signed_text())
    )
    log.checkpoints[which] = forged
    assert kinds(log) == {Kind.SIGNATURE_FORGED}


def test_a_history_rewritten_under_another_key_is_found(log, signer):
    """3: A whole new log, sound in itself, is not signed by our key."""
    keys = log.keys
    log.signer = signer
    for place, checkpoint in enumerate(log.checkpoints):
        log.checkpoints[place] = replace(
            checkpoint, signature=signer.sign(checkpoint.signed_text())
        )
    verification = Verification(log.checkpoints, keys)
    for row in log.rows:
        verification.event(row)
    assert Counter(f.kind for f in verification.report().findings) == {Kind.SIGNATURE_FORGED: 3}


def test_the_tail_with_its_checkpoint_is_missed_against_a_trusted_copy(log):
    """3: What leaves no trace inside is found against an exported checkpoint."""
    trusted = log.checkpoints.pop()
    del log.rows[8:]
    assert judge(log).ok
    assert kinds(log, trusted) == {Kind.TAIL_TRUNCATED}


def test_a_history_rewritten_with_the_stolen_key_is_found_against_a_trusted_copy(log):
    """3: Even who holds the key cannot change what an exported checkpoint signed."""
    trusted = log.checkpoints[1]
    other = type(log)(signer=log.signer)
    for size in (3, 3, 3):
        for _ in range(size):
            other.append("profile.list")
        other.seal()
    assert judge(other).ok
    assert kinds(other, trusted) == {Kind.LINE_ALTERED}


@pytest.mark.parametrize("where", [1, 5])
def test_what_was_found_inside_is_not_told_again_against_a_trusted_copy(log, where):
    """3: One deletion, or one altered line, is one finding and no second one of another kind."""
    trusted, held = log.checkpoints[2], log.rows[where]
    log.rows[where] = held._replace(line=held.line.replace("own_store", "other"))
    assert [one.kind for one in judge(log, trusted).findings] == [Kind.LINE_ALTERED]
    del log.rows[where]
    assert [one.kind for one in judge(log, trusted).findings] == [Kind.EVENT_DELETED]


def test_a_trusted_copy_says_which_leaves_it_covers(log):
    """3: Who is told that history was rewritten is told how far it is doubted."""
    other = type(log)(signer=log.signer)
    for _ in range(4):
        other.append("profile.list")
    other.seal()
    (finding,) = judge(other, log.checkpoints[0]).findings
    assert finding.kind == Kind.LINE_ALTERED
    assert finding.where == "leaves 0 to 3, against the trusted checkpoint"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_finding_about_a_checkpoint_says_which_one(log, signer, which):
    """3: Its size, which is what it is known by."""
    made = log.checkpoints[which]
    for spoilt in (
        replace(made, root=bytes(32)),
        replace(made, signature=signer.sign(made.signed_text())),
    ):
        log.checkpoints[which] = spoilt
        assert [one.where for one in judge(log).findings] == [f"checkpoint of size {made.size}"]


def test_the_report_does_not_grow_with_the_damage(log):
    """A hundred findings of a kind are kept and the rest are counted."""
    log.rows += [log.rows[-1]._replace(actor="other")] * (PER_KIND + 7)
    report = judge(log)
    assert len(report.findings) == PER_KIND
    assert report.omitted == 7
    assert not report.ok


def test_a_forged_checkpoint_is_found_behind_a_gap(log, signer):
    """3: Where events are missing, the signatures of later checkpoints are still judged."""
    del log.rows[5]
    newest = log.checkpoints[2]
    log.checkpoints[2] = replace(newest, signature=signer.sign(newest.signed_text()))
    assert kinds(log) == {Kind.EVENT_DELETED, Kind.SIGNATURE_FORGED}


def test_an_altered_root_over_altered_events_is_found(log):
    """3: A root recomputed over a changed line has no signature."""
    log.rows[5] = log.rows[5]._replace(line=log.rows[5].line.replace("own_store", "other"))
    top = root(leaf_hash(row.line.encode()) for row in log.rows[:8])
    log.checkpoints[1] = replace(log.checkpoints[1], root=top)
    assert kinds(log) == {Kind.SIGNATURE_FORGED, Kind.LINE_ALTERED}


def test_an_id_that_runs_backwards_is_found(log):
    """3: An id changed so that it runs backwards disagrees with a root that is right."""
    log.rows[5] = log.rows[5]._replace(id=1)
    (finding,) = judge(log).findings
    assert (finding.kind, finding.where) == (Kind.COLUMN_ALTERED, "leaf 5, its id")


def test_every_finding_says_what_to_do(log):
    """A finding carries its place and the next step."""
    del log.rows[5]
    assert all(finding.where and finding.next_step for finding in judge(log).findings)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    place=st.integers(0, 11),
    column=st.sampled_from(["line", "actor", "action", "profile_id", "at", "leaf"]),
    text=st.text(max_size=5),
    number=st.integers(-3, 20) | st.none(),
)
def test_any_single_change_of_a_sealed_row_is_found(log, place, column, text, number):
    """3: Whatever one thing is changed about a sealed event, it is found."""
    rows = list(log.rows)
    value = number if column == "leaf" else text
    assume(value != getattr(rows[place], column))
    log.rows = [*rows[:place], rows[place]._replace(**{column: value}), *rows[place + 1 :]]
    try:
        assert not judge(log).ok
    finally:
        log.rows = rows


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 11), at=st.integers(0, 400), char=st.characters(codec="utf-8"))
def test_any_single_character_of_a_sealed_line_counts(log, place, at, char):
    """3: One character of one line is enough."""
    rows = list(log.rows)
    line = rows[place].line
    at %= len(line)
    assume(line[at] != char)
    changed = rows[place]._replace(line=line[:at] + char + line[at + 1 :])
    log.rows = [*rows[:place], changed, *rows[place + 1 :]]
    try:
        assert not judge(log).ok
    finally:
        log.rows = rows


def test_the_same_content_in_other_words_is_a_change(log):
    """3: A line is its bytes: the same JSON with a space more is found."""
    log.rows[5] = log.rows[5]._replace(line=json.dumps(json.loads(log.rows[5].line)))
    assert kinds(log) == {Kind.LINE_ALTERED}
