"""Say in words in which circumstances something holds. Pure."""

from collections.abc import Collection

from policies.vocabulary import EVERY_CIRCUMSTANCES, Circumstances


def when(held: Collection[Circumstances]) -> str:
    """Describe a set of combinations, such as ``always``, ``on_shift`` or ``unless at_store``.

    Args:
        held: combinations, each complete: what it does not name does not hold.
    """
    if grows(held):
        return _least(held)
    rest = [one for one in EVERY_CIRCUMSTANCES if one not in held]
    if held and grows(rest):
        return f"unless {_least(rest)}"
    words = (one.word if one else "none of them" for one in sorted(held))
    return f"exactly {' or '.join(words)}" if held else "never"


def least(held: Collection[Circumstances]) -> list[Circumstances]:
    """Return the combinations that hold without any part of them being enough."""
    return [
        one for one in sorted(held) if not any(less != one and less & one == less for less in held)
    ]


def grows(held: Collection[Circumstances]) -> bool:
    """Say whether more circumstances never take away what fewer give."""
    return bool(held) and all(
        more in held for one in held for more in EVERY_CIRCUMSTANCES if one & more == one
    )


def _least(held: Collection[Circumstances]) -> str:
    return " or ".join(one.word for one in least(held))
