"""The made-up retailer: a seeded, labelled world written as a retailer's own files.

`write_world(folder)` writes

- `data/pos.csv` (GB18030), `data/miniprogram.jsonl`, `data/shop.csv`,
  `data/wecom.jsonl`, `data/legacy.xlsx`: about 2.4 records a person;
- `truth.csv`: `source,record_id,person_id,linkable_id`, read by evaluation alone;
- `cdp.yaml`: the workspace declaration.

The same people, seed and noise give the same bytes. Nobody in it exists: phones, ID
numbers and names are drawn, mail domains are `example.com` and `.invalid`.

What `linkable_id` means is defined in `cdp.demo.truth`: records of one person are
linkable when a chain of that person's records joins them, each step sharing a phone
the person uses, a union id, an e-mail address, a valid ID number, a card number, or a
full name with a full birth date, as delivered in the files after plain normalisation.
How often what goes wrong is stated in `cdp.demo.noise`. The few broken rows of
`cdp.demo.broken` belong to nobody and are absent from the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from cdp.demo.broken import Broken, broken_rows
from cdp.demo.counter import LEGACY_HEADER, POS_HEADER
from cdp.demo.declaration import HOOK, declaration
from cdp.demo.delivery import Delivered
from cdp.demo.dice import Dice
from cdp.demo.files import csv_line, json_line, write_lines, write_table, write_workbook
from cdp.demo.membership import SOURCES, Membership, enter_clerks_numbers
from cdp.demo.noise import Odds
from cdp.demo.online import SHOP_HEADER
from cdp.demo.people import Person, Population
from cdp.demo.truth import TRUTH_HEADER, truth_rows
from connectors.record import Raw

_T = TypeVar("_T")
PEOPLE = 20_000
SEED = 1
FILES = {
    "pos": "pos.csv",
    "miniprogram": "miniprogram.jsonl",
    "shop": "shop.csv",
    "wecom": "wecom.jsonl",
    "legacy": "legacy.xlsx",
}


@dataclass(frozen=True, slots=True, repr=False)
class World(Raw):
    """A world in memory."""

    people: list[Person]
    delivered: list[Delivered]
    clerks: Mapping[str, int]  # clerk's number -> records that carry it
    broken: list[Broken]
    odds: Odds  # what was expected and what happened

    def of(self, source: str) -> list[Delivered]:
        """Return the records of one source."""
        return [record for record in self.delivered if record.source == source]


def make_world(people: int = PEOPLE, seed: int = SEED, noise: float = 1.0) -> World:
    """Return a world of so many people; `noise` scales every rate of careless work."""
    if people < 1:
        raise ValueError("a world needs at least one person")
    odds = Odds(Dice(seed), noise)
    population = Population(odds)
    everybody = population.fill(people)
    delivered = Membership(odds).deliver(everybody)
    clerks = enter_clerks_numbers(odds, population.phones, delivered, people)
    shuffled = [delivered[at] for at in odds.dice.order(len(delivered))]
    return World(everybody, shuffled, clerks, broken_rows(), odds)


def write_world(
    folder: Path, people: int = PEOPLE, seed: int = SEED, noise: float = 1.0, hook: str = HOOK
) -> World:
    """Write a world's files into a folder, which is made if need be, and return it."""
    world = make_world(people, seed, noise)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        _write_source(world, source, data / FILES[source])
    write_table(folder / "truth.csv", TRUTH_HEADER, truth_rows(world.delivered))
    text = yaml.safe_dump(declaration(hook), allow_unicode=True, sort_keys=False, width=100)
    (folder / "cdp.yaml").write_text(text, encoding="utf-8")
    return world


def _write_source(world: World, source: str, path: Path) -> None:
    broken = [row.content for row in world.broken if row.source == source]
    rows = [record.row for record in world.of(source)]
    if source == "legacy":
        cells = _spread([list(row) for row in rows], [list(row) for row in broken])
        write_workbook(path, "会员", [LEGACY_HEADER, *cells])
        return
    lines = [content for content in broken if isinstance(content, bytes)]
    if source in ("miniprogram", "wecom"):
        write_lines(path, _spread([json_line(row) for row in rows], lines), b"\n")
        return
    encoding, header, end = {
        "pos": ("gb18030", POS_HEADER, b"\r\n"),  # tills run on Windows
        "shop": ("utf-8", SHOP_HEADER, b"\n"),
    }[source]
    body = _spread([csv_line(row, encoding) for row in rows if isinstance(row, list)], lines)
    write_lines(path, [csv_line(header, encoding), *body], end)


def _spread(rows: list[_T], broken: list[_T]) -> list[_T]:
    """Put the broken rows at even distances among the others."""
    step = len(rows) // (len(broken) + 1)
    result = list(rows)
    for turn in range(len(broken), 0, -1):
        result.insert(turn * step, broken[turn - 1])
    return result
