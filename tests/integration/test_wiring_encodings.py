"""``cdp source init`` on a file in an encoding that cannot be told: a person says it."""

from pathlib import Path

import pytest

from tests.integration.test_wiring_files import Cdp, cdp

pytestmark = pytest.mark.integration
__all__ = ["cdp"]
TEXT = "member_no,name\nK1,Zdeněk\nK2,Eva\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One name that may be Czech, or of the West."""
    path = tmp_path / "members.csv"
    path.write_bytes(TEXT.encode("cp1250"))
    return path


def test_what_cannot_be_told_is_asked_for(cdp: Cdp, file: Path) -> None:
    """The refusal names the encodings that it may be, and how to say which."""
    refused = cdp("init", str(file), code=1)
    assert "encoding_unclear" in refused.err
    assert "cp1250" in refused.err
    assert "--with encoding=NAME" in " ".join(refused.err.split())
    assert "encoding: cp1250" in cdp("init", str(file), "--with", "encoding=cp1250").out


def test_an_encoding_that_nobody_knows_is_refused(cdp: Cdp, file: Path) -> None:
    """With those that there are."""
    refused = cdp("init", str(file), "--with", "encoding=latin-2", code=1)
    assert "encoding_unknown" in refused.err
    assert "koi8-r" in refused.err
