"""What it means to rotate each key: what goes on as before, and what it costs."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class After(StrEnum):
    """What comes after a new version."""

    NOTHING = "nothing"  # older versions stay readable, and that is all
    BRING_UNDER = "bring under"  # what is stored is brought under it, batch by batch
    AT_ONCE = "at once"  # what derives from the key changes at this moment, for everybody
    REFUSED = "refused"


class Rotation(NamedTuple):
    """How one purpose is rotated."""

    after: After
    means: str  # a sentence without a full stop
    instead: str = "rotate the other keys"  # where it is refused
    kept: bool = False  # whether older versions stay in the ring for good


ROTATIONS: Final = MappingProxyType(
    {
        "contact": Rotation(After.BRING_UNDER, "new data keys are wrapped with it"),
        "sensitive": Rotation(After.BRING_UNDER, "new data keys are wrapped with it"),
        "masked": Rotation(After.BRING_UNDER, "new data keys are wrapped with it"),
        "rejects": Rotation(After.BRING_UNDER, "rows rejected from now on are sealed with it"),
        "shreds": Rotation(After.NOTHING, "new lines of the shred ledger are sealed with it"),
        "api-keys": Rotation(After.AT_ONCE, "every API key stops working and is issued anew"),
        "sign-in": Rotation(
            After.AT_ONCE,
            "every session ends, recovery codes and open enrolments are issued anew; seeds of "
            "one-time codes come under it as people sign in",
        ),
        "webhook-secrets": Rotation(
            After.AT_ONCE, "every receiver of webhooks needs its new secret before it gets more"
        ),
        "published": Rotation(After.AT_ONCE, "the next publish sends everybody again"),
        "blind-index": Rotation(
            After.REFUSED, "indexes are made anew as their key is", "run: cdp index rotate"
        ),
        "features": Rotation(
            After.BRING_UNDER, "features are keyed once more, with it, from now on", kept=True
        ),
        "audit-signing": Rotation(
            After.NOTHING, "the log is signed with it, and older checkpoints verify as before"
        ),
        "records": Rotation(After.REFUSED, "record keys and profile ids derive from it, for good"),
    }
)
ALL: Final = (
    "contact", "sensitive", "masked", "rejects", "features", "shreds", "audit-signing", "root"
)  # fmt: skip
"""What ``cdp key rotate all`` rotates, in this order: the root comes last and wraps them all."""


def goes_on(purpose: str) -> bool:
    """Say whether a rotation goes on after the new version: rows are brought under it."""
    return purpose in ROTATIONS and ROTATIONS[purpose].after is After.BRING_UNDER
