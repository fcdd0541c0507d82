"""The table of what runs by itself: which source is due, who has it, how it ended.

One row for each source with a schedule, and one (without a source) for resolving. It holds names,
times, counts and rules; no value of a person.
"""

import sqlalchemy as sa

from cdp.storage.metadata import MAIN, metadata


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


job = sa.Table(
    "job",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # sync | resolve
    sa.Column("source", sa.Text, primary_key=True),  # empty: of all sources
    sa.Column("schedule", sa.Text),  # as declared when it was planned last
    _time("due_at"),  # null: nothing is to be done
    _time("last_due_at"),  # the slot that was served last
    # Who has it now; null: nobody. A lease that ended belongs to a worker that died.
    sa.Column("worker", sa.Text),
    _time("leased_until"),
    _count("lease"),  # grows with each lease: who had an older one can end nothing
    _time("started_at"),  # of the last run
    _time("ended_at"),
    _time("succeeded_at"),
    # Of the runs since the last good one: how many failed, by which rule, what to do.
    _count("failures"),
    sa.Column("rule", sa.Text),
    sa.Column("next_step", sa.Text),
    _time("paused_at"),  # null: it is not paused
    # What a resolve was told of: runs from this one on, and this many changes of those.
    _count("run_id"),
    _count("changes"),
    _count("waiting"),  # of a resolve: records that changed since it ran
    sa.CheckConstraint("kind IN ('sync', 'resolve')", name="kind"),
    sa.CheckConstraint("(kind = 'resolve') = (source = '')", name="of_a_source"),
    sa.CheckConstraint("(worker IS NULL) = (leased_until IS NULL)", name="leased_by_somebody"),
    schema=MAIN,
)
