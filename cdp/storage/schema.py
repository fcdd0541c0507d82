"""Every table of the platform, in one place.

Three schemas, so that a backup or a role can take one without the others:

* ``kith``: records, identity, profiles, tags, publishing, the audit log.
* ``kith_vault``: sealed cells of all tiers and blind indexes. No clear value. Who serves
  clerks reads the masked tier alone: see ``cdp/storage/roles.py``.
* ``kith_keys``: the wrapped data key of every record. Leaving it out of a backup
  makes the sealed cells of that backup unreadable for ever.

What is absent on purpose: no column holds a clear personal value, a source's own
record id, a file row or a rendered message. What must be found again by value is
a keyed hash; what must be read again is a sealed cell.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from cdp.storage.access_schema import (
    account,
    api_key,
    principal,
    session,
    sign_in_state,
    throttle,
)
from cdp.storage.block_schema import block, record_block, shared_number
from cdp.storage.decision_schema import decision, decision_link, membership_history
from cdp.storage.erasure_schema import scrub, shred
from cdp.storage.event_schema import event, event_device, event_tally
from cdp.storage.hook_schema import hook_message
from cdp.storage.key_schema import retired_key
from cdp.storage.metadata import KEYS, MAIN, VAULT, metadata
from cdp.storage.policy_schema import policy_activation, policy_proposal, policy_version
from cdp.storage.reveal_schema import reveal, reveal_request, roster
from cdp.storage.running_schema import job
from cdp.storage.source_schema import source_order, source_removal, source_state, sync_run

__all__ = [
    "KEYS",
    "MAIN",
    "VAULT",
    "account",
    "api_key",
    "block",
    "decision",
    "decision_link",
    "event",
    "event_device",
    "event_tally",
    "hook_message",
    "job",
    "membership_history",
    "metadata",
    "policy_activation",
    "policy_proposal",
    "policy_version",
    "principal",
    "record_block",
    "retired_key",
    "reveal",
    "reveal_request",
    "roster",
    "scrub",
    "session",
    "shared_number",
    "shred",
    "sign_in_state",
    "source_order",
    "source_removal",
    "source_state",
    "sync_run",
    "throttle",
]


def _now() -> sa.Column[object]:
    return sa.Column("at", sa.DateTime(timezone=True), nullable=False)


workspace = sa.Table(
    "workspace",
    metadata,
    # One row. The key check lets a wrong key ring be refused before anything is read.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("only", sa.Boolean, sa.CheckConstraint("only", name="only"), unique=True),
    sa.Column("key_check", BYTEA, nullable=False),
    # The order of trust that all profiles were last built with; null before the first time.
    sa.Column("built_with", sa.Text),
    # What the stored blocking keys depend on beside the records; null before the first run.
    sa.Column("blocked_with", sa.Text),
    # The versions of the features key that identity compares under, and of the blind-index key
    # that blocking keys are stored under. The ring may have newer ones.
    sa.Column("feature_key", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("block_key", sa.SmallInteger, nullable=False, server_default="1"),
    sa.Column("claims_origin", sa.Text),  # the mapping that was synced last; null: none yet
    # A made-up workspace may be thrown away by the next demo; a real one never.
    sa.Column("demo", sa.Boolean, nullable=False),
    _now(),
    schema=MAIN,
)

# ── ingest ──────────────────────────────────────────────────────────────────

reject = sa.Table(
    "reject",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("field", sa.Text, nullable=False),  # "" for the whole row
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("next_step", sa.Text, nullable=False),
    sa.Column("sealed", BYTEA, nullable=False),  # the row or the value, under the reject key
    # For a single field: the record that goes on without it.
    sa.Column("record_id", sa.ForeignKey("kith.record.id", ondelete="CASCADE"), index=True),
    # Of a whole row: the keys of records that it may be of, and `Vault.reject_words`; null: any.
    sa.Column("record_keys", sa.ARRAY(BYTEA)),
    sa.Column("words", sa.ARRAY(sa.SmallInteger)),
    _now(),
    sa.UniqueConstraint("source", "fingerprint", "position", "field"),
    sa.CheckConstraint("(field = '') = (record_id IS NULL)", name="row_or_field"),
    sa.Index("ix_reject_record_keys", "record_keys", postgresql_using="gin"),
    schema=MAIN,
)

record = sa.Table(
    "record",
    metadata,
    # The id is handed out in the order of arrival: it is what "older" means everywhere.
    sa.Column("id", sa.BigInteger, sa.Sequence("record_id_seq", schema=MAIN), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("key", BYTEA, nullable=False, unique=True),  # keyed hash of (source, record id)
    sa.Column("content", BYTEA, nullable=False),  # keyed hash of what the source delivered
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("store", sa.Text),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("purposes", ARRAY(sa.Text), nullable=False),  # consented, opt-outs taken off
    sa.Column("refused", ARRAY(sa.Text), nullable=False),  # opted out by the person
    # Numbers, dates, categories; nothing that names.
    sa.Column("attributes", JSONB, nullable=False),
    sa.Column("feature_version", sa.SmallInteger, nullable=False),
    sa.Column("features", BYTEA, nullable=False),  # sealed under the record's contact key
    # Of the features key; feature_version is of their format.
    sa.Column("feature_key", sa.SmallInteger, nullable=False, default=1),
    sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
    # Set when content changes, cleared by resolve: which components to look at again.
    sa.Column("dirty", sa.Boolean, nullable=False),
    # active | frozen: stored, resolved, and not read. A shredded record has no row.
    sa.Column("state", sa.Text, nullable=False, server_default="active"),
    sa.CheckConstraint("state IN ('active', 'frozen')", name="state"),
    sa.Index("ix_record_frozen", "id", postgresql_where=sa.text("state = 'frozen'")),
    # Every record that a sync brings is marked as resolved later: see migration 0026.
    postgresql_with={"fillfactor": 50},
    schema=MAIN,
)

# ── vault ───────────────────────────────────────────────────────────────────


def _cells(name: str, *more: sa.Column[str]) -> sa.Table:
    """One row per record: field names beside their sealed cells, position by position."""
    return sa.Table(
        name,
        metadata,
        # No foreign key: see migration 0022.
        sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        *more,
        sa.Column("fields", ARRAY(sa.Text), nullable=False),
        sa.Column("cells", ARRAY(BYTEA), nullable=False),
        schema=VAULT,
    )


contact = _cells("contact")
sensitive = _cells("sensitive")
# See cdp/vault/forms.py. What has no row of these masks and its revision waits for a remask.
masked = _cells("masked", sa.Column("masking", sa.Text, nullable=False))  # version of the masks

blind_index = sa.Table(
    "blind_index",
    metadata,
    sa.Column("record_id", sa.BigInteger, nullable=False),  # no foreign key: see migration 0022
    sa.Column("field", sa.Text, nullable=False),  # or the label of a compound index
    sa.Column("value", BYTEA, nullable=False),
    sa.Column("epoch", sa.SmallInteger, nullable=False),  # version of the index key
    sa.PrimaryKeyConstraint("field", "epoch", "value", "record_id"),
    sa.Index("ix_blind_index_record_id", "record_id"),
    schema=VAULT,
)

data_key = sa.Table(
    "data_key",
    metadata,
    sa.Column("record_id", sa.ForeignKey(record.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("key_version", sa.SmallInteger, nullable=False),  # of the key-encryption key
    sa.Column("wrapped", BYTEA, nullable=False),
    sa.PrimaryKeyConstraint("record_id", "tier"),
    schema=KEYS,
)

# ── identity ────────────────────────────────────────────────────────────────

epoch = sa.Table(
    "epoch",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # digest of the model file
    sa.Column("model", JSONB, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    _now(),
    # Who put it in force, why and when; empty: a resolve learnt it and did so itself.
    sa.Column("signed_by", sa.Text),  # principal
    sa.Column("reason", sa.Text),
    sa.Column("signed_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint(
        "num_nulls(signed_by, reason, signed_at) IN (0, 3)", name="signed_by_somebody"
    ),
    sa.Index("uq_epoch_active", "active", unique=True, postgresql_where=sa.text("active")),
    schema=MAIN,
)

edge = sa.Table(
    "edge",
    metadata,
    sa.Column("low_id", sa.BigInteger, nullable=False),
    sa.Column("high_id", sa.BigInteger, nullable=False),
    sa.Column("weight", sa.Float, nullable=False),  # bits, prior included
    sa.Column("levels", ARRAY(sa.SmallInteger), nullable=False),  # per comparison of the epoch
    sa.Column("weights", ARRAY(sa.Float), nullable=False),  # bits per comparison
    sa.Column("epoch", sa.Text, nullable=False),  # its id
    # Whether a blocking rule brought the two together; only such pairs connect records.
    # The others were compared because both belong to one component already.
    sa.Column("direct", sa.Boolean, nullable=False),
    sa.CheckConstraint("low_id < high_id", name="ordered"),
    sa.PrimaryKeyConstraint("low_id", "high_id"),
    sa.Index("ix_edge_high_id", "high_id"),
    schema=MAIN,
)

profile = sa.Table(
    "profile",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # follows the anchor: the oldest record
    sa.Column("anchor_id", sa.ForeignKey(record.c.id), nullable=False, unique=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("stores", ARRAY(sa.Text), nullable=False),
    # Which record gives each field: {"phone": record id}. A pointer, so that merging
    # and splitting never move or re-encrypt a value.
    sa.Column("golden", JSONB, nullable=False),
    sa.Column("attributes", JSONB, nullable=False),
    sa.Column("purposes", ARRAY(sa.Text), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("ix_profile_stores", "stores", postgresql_using="gin"),
    schema=MAIN,
)

membership = sa.Table(
    "membership",
    metadata,
    sa.Column(
        "record_id",
        sa.ForeignKey(record.c.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("profile_id", sa.ForeignKey(profile.c.id), nullable=False, index=True),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    schema=MAIN,
)

redirect = sa.Table(
    "redirect",
    metadata,
    sa.Column("old_id", sa.Text, primary_key=True),
    sa.Column("new_id", sa.Text, nullable=False, index=True),
    _now(),
    schema=MAIN,
)

profile_event = sa.Table(
    "profile_event",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # created | merged | split | changed | removed
    sa.Column("profile_id", sa.Text, nullable=False, index=True),
    sa.Column("other_id", sa.Text),
    sa.Column("epoch", sa.Text, nullable=False),
    _now(),
    schema=MAIN,
)

tag = sa.Table(
    "tag",
    metadata,
    sa.Column("profile_id", sa.ForeignKey(profile.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("rule_version", sa.Text, nullable=False),
    _now(),
    sa.PrimaryKeyConstraint("profile_id", "name"),
    sa.Index("ix_tag_name_value", "name", "value"),
    schema=MAIN,
)

# ── publishing ──────────────────────────────────────────────────────────────

outbox = sa.Table(
    "outbox",
    metadata,
    # A message names a profile, never its fields: they are read when it is sent, so
    # that a clear value is never at rest and a withdrawn consent counts at once.
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("profile_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # profile.updated | profile.removed
    sa.Column("message_id", sa.Text, nullable=False, unique=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
    sa.Column("last_error", sa.Text),  # rule and status, never a body
    _now(),
    sa.Column("delivered_at", sa.DateTime(timezone=True)),
    sa.Column("parked_at", sa.DateTime(timezone=True)),
    sa.Index(
        "ix_outbox_due", "destination", "id", postgresql_where=sa.text("delivered_at IS NULL")
    ),
    # One undelivered message for a profile and destination: nothing can overtake anything.
    sa.Index(
        "uq_outbox_open",
        "destination",
        "profile_id",
        unique=True,
        postgresql_where=sa.text("delivered_at IS NULL"),
    ),
    schema=MAIN,
)

published = sa.Table(
    "published",
    metadata,
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("profile_id", sa.Text, nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # keyed hash of the last body sent
    _now(),
    sa.PrimaryKeyConstraint("destination", "profile_id"),
    schema=MAIN,
)

# ── what was done ───────────────────────────────────────────────────────────

audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("line", sa.Text, nullable=False),  # canonical JSON: exactly what is hashed
    sa.Column("actor", sa.Text, nullable=False, index=True),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("profile_id", sa.Text, index=True),
    _now(),
    # The place in the Merkle tree, given when a checkpoint seals the event.
    sa.Column("leaf", sa.BigInteger, unique=True),
    schema=MAIN,
)

audit_checkpoint = sa.Table(
    "audit_checkpoint",
    metadata,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", BYTEA, nullable=False),
    sa.Column("key_version", sa.SmallInteger, nullable=False),
    sa.Column("signature", BYTEA, nullable=False),
    _now(),
    schema=MAIN,
)
