from dataclasses import dataclass
from pathlib import Path

import pytest

from cdp.demo.world import World, write_world

PEOPLE = 1500


@dataclass(frozen=True)
class Written:
    """A world in memory and the folder that holds its files."""

    world: World
    folder: Path


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A small world, in memory and on disk."""
    folder = tmp_path_factory.mktemp("world")
    return Written(write_world(folder, people=PEOPLE, seed=7), folder)
