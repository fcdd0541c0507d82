"""The epoch: everything a match weight depends on, frozen in one readable file.

Invariants:
    1. Two records and one epoch give one weight: nothing else enters.
    2. The file names its own version and the version of the features it reads; another
       version is refused.
    3. The same epoch always writes the same text, so that two can be compared line by line.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from identity import features
from identity.comparisons import COMPARISONS
from identity.errors import ModelVersionError
from identity.sharing import MOST_HOLDERS

VERSION = 1
Weights = tuple[tuple[float, float], ...]  # (m, u) per level, best first


@dataclass(frozen=True, slots=True)
class Model:
    """One epoch of the identity model.

    Attributes:
        prior: probability that two records drawn at random are one person.
        weights: per comparison, (m, u) of each level, best first.
        frequencies: per feature with a frequency adjustment, the share of records that
            hold a value, by key; key 0 holds the share taken for every rarer value.
        join_bits: records join one profile from this many bits of evidence on.
        suggest_bits: pairs between this and ``join_bits`` are for a person to judge.
        most_people: a phone with more people than this names nobody. Below
            ``identity.sharing.MOST_HOLDERS``.
        learnt_from: how many records the epoch was learnt from.
        feature_key: version of the features key that the keys of ``frequencies`` are of.
    """

    prior: float
    weights: Mapping[str, Weights]
    frequencies: Mapping[str, Mapping[int, float]]
    join_bits: float
    suggest_bits: float
    most_people: int
    learnt_from: int = 0  # records
    feature_key: int = 1

    @property
    def prior_bits(self) -> float:
        """The prior as log2 odds."""
        return math.log2(self.prior / (1 - self.prior))

    def bits(self, comparison: str, level: int) -> float:
        """log2(m/u) of a level number (0 is "differs"), without frequency adjustment."""
        weights = self.weights[comparison]
        m, u = weights[len(weights) - 1 - level]
        return math.log2(m / u)

    def to_json(self) -> dict[str, Any]:
        """A plain object for storing and reading; see invariant 3."""
        return {
            "version": VERSION,
            "feature_version": features.VERSION,
            # Left out for the first, as in files of before there was another.
            **({"feature_key": self.feature_key} if self.feature_key > 1 else {}),
            "learnt_from": self.learnt_from,
            "prior": self.prior,
            "join_bits": self.join_bits,
            "suggest_bits": self.suggest_bits,
            "most_people": self.most_people,
            "comparisons": {
                comparison.name: [
                    {"level": level.label, "m": m, "u": u, "bits": round(math.log2(m / u), 3)}
                    for level, (m, u) in zip(
                        comparison.levels, self.weights[comparison.name], strict=True
                    )
                ]
                for comparison in COMPARISONS
            },
            "frequencies": {
                feature: {str(key): share for key, share in sorted(shares.items())}
                for feature, shares in sorted(self.frequencies.items())
            },
        }

    def to_text(self) -> str:
        """The epoch file."""
        return json.dumps(self.to_json(), ensure_ascii=False, indent=1)

    def rekeyed(self, version: int, change: Callable[[list[int]], list[int]]) -> "Model":
        """The same epoch for features under another key; see ``identity.features.rekeyed``."""
        told = {
            feature: dict(zip([0, *change(keys)], [shares[0], *map(shares.__getitem__, keys)],
                              strict=True))
            for feature, shares in self.frequencies.items()
            for keys in [[key for key in shares if key]]
        }  # fmt: skip
        return replace(self, frequencies=told, feature_key=version)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Model":
        """Read what ``to_json`` gave.

        Raises:
            ModelVersionError: another version of the file or of the features.
        """
        if stored.get("version") != VERSION or stored.get("feature_version") != features.VERSION:
            raise ModelVersionError(
                "This identity model was made by another version of Kith; "
                "run `cdp identity resolve --retrain` to make a new one."
            )
        try:
            return cls(
                prior=_number(stored["prior"], 0, 1),
                weights={
                    comparison.name: _weights(comparison, stored["comparisons"][comparison.name])
                    for comparison in COMPARISONS
                },
                frequencies={
                    feature: _frequencies(shares)
                    for feature, shares in stored["frequencies"].items()
                },
                join_bits=_number(stored["join_bits"]),
                suggest_bits=_at_most(_number(stored["suggest_bits"]), stored["join_bits"]),
                # Above, a number that is to name nobody would be evidence again.
                most_people=int(_number(stored["most_people"], 0, MOST_HOLDERS)),
                learnt_from=int(_number(stored["learnt_from"], -1)),
                feature_key=int(_number(stored.get("feature_key", 1), 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelVersionError(
                "This identity model is damaged; "
                "run `cdp identity resolve --retrain` to make a new one."
            ) from error


# Thresholds of a new epoch, before anything is learnt. Measured on the made-up retailer
# of `cdp demo`; docs/howto/choose-thresholds.md shows how to choose your own.
UNTRAINED = Model(
    prior=1e-4, weights={}, frequencies={}, join_bits=2.0, suggest_bits=-3.0, most_people=4
)


def _weights(comparison: Any, stored: list[dict[str, Any]]) -> Weights:
    if [level["level"] for level in stored] != [level.label for level in comparison.levels]:
        raise ValueError("levels differ")
    return tuple((_at_most(_number(level["m"], 0), 1), _number(level["u"], 0)) for level in stored)


def _frequencies(stored: Mapping[str, Any]) -> dict[int, float]:
    shares = {int(key): _number(share, 0) for key, share in stored.items()}
    if 0 not in shares:
        raise ValueError("no share for rarer values")
    return shares


def _number(stored: Any, above: float = -math.inf, below: float = math.inf) -> float:
    """A number between the bounds; 4 and 4.0 are one number, and one epoch."""
    if isinstance(stored, bool) or not isinstance(stored, int | float):
        raise TypeError("no number")
    if not above < stored < below:
        raise ValueError("no such number")
    return float(stored)


def _at_most(number: float, most: float) -> float:
    if number > most:
        raise ValueError("too large")
    return number
