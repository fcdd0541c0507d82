"""Evaluate all tags of all profiles and write what changed.

1. Only rows that differ are written: a second run at once writes nothing.
2. A tag that the rules no longer have is removed; a profile's tags go with the profile.
3. Every row carries the version of the rule that gave it.
4. One statement does all of it, so nobody sees half of a run.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdp.storage.schema import tag as tag_table
from cdp.tags import parse
from cdp.tags.ast import RuleSet
from cdp.tags.compile_sql import compiled
from cdp.tags.errors import RulesWrong
from connectors.declaration import SourceDeclaration

DEFAULT_RULES = Path(__file__).parent / "rules.yaml"
FILE_NAME = "tags.yaml"


@dataclass(frozen=True, slots=True)
class TagReport:
    """What a run found and did. Added, changed, restated and unchanged are all tags there are."""

    tags: Mapping[str, Mapping[str, int]]  # tag -> value -> profiles; every value is listed
    added: int
    changed: int  # another value than before
    restated: int  # the same value, by another version of the rule
    removed: int  # of tags that the rules no longer have
    unchanged: int


def load(folder: Path | None, sources: Iterable[SourceDeclaration] = ()) -> RuleSet:
    """Read ``tags.yaml`` in ``folder`` (the one of cdp.yaml), or the rules shipped with Kith.

    Raises:
        RulesWrong: the file is wrong, or gives an attribute another type than a source does.
    """
    own = folder / FILE_NAME if folder else None
    path = own if own is not None and own.exists() else DEFAULT_RULES
    rules = parse.read(path)
    for source in sources:
        for name, spec in source.attributes.items():
            wanted = rules.attributes.get(name)
            if wanted is not None and wanted != spec.type:
                raise RulesWrong(
                    "attribute_of_another_type",
                    f"write {spec.type}, as the source does, or correct the source",
                    path=path,
                    at=f"attributes.{name}",
                    source=source.name,
                )
    return rules


def run(connection: sa.Connection, rules: RuleSet, now: dt.datetime) -> TagReport:
    """Evaluate every tag of every profile, in the connection's transaction.

    Args:
        connection: in a transaction; nothing is visible to others before it commits.
        rules: of `load`.
        now: today is its day, in its own time zone.
    """
    # Two runs at once would both insert what is missing; the second waits.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('kith.tags'))"))
    names = [tag.name for tag in rules.tags]
    removed = connection.execute(sa.delete(tag_table).where(tag_table.c.name.not_in(names)))
    counts: dict[str, dict[str, int]] = {
        tag.name: dict.fromkeys(tag.values, 0) for tag in rules.tags
    }
    states = {"added": 0, "changed": 0, "restated": 0, "unchanged": 0}
    for name, value, state, profiles in connection.execute(_statement(rules, now)):
        counts[name][value] += profiles
        states[state] += profiles
    return TagReport(tags=counts, removed=removed.rowcount, **states)


def _statement(rules: RuleSet, now: dt.datetime) -> sa.Select[str, str, str, int]:
    """Compare, write the differences, and count: (name, value, state, profiles)."""
    wanted = compiled(rules, now.date()).subquery("wanted")
    held = tag_table.alias("held")
    state = sa.case(
        (held.c.value.is_(None), "added"),
        (held.c.value != wanted.c.value, "changed"),
        (held.c.rule_version != wanted.c.rule_version, "restated"),
        else_="unchanged",
    )
    compared = (
        sa.select(wanted, state.label("state"))
        .outerjoin_from(
            wanted,
            held,
            sa.and_(held.c.profile_id == wanted.c.profile_id, held.c.name == wanted.c.name),
        )
        .cte("compared")
    )
    different = sa.select(
        compared.c.profile_id,
        compared.c.name,
        compared.c.value,
        compared.c.rule_version,
        sa.literal(now, sa.DateTime(timezone=True)),
    ).where(compared.c.state != "unchanged")
    inserted = insert(tag_table).from_select(
        ["profile_id", "name", "value", "rule_version", "at"], different
    )
    written = inserted.on_conflict_do_update(
        index_elements=["profile_id", "name"],
        set_={column: inserted.excluded[column] for column in ("value", "rule_version", "at")},
    ).cte("written")
    return (
        sa.select(compared.c.name, compared.c.value, compared.c.state, sa.func.count())
        .group_by(compared.c.name, compared.c.value, compared.c.state)
        .add_cte(written)
    )
