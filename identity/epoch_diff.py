"""Two identity models side by side: what differs, line by line.

Epoch files are compared as plain documents, so that one of an earlier release can be held
against one of this. Frequencies are thousands of keyed numbers; of those only counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_COUNTED = "frequencies"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two epochs differ; None: it is not there."""

    place: str  # such as "comparisons / name / equal / bits"
    one: Any
    other: Any

    def to_dict(self) -> dict[str, Any]:
        """Return it by name, ready for JSON."""
        return asdict(self)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What differs between two epoch files, in the order of the first, then of the second."""
    left, right = dict(_places(one)), dict(_places(other))
    found = [
        Difference(" / ".join(place), left.get(place), right.get(place))
        for place in {**left, **right}
        if left.get(place) != right.get(place)
    ]
    return (*found, *_frequencies(one.get(_COUNTED, {}), other.get(_COUNTED, {})))


def _places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every number and word of a document, and where it stands."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if path or name != _COUNTED:
                yield from _places(inner, (*path, str(name)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            named = isinstance(inner, Mapping) and "level" in inner
            yield from _places(inner, (*path, str(inner["level"] if named else number)))
    else:
        yield path, value


def _frequencies(
    one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]]
) -> Iterator[Difference]:
    for feature in sorted({*one, *other}):
        left, right = one.get(feature, {}), other.get(feature, {})
        if left == right:
            continue
        yield Difference(f"{_COUNTED} / {feature} / values", len(left), len(right))
        changed = sum(left[key] != right[key] for key in left.keys() & right.keys())
        yield Difference(f"{_COUNTED} / {feature} / shares that changed", 0, changed)
