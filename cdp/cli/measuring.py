"""``cdp identity evaluate`` and ``model``: how good the people are, and what finds them."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.cli import output, session
from cdp.errors import Stop
from cdp.profiles.evidence import Link
from cdp.resolution import epochs, membership
from cdp.vault.keyed import RecordKeys
from cdp.whole_files import whole_file
from cdp.workspace import Workspace
from identity import charts, drawing
from identity.coverage import Coverage
from identity.epoch_diff import differences
from identity.evaluate import Evaluation, evaluate
from identity.model import Model
from identity.sweep import Sweep, sweep

# Bits tried when none are named: from even odds to more than a phone and a name give.
THRESHOLDS = tuple(float(bits) for bits in range(9))
WISH = 0.99
_COVERED = ("records", "match_rate", "profiles", "consolidation")
_SWEPT = ("threshold", "precision", "recall", "f1", "bcubed_f1", "linkable_recall", "profiles")

model = typer.Typer(help="Read, learn and adopt the identity model.", no_args_is_help=True)
EpochName = Annotated[str, typer.Argument(help="`active`, an epoch's id, or an epoch file.")]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything ``cdp identity evaluate`` found."""

    measured: Evaluation
    sources: tuple[Coverage, ...]
    identifiers: tuple[Coverage, ...]
    swept: Sweep | None
    wish: float  # the precision asked for

    def to_dict(self) -> dict[str, Any]:
        """A plain object for ``--json``."""
        found: dict[str, Any] = {
            **self.measured.to_dict(),
            "sources": [line.to_dict() for line in self.sources],
            "identifiers": [line.to_dict() for line in self.identifiers],
        }
        if self.swept:
            precise = self.swept.precise(self.wish)
            found["sweep"] = {
                "rows": [row.to_dict() for row in self.swept.rows],
                "best_f1_at": self.swept.best.threshold,
                "wished_precision": self.wish,
                "wished_precision_from": precise.threshold if precise else None,
            }
        return found


def evaluate_profiles(
    truth: Annotated[
        Path, typer.Option(help="CSV with source,record_id,person_id and optionally linkable_id.")
    ],
    with_sweep: Annotated[
        bool, typer.Option("--sweep", help="Decide again, in memory, at several thresholds.")
    ] = False,
    at: Annotated[
        list[float] | None, typer.Option(help="A threshold of the sweep, in bits; repeatable.")
    ] = None,
    precision: Annotated[
        float, typer.Option(min=0, max=1, help="The precision you wish for.")
    ] = WISH,
    html: Annotated[Path | None, typer.Option(help="Write a page with charts here.")] = None,
    as_json: session.Json = False,
) -> None:
    """Measure the profiles against a truth file, and find a better threshold.

    Example: cdp identity evaluate --truth truth.csv --sweep
    """
    workspace = session.workspace()
    bits = _thresholds(at) if with_sweep or at else ()
    found = _measure(workspace, truth, bits, precision)
    if html:
        write(html, _page(found))
    if as_json:
        output.as_json(found.to_dict())
    else:
        _show(found)


def _thresholds(at: list[float] | None) -> tuple[float, ...]:
    if not all(math.isfinite(bits) for bits in at or ()):
        raise Stop("threshold_wrong", "give a number of bits, such as --at 3.5")
    return tuple(at) if at else THRESHOLDS


def _measure(workspace: Workspace, truth: Path, bits: tuple[float, ...], wish: float) -> Report:
    people, groups = membership.read_truth(truth, RecordKeys(workspace.keyring))
    kinds = frozenset(one.field for one in workspace.declaration.identifiers.types.values())
    with workspace.engine.connect() as connection:
        measured = evaluate(membership.profiles(connection), people, groups or None)
        sources, identifiers = membership.coverages(connection, kinds)
    swept = _sweep(workspace, bits, people, groups) if bits else None
    return Report(measured, sources, identifiers, swept, wish)


def _sweep(
    workspace: Workspace,
    bits: tuple[float, ...],
    people: dict[Hashable, Hashable],
    groups: dict[Hashable, Hashable],
) -> Sweep:
    with output.steps() as steps:
        decide, active = membership.decider(workspace, steps.step)
        # What is in force stands in the table too, to be compared with.
        return sweep((*bits, active.join_bits), decide, people, groups or None)


def show_evaluation(measured: dict[str, Evaluation]) -> None:
    """Print evaluations side by side."""
    names = list(next(iter(measured.values())).to_dict())
    columns = [one.to_dict() for one in measured.values()]
    rows = [(_words(name), *(column[name] for column in columns)) for name in names]
    output.table("Against the truth", ("measure", *measured), rows)


def _show(found: Report) -> None:
    show_evaluation({"kith": found.measured})
    for title, lines in _covered(found):
        output.table(title, ("kind", *map(_words, _COVERED)), lines)
    if found.swept:
        output.table("At other thresholds", [_words(n) for n in _SWEPT], _swept(found.swept))
        for sentence in _advice(found.swept, found.wish):
            output.say(sentence)


