"""The suite that ships, held against the connectors that ship."""

import pytest

from connectors.errors import Stop
from connectors.installed import making_of
from connectors.registry import SOURCES
from connectors.sources.sql_feed import SqlFeed
from connectors.testing_run import NEXT_STEPS, examine
from connectors.testing_stage import SAMPLE, NotStaged, Stage, Trial
from tests.contracts.stages import FileStage, TableStage, file_stage

NOT_OF_FILES = {"a_wrong_credential_stops", "being_asked_to_wait_loses_nothing"}


def table(declaration, folder, credentials):
    return SqlFeed(declaration, credentials, page=2)


def outcomes(verdicts, outcome):
    return {one.law: one.why for one in verdicts if one.outcome == outcome}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_kind_of_file_keeps_the_laws(name):
    """Files keep every law that applies: they ask for no credentials and have no limits."""
    verdicts = examine(making_of(SOURCES[name]), file_stage(name))
    assert outcomes(verdicts, "fail") == {}
    assert set(outcomes(verdicts, "not_applicable")) == NOT_OF_FILES


def test_a_followed_table_keeps_the_laws():
    """A table keeps every law that applies; it holds one row of a record."""
    verdicts = examine(table, TableStage)
    assert outcomes(verdicts, "fail") == {}
    assert set(outcomes(verdicts, "not_applicable")) == NOT_OF_FILES | {"the_newest_row_counts"}


def test_late_rows_need_an_overlap():
    """Without an overlap a late row is missed, and the law says so."""
    entry = {"cursor": "updated"}
    [verdict] = examine(table, TableStage, entry, only=["a_late_row_is_read"])
    assert (verdict.outcome, verdict.why) == ("fail", "it is not read")
    stage = type("Strict", (TableStage,), {"takes_late_rows": False})
    [verdict] = examine(table, stage, entry, only=["a_late_row_is_read"])
    assert verdict.outcome == "not_applicable"


def test_every_law_is_told_once_with_what_to_do():
    """Each law has a verdict and, where it is broken, a next step of its own (invariant 1)."""
    feed = [one.law for one in examine(table, TableStage)]
    source = [one.law for one in examine(making_of(SOURCES["jsonl"]), FileStage)]
    assert len(set(feed)) == len(feed)
    assert len(set(source)) == len(source)
    assert {*feed, *source} == set(NEXT_STEPS)
    assert all(step.endswith(".") for step in NEXT_STEPS.values())


def test_an_error_of_somebody_elses_is_told_without_its_text():
    """What a library raises may quote a row: only its type and its place are told (2)."""

    def broken(declaration, folder, credentials):
        feed = table(declaration, folder, credentials)

        def read(state):
            yield from ()
            raise ValueError(SAMPLE[0]["name"])

        feed.read = read
        return feed

    [verdict] = examine(broken, TableStage, only=["positions_ascend"])
    assert verdict.outcome == "fail"
    assert verdict.why.startswith("ValueError is raised at test_conformance.py:")
    assert SAMPLE[0]["name"] not in str(verdict)


def test_a_broken_law_does_not_end_the_others():
    """All laws are tried, whatever the first of them shows (3)."""

    def endless(declaration, folder, credentials):
        feed = table(declaration, folder, credentials)
        feed.check = lambda: 1 / 0
        return feed

    verdicts = examine(endless, TableStage)
    assert len(verdicts) == len(examine(table, TableStage))
    assert {one.outcome for one in verdicts} >= {"pass", "fail"}


def test_a_reading_without_an_end_is_found():
    """A feed that never ends is broken, and does not hang the suite."""

    def endless(declaration, folder, credentials):
        feed = table(declaration, folder, credentials)
        first = next(iter(feed.read(None)))

        def read(state):
            while True:
                yield first

        feed.read = read
        return feed

    [verdict] = examine(endless, TableStage, only=["values_come_as_they_are"])
    assert (verdict.outcome, verdict.why) == ("fail", "the reading does not end")


def test_a_stage_that_can_do_little_leaves_laws_untried():
    """What a stage does not write is told as not applicable, never as kept."""

    class Small(Stage):
        entry = FileStage.entry

        def __init__(self, folder):
            super().__init__(folder)
            self.inner = FileStage(folder)
            self.entry = self.inner.entry

        def put(self, rows):
            self.inner.put(rows)

    verdicts = examine(making_of(SOURCES["jsonl"]), Small)
    untried = outcomes(verdicts, "not_applicable")
    assert set(untried) > NOT_OF_FILES
    assert {"a_lost_column_is_told", "no_failure_shows_a_value"} < set(untried)
    assert "Stage.fail is not written" in untried.values()
    with pytest.raises(NotStaged):
        Stage(None).put(SAMPLE)


def test_a_secret_that_the_stage_does_not_give_is_told(tmp_path):
    """A connector that asks for a secret which the stage lacks stops with the next step."""
    stage = TableStage(tmp_path)
    stage.secrets = {}
    with pytest.raises(Stop, match="credential_not_staged"):
        Trial(table, stage, tmp_path, {}).rows()


def test_an_unknown_law_is_refused():
    """A law that there is not is answered with those that there are."""
    with pytest.raises(Stop, match="no_such_law"):
        examine(table, TableStage, only=["be_good"])
