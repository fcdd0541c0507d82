"""Three charts: why two records are one person, what a model weighs, what a threshold costs.

A chart holds names of comparisons, levels, numbers and nothing about anybody. How a file
is made, and what it promises, is in ``identity.drawing``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from identity import drawing
from identity.drawing import bar, line, number, picture, rule, signed, width, words
from identity.sweep import Sweep

_GAP = 12.0
_PLOT = 360.0  # width of the part with bars
_ROOM = 64.0  # beside the bars, for their numbers


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of a waterfall."""

    label: str  # what was compared
    found: str  # how it agreed
    bits: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The evidence about one pair of records, from the prior to the sum."""

    title: str
    prior: float  # bits before any evidence
    steps: tuple[Step, ...]

    @property
    def total(self) -> float:
        """All bits together."""
        return self.prior + sum(step.bits for step in self.steps)


@dataclass(frozen=True, slots=True)
class Weight:
    """One level of a comparison."""

    level: str
    bits: float  # log2(m / u)
    m: float  # how often it is seen between records of one person
    u: float  # how often between records of two


class _Scale:
    """Bits to places; what has no end goes to the edge."""

    def __init__(self, left: float, values: Iterable[float]) -> None:
        known = [value for value in values if math.isfinite(value)]
        self.low, self.high = min([0.0, *known]), max([0.0, *known])
        self.left = left + _ROOM
        self.span = (self.high - self.low) or 1.0
        self.zero = self.at(0.0)

    def at(self, bits: float) -> float:
        return self.left + (min(max(bits, self.low), self.high) - self.low) / self.span * _PLOT


def waterfall(title: str, pairs: Sequence[Waterfall]) -> str:
    """The evidence about one pair, or about each pair of a chain, as an SVG file.

    Without pairs the picture says that nothing joins the two.
    """
    steps = [step for pair in pairs for step in _steps(pair)]
    titles = [width(pair.title, 14) for pair in pairs]
    left = max([width(text) for s in steps for text in (s.label, s.found)], default=0) + 2 * _GAP
    across = max(left + _PLOT + 2 * _ROOM + _GAP, width(title, 17) + 2 * _GAP, *titles, 0)
    body, y = [words(_GAP, 28, title, size=17)], 44.0
    for pair in pairs:
        drawn, y = _waterfall(pair, left, y)
        body += drawn
    if not pairs:
        body.append(words(_GAP, y + 14, _NOTHING, colour="quiet"))
        y += 30
    told = " ".join(_told(pair) for pair in pairs) or _NOTHING
    return picture("waterfall", title, told, (across, y + _GAP), "\n".join(body))


_NOTHING = "Nothing joins these two records."
_LEGEND = "to the right: for one person; to the left: for two"


def _steps(pair: Waterfall) -> list[Step]:
    first = Step("any two records", "before any evidence", pair.prior)
    return [first, *pair.steps, Step("together", "sum of all bits", pair.total)]


def _waterfall(pair: Waterfall, left: float, y: float) -> tuple[list[str], float]:
    """The elements of one pair, and where they end."""
    steps = _steps(pair)
    ends = [sum(step.bits for step in steps[: place + 1]) for place in range(len(steps) - 1)]
    scale = _Scale(left, ends)
    body = [words(_GAP, y + 14, pair.title, size=14)]
    body.append(words(_GAP, y + 30, f"bits; {_LEGEND}", colour="quiet", size=11))
    y += 40
    bottom = y + 36 * len(steps)
    body.append(rule(scale.zero, y, scale.zero, bottom))
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        start, end = (
            (0.0 if last or not place else ends[place - 1]),
            ends[min(place, len(ends) - 1)],
        )
        body.append(words(_GAP, y + 14, step.label))
        body.append(words(_GAP, y + 29, step.found, colour="quiet", size=11))
        body += _valued_bar(scale, (start, end), step.bits, y + 6)
        if not last:
            body.append(rule(scale.at(end), y + 26, scale.at(end), y + 42, dash="2 2"))
        y += 36
    return body, y + _GAP


def _valued_bar(scale: _Scale, ends: tuple[float, float], bits: float, y: float) -> list[str]:
    """A bar with its number on the side that it points to."""
    start, end = (scale.at(value) for value in ends)
    colour = "for" if bits >= 0 else "against"
    beside, anchor = (max(start, end) + 6, "start") if bits >= 0 else (min(start, end) - 6, "end")
    text = words(beside, y + 15, signed(bits), anchor=anchor)
    return [bar(start, y, end, 20, colour), text]


def _told(pair: Waterfall) -> str:
    parts = "; ".join(f"{s.label}, {s.found}: {signed(s.bits)}" for s in _steps(pair))
    return f"{pair.title}. Bits: {parts}."


def weights_of(epoch: Mapping[str, Any]) -> dict[str, list[Weight]]:
    """The levels of each comparison of an epoch file, as ``Model.to_json`` gives it."""
    return {
        name: [
            Weight(str(level["level"]), math.log2(level["m"] / level["u"]), level["m"], level["u"])
            for level in levels
        ]
        for name, levels in epoch["comparisons"].items()
    }


def weights(title: str, comparisons: Mapping[str, Sequence[Weight]]) -> str:
    """What each level of each comparison says, as an SVG file."""
    levels = [level for several in comparisons.values() for level in several]
    names = [*comparisons, *(level.level for level in levels)]
    left = max((width(name) for name in names), default=0) + 3 * _GAP
    scale = _Scale(left, (level.bits for level in levels))
    right = left + _PLOT + 2 * _ROOM + _GAP
    body = [words(_GAP, 28, title, size=17)]
    body.append(words(_GAP, 46, f"bits, log2(m/u); {_LEGEND}", colour="quiet", size=11))
    y = 58.0
    for name, several in comparisons.items():
        body.append(words(_GAP, y + 16, name, size=14))
        y += 24
        body.append(rule(scale.zero, y, scale.zero, y + 26 * len(several)))
        for level in several:
            body.append(words(2 * _GAP, y + 17, level.level))
            body += _valued_bar(scale, (0.0, level.bits), level.bits, y + 2)
            body.append(words(right, y + 17, _shares(level), colour="quiet", size=11))
            y += 26
        y += 8
    told = " ".join(
        f"{name}: " + "; ".join(f"{v.level} {signed(v.bits)}, {_shares(v)}" for v in several) + "."
        for name, several in comparisons.items()
    )
    across = max(right + 170, width(title, 17) + 2 * _GAP)
    return picture("weights", title, told, (across, y + _GAP), "\n".join(body))


def _shares(weight: Weight) -> str:
    return f"m {weight.m:.4g}, u {weight.u:.4g}"


# A line's colour, its dashes, and the shape of its points: two of them are enough.
_LINES = (
    ("precision", "for", ""),
    ("recall", "against", "8 4"),
    ("f1", "third", "2 3"),
)
_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_LEFT, _TOP, _ACROSS, _DOWN = 56.0, 66.0, 520.0, 260.0


def thresholds(title: str, swept: Sweep) -> str:
    """Precision, recall and F1 over the thresholds of a sweep, as an SVG file."""
    rows = swept.rows
    lowest = min(min(row.precision, row.recall, row.f1) for row in rows)
    floor = min(math.floor(lowest * 10) / 10, 0.9)
    low, high = rows[0].threshold, rows[-1].threshold

    def x(bits: float) -> float:
        return _LEFT + (_ACROSS * (bits - low) / (high - low) if high > low else _ACROSS / 2)

    def y(share: float) -> float:
        return _TOP + _DOWN * (1 - (share - floor) / (1 - floor))

    best = swept.best
    body = [words(_GAP, 28, title, size=17)]
    body += _axes(x, y, floor, [row.threshold for row in rows])
    body.append(rule(x(best.threshold), _TOP, x(best.threshold), _TOP + _DOWN, dash="4 3"))
    note = f"best F1 {best.f1:.3f} at {best.threshold:g} bits"
    body.append(words(_LEFT, 52, note, colour="quiet", size=12))
    ends = _apart([y(getattr(rows[-1], name)) for name, _, _ in _LINES])
    for (name, colour, dash), end in zip(_LINES, ends, strict=True):
        points = [(x(row.threshold), y(getattr(row, name))) for row in rows]
        body.append(line(points, colour, dash=dash))
        body += [_mark(name, place, colour) for place in points]
        label = f"{_NAMES[name]} {getattr(rows[-1], name):.3f}"
        body.append(words(_LEFT + _ACROSS + 14, end + 4, label, colour=colour))
    told = "; ".join(
        f"{r.threshold:g} bits: precision {r.precision:.3f}, recall {r.recall:.3f}, F1 {r.f1:.3f}"
        for r in rows
    )
    across = max(_LEFT + _ACROSS + 150, width(title, 17) + 2 * _GAP)
    return picture(
        "thresholds", title, f"{told}; {note}.", (across, _TOP + _DOWN + 56), "\n".join(body)
    )


def _axes(x: Any, y: Any, floor: float, bits: Sequence[float]) -> list[str]:
    body = []
    for place in range(6):
        share = floor + (1 - floor) * place / 5
        body.append(rule(_LEFT, y(share), _LEFT + _ACROSS, y(share)))
        body.append(words(_LEFT - 8, y(share) + 4, f"{share:.2f}", anchor="end", size=11))
    written = -math.inf
    for value in bits:
        if x(value) - written >= 34:  # where two would touch, the later is left out
            written = x(value)
            body.append(words(written, _TOP + _DOWN + 18, f"{value:g}", anchor="middle", size=11))
    under = "threshold in bits: the evidence that two groups need to become one person"
    body.append(words(_LEFT, _TOP + _DOWN + 40, under, colour="quiet", size=12))
    return body


def _mark(name: str, place: tuple[float, float], colour: str) -> str:
    """A point: a circle, a square or a triangle, so that no line is told by colour alone."""
    x, y = place
    fill = f'class="{colour}" fill="{drawing.COLOURS[colour][0]}"'
    if name == "precision":
        return f'<circle cx="{number(x)}" cy="{number(y)}" r="4" {fill}/>'
    if name == "recall":
        return f'<rect x="{number(x - 4)}" y="{number(y - 4)}" width="8" height="8" {fill}/>'
    corners = f"{number(x)},{number(y - 5)} {number(x - 5)},{number(y + 4)}"
    return f'<polygon points="{corners} {number(x + 5)},{number(y + 4)}" {fill}/>'


def _apart(places: Sequence[float]) -> list[float]:
    """The same heights, moved down where two texts would touch."""
    moved: dict[int, float] = {}
    last = -math.inf
    for at in sorted(range(len(places)), key=lambda at: (places[at], at)):
        last = max(places[at], last + 17)
        moved[at] = last
    return [moved[at] for at in range(len(places))]
