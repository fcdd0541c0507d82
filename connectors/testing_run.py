"""Puts one connector to the test: every law, each over a fresh stage, with what to do about it.

Invariants, each named by a test in ``tests/unit/connectors/test_conformance.py``:

1. Every law is told once: kept, broken, or not applicable with the reason.
2. What is told holds no value and no secret, whatever the connector raises.
3. A law that is broken does not keep the next one from being tried.
"""

import tempfile
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from connectors import testing, testing_feeds, testing_staged
from connectors.base import Source
from connectors.errors import ConnectorError, Stop
from connectors.testing import SourceCase
from connectors.testing_feeds import FeedCase
from connectors.testing_stage import COLUMNS, SAMPLE, Failure, Making, NotStaged, Stage, Trial

Outcome = Literal["pass", "fail", "not_applicable"]
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_TRIED: Final = 120  # characters of a path that are shown

# What to do where a law is broken; of laws that are not named, what the law itself says.
NEXT_STEPS: Final[Mapping[str, str]] = {
    "check_finds_no_error": "Have check report as ERROR only what would stop a reading.",
    "positions_increase": "Number the rows from 1 in their order, and name the declared source.",
    "positions_ascend": "Count positions from 1 within a reading; never repeat one.",
    "reading_again_gives_the_same": "Read in a fixed order, and keep nothing between readings.",
    "resuming_gives_the_same_tail": "Put into a state all that is needed to go on behind the mark. "
    "Have a small page in the test, so that there are two marks.",
    "fingerprint_follows_the_content": "Give a SHA-256 over all bytes that are read.",
    "nothing_shows_a_value": "Keep values in Sensitive, and write a repr that shows the name only.",
    "a_broken_source_stops": "Raise Stop with a rule and a next step; have check give it as ERROR.",
    "a_broken_feed_stops": "Raise Stop with a rule and a next step; have check give it as ERROR.",
    "rejected_rows_are_reported": "Give a Rejection of the whole row, as RowMapper does.",
    "count_is_plausible": "Give None where the number of rows cannot be told quickly.",
    "delivering_again_changes_nothing": "Give rows an order, or give what is newer later.",
    "deletes_take_effect": "Give a Deleted behind the rows of its record, or with their order.",
    "an_unknown_state_stops": "Look at state.version, and raise Stop where it is not yours.",
    "cancelling_leaves_nothing_open": "Close connections in a finally, or by a with statement.",
    "values_come_as_they_are": "Hand texts on as text: no number for an id, no rounding.",
    "a_row_without_an_id_is_rejected": "Map rows by RowMapper or FeedRows, which reject it.",
    "what_came_since_is_read": "Give what came behind the last state, changed rows included.",
    "the_same_rows_again_change_nothing": "Give rows as they are; who stores them knows them.",
    "a_late_row_is_read": "Read again from a little before the last state, by an overlap.",
    "an_order_grows_with_time": "Give connectors.feed_rows.order_of the time of the change.",
    "the_newest_row_counts": "Give each row the order of its change, not of its arrival.",
    "a_deletion_is_told": "Give a Deleted, or declare the column that says so under deleted.",
    "a_new_column_changes_nothing": "Take the mapped columns by name, and pass over the others.",
    "a_lost_column_is_told": "In check, hold the columns there are against declaration.columns().",
    "a_lost_id_makes_no_record": "In check, give an ERROR for a missing column of the record id.",
    "a_retyped_column_loses_no_row": "Hand the text on: RowMapper sets it aside with its rule.",
    "a_wrong_credential_stops": "Raise Stop, not Retry: the same secret is refused again.",
    "being_asked_to_wait_loses_nothing": "Raise Retry with after=seconds, or wait, with a limit.",
    "being_away_is_told": "Raise Retry where nothing answers; never end the generator quietly.",
    "no_failure_shows_a_value": "Raise from None, with words of your own: others quote addresses.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one law came out.

    Attributes:
        law: its name.
        says: what it demands.
        outcome: pass, fail or not_applicable.
        why: what is broken, or why it was not tried; empty of a law that is kept.
        next_step: what to do about it; empty of a law that is kept.
    """

    law: str
    says: str
    outcome: Outcome
    why: str = ""
    next_step: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        return asdict(self)


def examine(
    making: Making,
    staging: Callable[[Path], Stage],
    entry: Mapping[str, Any] = _NOTHING,
    only: Collection[str] = (),
) -> list[Verdict]:
    """Try every law on a connector.

    Args:
        making: makes the connector: its class, where that takes (declaration, folder,
            credentials).
        staging: makes a stage in an empty folder: the class of the stage.
        entry: goes before what the stage says of the entry of ``cdp.yaml``.
        only: names of laws; none means all.

    Raises:
        connectors.errors.Stop: the entry is wrong, or there is no law of a name.
    """
    with _trial(making, staging, entry) as trial:
        is_source = isinstance(trial.open(), Source)
    laws = _chosen(_source_laws() if is_source else _feed_laws(), only)
    return [_verdict(law, lambda: _trial(making, staging, entry)) for law in laws]


def _chosen(laws: list["_Law"], only: Collection[str]) -> list["_Law"]:
    unknown = set(only) - {one.name for one in laws}
    if unknown:
        names = ", ".join(one.name for one in laws)
        raise Stop("(laws)", "no_such_law", f"Name one of: {names}.")
    return [one for one in laws if not only or one.name in only]


class _trial:  # noqa: N801 - used like a function
    """A stage with the sample in it, taken down afterwards."""

    def __init__(
        self, making: Making, staging: Callable[[Path], Stage], entry: Mapping[str, Any]
    ) -> None:
        self._making, self._staging, self._entry = making, staging, entry

    def __enter__(self) -> Trial:
        self._folder = tempfile.TemporaryDirectory(prefix="stage-")
        path = Path(self._folder.name)
        self._stage = self._staging(path)
        self._stage.put(SAMPLE)
        return Trial(self._making, self._stage, path, self._entry)

    def __exit__(self, *_: object) -> None:
        try:
            self._stage.close()
        finally:
            self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class _Law:
    name: str
    says: str
    holds: Callable[[Trial], None]


def _named(law: Callable[..., None], holds: Callable[[Trial], None] | None = None) -> _Law:
    says = (law.__doc__ or "").partition("\n")[0]
    return _Law(law.__name__, says, holds or law)


def _source_laws() -> list[_Law]:
    """Laws of every source, then those that need a stage."""

    def over(law: Callable[[SourceCase], None]) -> Callable[[Trial], None]:
        return lambda trial: law(_source_case(trial, needs_bad=law in _NEED_BAD))

    shared = [_named(law, over(law)) for law in testing.LAWS]
    return [*shared, *map(_named, testing_staged.STAGED_LAWS)]


def _feed_laws() -> list[_Law]:
    """Laws of every feed, then those that need a stage; one of cancelling is enough."""

    def over(law: Callable[[FeedCase], None]) -> Callable[[Trial], None]:
        return lambda trial: law(
            _feed_case(trial, deletes=law is testing_feeds.deletes_take_effect)
        )

    shared = [_named(law, over(law)) for law in testing_feeds.FEED_LAWS]
    names = {one.name for one in shared}
    staged = [*testing_staged.STAGED_LAWS, *testing_staged.STAGED_FEED_LAWS]
    return [*shared, *(_named(law) for law in staged if law.__name__ not in names)]


_NEED_BAD: Final = frozenset({testing.rejected_rows_are_reported})


def _source_case(trial: Trial, *, needs_bad: bool) -> SourceCase:
    if needs_bad:
        trial.stage.put([{"name": "canary-nobody", "updated": SAMPLE[-1]["updated"]}])

    def changed() -> Source:
        trial.stage.put([{**SAMPLE[0], "id": "900000010"}])
        return trial.source()

    return SourceCase(trial.source, changed, lambda: _broken(trial).source(), trial.canaries)


def _feed_case(trial: Trial, *, deletes: bool) -> FeedCase:
    try:
        trial.stage.delete([SAMPLE[0]["id"]])
    except NotStaged:
        if deletes:
            raise
    left_open = trial.stage.left_open
    return FeedCase(
        trial.feed, lambda: _broken(trial).feed(), trial.canaries, left_open, deletes=deletes
    )


def _broken(trial: Trial) -> Trial:
    """The same, over a system that nobody can read."""
    for how in (Failure.GARBLED, Failure.REFUSED):
        try:
            trial.stage.fail(how)
        except NotStaged:
            continue
        return trial
    trial.stage.columns(COLUMNS[1:])
    return trial


def _verdict(law: _Law, trial: Callable[[], "_trial"]) -> Verdict:
    step = NEXT_STEPS.get(law.name, law.says)
    try:
        with trial() as tried:
            law.holds(tried)
    except NotStaged as reason:
        return Verdict(law.name, law.says, "not_applicable", str(reason))
    except AssertionError as broken:
        return Verdict(law.name, law.says, "fail", str(broken), step)
    except ConnectorError as error:
        why = f"{type(error).__name__} {error.rule} came, where none should"
        return Verdict(law.name, law.says, "fail", why, step)
    except Exception as error:  # noqa: BLE001 - whatever somebody else's code raises is told
        return Verdict(law.name, law.says, "fail", _of_their_own(error), step)
    return Verdict(law.name, law.says, "pass")


def _of_their_own(error: Exception) -> str:
    """Where an error came from that is none of ours; its text may quote a value."""
    frames = list(_places(error))
    where = frames[-1] if frames else "an unknown place"
    return f"{type(error).__name__} is raised at {where}: raise Stop or Retry instead"


def _places(error: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"{Path(frame.filename).name[:_TRIED]}:{frame.lineno}"
