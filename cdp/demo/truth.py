"""Who is who, and which records of a person can be joined at all.

Two records of a person are **linkable** when a chain of that person's records joins
them and each step of the chain shares evidence as delivered in the files. A value
counts as delivered only if it truly survives plain normalisation (width, spaces,
punctuation, country prefix, letter case, date format; a two-digit year is the one that
is not in the future). Evidence is any of:

- an equal phone that the person uses: own, former, or the household's. Placeholders,
  clerks' numbers, privacy numbers, masked numbers and mistyped numbers do not count;
- an equal union id;
- an equal e-mail address;
- an equal ID number that is valid under GB 11643;
- an equal card number (the till's card number carried on as the spreadsheet's number);
- an equal full name, neither masked, shortened nor mistyped, together with an equal
  full birth date that is not a default one.

A linkable group is a connected component of this relation within one person, so the
groups refine the persons. No rule or model can be asked for more than the linkable
pairs; joining others would be a guess.
"""

from collections import defaultdict

from cdp.demo.delivery import Delivered
from cdp.demo.disjoint import DisjointSets

TRUTH_HEADER = ("source", "record_id", "person_id", "linkable_id")


def linkable_groups(delivered: list[Delivered]) -> list[int]:
    """Return, per delivered record, the number of its linkable group."""
    sets = DisjointSets(len(delivered))
    first: dict[tuple[int, str, str], int] = {}
    for at, record in enumerate(delivered):
        for kind, value in record.evidence:
            sets.join(at, first.setdefault((record.person.number, kind, value), at))
    return [sets.find(at) for at in range(len(delivered))]


def truth_rows(delivered: list[Delivered]) -> list[tuple[str, str, str, str]]:
    """Return the rows of `truth.csv`, sorted by source and record id."""
    groups: defaultdict[str, dict[int, int]] = defaultdict(dict)
    rows = []
    for record, group in zip(delivered, linkable_groups(delivered), strict=True):
        person = record.person.key
        rank = groups[person].setdefault(group, len(groups[person]) + 1)
        rows.append((record.source, record.record_id, person, f"{person}-{rank}"))
    return sorted(rows)
