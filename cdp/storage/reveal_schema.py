"""Tables of reveals, of the requests for them, and of who is where today.

No value is in them: a reveal is known by person and field. When a person is destroyed, their id
goes from these rows; who asked, when and why stays.
"""

import sqlalchemy as sa

from cdp.storage.metadata import MAIN, metadata


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


reveal_request = sa.Table(
    "reveal_request",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("requester", sa.Text, nullable=False),  # principal; with role and node of then
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("profile_id", sa.Text, index=True),  # null: the person was destroyed
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # screened
    sa.Column("state", sa.Text, nullable=False),  # of cdp.access.reveal_states.State
    _time("at", nullable=False),
    # The latest time that it has seen: it never goes back, whatever a clock says.
    _time("latest_at", nullable=False),
    _time("ends_at", nullable=False),  # of what it waits for now
    sa.Column("second", sa.Text),  # who approved, rejected or reviewed; with role and node
    sa.Column("second_role", sa.Text),
    sa.Column("second_node", sa.Text),
    sa.Column("comment", sa.Text),  # of that person, screened
    _time("second_at"),
    _time("used_at"),
    sa.CheckConstraint("latest_at >= at", name="forwards"),
    sa.CheckConstraint("second <> requester", name="two_people"),
    sa.Index("ix_reveal_request_requester", "requester", "at"),
    # One that may still come to something for the same person, field and purpose.
    sa.Index(
        "uq_reveal_request_open",
        "requester",
        "profile_id",
        "field",
        "purpose",
        unique=True,
        postgresql_where=sa.text("state IN ('open', 'approved')"),
    ),
    sa.Index(
        "ix_reveal_request_due",
        "ends_at",
        postgresql_where=sa.text("state IN ('open', 'approved', 'to-review')"),
    ),
    schema=MAIN,
)

reveal = sa.Table(
    "reveal",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("profile_id", sa.Text, index=True),  # null: the person was destroyed
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("sensitive", sa.Boolean, nullable=False),  # of the sensitive tier
    sa.Column("request_id", sa.ForeignKey(reveal_request.c.id)),  # the grant, or the broken glass
    _time("at", nullable=False),
    sa.Index("ix_reveal_principal", "principal", "at"),
    schema=MAIN,
)

roster = sa.Table(
    "roster",
    metadata,
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),  # where the node is
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("set_by", sa.Text, nullable=False),
    _time("at", nullable=False),
    sa.PrimaryKeyConstraint("principal", "day", "node"),
    schema=MAIN,
)