def _covered(found: Report) -> list[tuple[str, list[list[object]]]]:
    return [
        (title, [[line.kind, *(getattr(line, name) for name in _COVERED)] for line in lines])
        for title, lines in (
            ("Company of records, by source", found.sources),
            ("Company of records, by identifier", found.identifiers),
        )
    ]


def _swept(swept: Sweep) -> list[list[object]]:
    return [[getattr(row, name) for name in _SWEPT] for row in swept.rows]


def _advice(swept: Sweep, wish: float) -> list[str]:
    best, precise = swept.best, swept.precise(wish)
    if precise is None:
        reached = f"No threshold tried reaches a precision of {wish:g}."
    else:
        reached = f"A precision of {wish:g} is reached from {precise.threshold:g} bits on."
    return [f"F1 is best at {best.threshold:g} bits: {best.f1:.3f}.", reached]


def _page(found: Report) -> str:
    measures = [(_words(name), value) for name, value in found.measured.to_dict().items()]
    parts = []
    if found.swept:
        parts += [drawing.paragraph(words) for words in _advice(found.swept, found.wish)]
        parts.append(charts.thresholds("What a threshold costs", found.swept))
        header = [_words(name) for name in _SWEPT]
        parts.append(drawing.table("At each threshold", header, _swept(found.swept)))
    parts.append(drawing.table("The profiles as they are", ("measure", "value"), measures))
    for title, lines in _covered(found):
        parts.append(drawing.table(title, ("kind", *map(_words, _COVERED)), lines))
    return drawing.page("Profiles against the truth", parts)


def _words(name: str) -> str:
    return name.replace("_", " ")


def write(out: Path, text: str) -> None:
    """Write a chart, whole or not at all, and say where it is."""
    with whole_file(out) as file:
        file.write(text)
    output.say(f"written: {output.plain(str(out))}")


def evidence_chart(links: list[Link]) -> str:
    """Why two records are one person, as an SVG file.

    It names records by number: a source's own name for one may be a card or an account.
    """
    pairs = [
        charts.Waterfall(
            f"Record {link.low_id} and record {link.high_id}",
            link.bits - sum(finding.bits for finding in link.findings),
            tuple(charts.Step(f.comparison, f.level, f.bits) for f in link.findings),
        )
        for link in links
    ]
    title = "Why two records are one person" if pairs else "Two records of two people"
    return charts.waterfall(title, pairs)


@model.command("show")
def show_model(
    svg: Annotated[Path | None, typer.Option(help="Write a chart of the weights here.")] = None,
    as_json: session.Json = False,
) -> None:
    """Show the active epoch: what each kind of agreement weighs. --json: the epoch file.

    Example: cdp identity model show --svg weights.svg
    """
    name, stored = _epoch(session.workspace(), epochs.ACTIVE)
    # In the order of the file, not of the database.
    epoch = epochs.document(Model.from_json(stored))
    comparisons = charts.weights_of(epoch)
    if svg:
        write(svg, charts.weights(f"Epoch {name}", comparisons))
    if as_json:
        output.as_json(epoch)
        return
    facts = [(_words(k), v) for k, v in epoch.items() if isinstance(v, int | float | str)]
    output.table(f"Epoch {name}", ("what", "value"), [(k, _precise(v)) for k, v in facts])
    rows = [
        (comparison, one.level, one.bits, _precise(one.m), _precise(one.u))
        for comparison, levels in comparisons.items()
        for one in levels
    ]
    output.table("What agreement weighs", ("compared", "found", "bits", "m", "u"), rows)


@model.command("diff")
def diff_models(one: EpochName, other: EpochName, as_json: session.Json = False) -> None:
    """Show what differs between two epochs.

    Example: cdp identity model diff active epoch.json
    """
    workspace = session.workspace()
    (left, before), (right, after) = _epoch(workspace, one), _epoch(workspace, other)
    found = differences(before, after)
    if as_json:
        output.as_json([line.to_dict() for line in found])
        return
    rows = [(line.place, _precise(line.one), _precise(line.other)) for line in found]
    output.table("What differs", ("where", left, right), rows)
    if not found:
        output.say("They are the same.")


def _precise(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _epoch(workspace: Workspace, name: str) -> tuple[str, Mapping[str, Any]]:
    """An epoch as it was written, by the name that somebody typed."""
    with workspace.engine.connect() as connection:
        stored = epochs.stored(connection, name)
    if stored:
        return stored
    if name == epochs.ACTIVE:
        raise Stop("no_epoch", "run: cdp identity resolve")
    # Also one of an earlier release, or an altered one: to compare is to find out.
    content = epochs.read_document(Path(name))
    return name, {entry: value for entry, value in content.items() if entry != epochs.ID}
