"""What a command says when its database gives up: a rule, what to do, and no text of its own."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp import cli
from cdp.errors import Stop
from cdp.storage import embedded

CANARY = "13957140286"


class Refusal(Exception):  # noqa: N818 - stands for the driver's
    """An error of the driver, with its SQLSTATE."""

    def __init__(self, code: str | None) -> None:
        super().__init__(CANARY)
        self.pgcode = code


@pytest.mark.parametrize(
    ("code", "rule", "step"),
    [
        ("53100", "disk_full", "make room where the database lies"),
        ("53200", "database_out_of_memory", "give the server more memory"),
        ("53300", "too_many_connections", "end others"),
        ("25006", "database_read_only", "name the primary in CDP_DATABASE_URL"),
        ("57P01", "database_gone", "see that the server is up"),
        (None, "database_gone", "see that the server is up"),
        ("XX000", "database_failed", "look at the server's log"),
    ],
)
def test_what_the_database_refused_has_a_next_step(
    code: str | None,
    rule: str,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk at three in the morning is called so."""

    def fail(**_: Any) -> None:
        raise sa.exc.OperationalError(CANARY, {"phone": CANARY}, Refusal(code))

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert not said.out
    assert f"sqlstate {code or 'connection lost'}: {rule}; next: {step}" in said.err
    assert CANARY not in said.err


@pytest.mark.parametrize(("free", "rule"), [(0, "disk_full"), (2**40, "database_not_starting")])
def test_a_server_that_does_not_start_says_whether_the_disk_is_full(
    free: int, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the embedded one; otherwise its log is named."""

    class Package:
        class PostgresServer:
            _instances: dict[Path, Any] = {}  # noqa: RUF012 - as the package has it

        @staticmethod
        def get_server(_: Path) -> None:
            raise subprocess.SubprocessError

    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(embedded, "_package", lambda: Package)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Stop, match=rule) as stop:
        embedded.start(tmp_path / "postgres")
    assert str(tmp_path) in str(stop.value)
