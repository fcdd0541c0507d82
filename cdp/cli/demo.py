"""``cdp demo``: the main job from end to end on a made-up world."""

from enum import StrEnum
from typing import Annotated

import typer

from cdp.cli import output, session
from cdp.cli.journey import Journey


class WorldName(StrEnum):
    """The worlds there are."""

    RETAIL = "retail"
    FEBRL4 = "febrl4"


def demo(
    world: Annotated[WorldName, typer.Option(help="Which made-up world.")] = WorldName.RETAIL,
    people: Annotated[int, typer.Option(help="People of the retail world.", min=200)] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the retail world.")] = 1,
    as_json: session.Json = False,
) -> None:
    """Make a world, bring it in, find the people, tag, publish and audit. Ends by itself.

    Example: cdp demo --people 2000
    """
    journey = Journey.begin(session.settings(), world.value, people, seed)
    result = journey.run(quiet=as_json)
    if as_json:
        output.as_json(result)
