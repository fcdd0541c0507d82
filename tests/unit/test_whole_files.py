"""Files that appear whole or not at all: `cdp/whole_files.py`, and what is written with it."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest
import yaml

from cdp import declaration
from cdp.cli import setup
from cdp.whole_files import whole_file
from tests.integration import in_process


def full(*_: object) -> None:
    """What a full disk says when it is to keep what was written."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier file stands, nothing lies beside it, and the error names the file."""
    out = tmp_path / "checkpoint"
    out.write_text("good", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as error, whole_file(out) as file:
        file.write("new")
    assert error.value.filename == str(out)
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]
    assert out.read_text("utf-8") == "good"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_has_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    """Whatever the umask; its folder is made."""
    before = os.umask(0o077)
    try:
        with whole_file(tmp_path / "new" / "file", mode) as file:
            file.write("text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == mode


def test_a_link_that_somebody_left_is_not_followed(tmp_path: Path) -> None:
    """The part is a new file, never through a link to another one."""
    other = tmp_path / "other"
    other.write_text("theirs", encoding="utf-8")
    (tmp_path / ".file.part").symlink_to(other)
    with whole_file(tmp_path / "file") as file:
        file.write("ours")
    assert other.read_text("utf-8") == "theirs"


def test_a_starter_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cdp init` on a full disk can be run again, and leaves no part behind."""
    monkeypatch.setattr(setup, "STARTER", "\ud800")  # cannot be encoded: stands for the disk
    with pytest.raises(UnicodeEncodeError):
        setup.write_starter(tmp_path / "cdp.yaml")
    assert list(tmp_path.iterdir()) == []


def test_a_declaration_stays_as_it_was_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cdp source init --write` says what is wrong with which file, and changes nothing."""
    path = tmp_path / "cdp.yaml"
    path.write_text(declaration.STARTER, encoding="utf-8")
    (tmp_path / "x.csv").write_text("card,phone\nK1,13957140286\n", encoding="utf-8")
    words = ("source", "init", str(tmp_path / "x.csv"), "--with", "loyalty_card=k", "--write")
    environment = {"CDP_CONFIG": str(path), "CDP_HOME": str(tmp_path / "home")}
    monkeypatch.setattr(os, "fsync", full)
    done = in_process.run(monkeypatch, capsys, words, environment, 1)
    assert f"path {path}" in done.err
    assert "No space left on device" in done.err
    assert path.read_text("utf-8") == declaration.STARTER
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cdp.yaml", "x.csv"]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """YAML keeps the last of two; here the first source would be gone without a word."""
    path = tmp_path / "cdp.yaml"
    text = declaration.STARTER.replace("sources: {}", "sources:\n  till: {}\n  app: {}\n  till: {}")
    with pytest.raises(declaration.Stop, match="key_twice") as stop:
        declaration.content_of(text, path)
    line = text.splitlines().index("  till: {}", text.splitlines().index("  app: {}")) + 1
    assert f"line {line} " in str(stop.value)
    assert "path" in str(stop.value)
    merged = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n1: one\n'1': text\n"
    assert declaration.content_of(merged, path) == yaml.safe_load(merged)


def test_what_is_no_yaml_is_told_by_its_place(tmp_path: Path) -> None:
    """Line and column, and nothing of what stands there."""
    for text in ("version: 1\nsources: [", "a: b: 13957140286", "a: *13957140286", "[" * 5000):
        with pytest.raises(declaration.Stop, match="declaration_unreadable") as stop:
            declaration.content_of(text, tmp_path / "cdp.yaml")
        assert "13957140286" not in str(stop.value)
        assert "line " in str(stop.value) or sys.getrecursionlimit() < len(text)
