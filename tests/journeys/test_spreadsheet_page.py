"""The page about moving from a spreadsheet, typed as it stands."""

import shlex
from pathlib import Path

import pytest

from cdp.declaration import STARTER
from tests.journeys.commands import Shell
from tests.presets import retailer
from tests.test_docs import DOCS, blocks, settled

PAGE = DOCS / "howto" / "from-a-spreadsheet.md"


@pytest.mark.integration
@pytest.mark.journey
def test_the_page_works_as_written(tmp_path: Path, home: Path, database_url: str) -> None:
    """With a workspace and the list of the page, each command gives what the page shows."""
    (tmp_path / "cdp.yaml").write_text(STARTER, encoding="utf-8")
    retailer.write_sample("member_sheet", tmp_path / "members.xlsx")
    shell = Shell(tmp_path, database_url, home)
    shell.run("init")
    printed = ""
    for line in "".join(blocks(PAGE, frozenset({"sh"}))).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "cdp"
        done = shell.run(*arguments)
        printed += done.out + done.err
    for shown in blocks(PAGE, frozenset({"text"})):
        assert settled(shown) in settled(printed)
