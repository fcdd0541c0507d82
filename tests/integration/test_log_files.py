"""The log of changes of the embedded server."""

import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.storage import embedded

pytestmark = pytest.mark.integration

SIZE = 16 * 2**20


def test_no_commit_waits_until_a_new_log_file_is_written_full() -> None:
    """Old ones are deleted, so there is always a new one: it takes room as it fills."""
    with tempfile.TemporaryDirectory(prefix="kith-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the embedded server has a user of its own
        engine = sa.create_engine(embedded.start(folder / "postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                for at in range(3):  # the next file may be there from before it was told
                    connection.execute(sa.text("SELECT pg_switch_wal()"))
                    connection.execute(sa.text(f"CREATE TABLE public.some_{at} (one integer)"))
                segment = sa.text("SELECT pg_walfile_name(pg_current_wal_lsn())")
                file = (folder / "postgres" / "pg_wal" / str(connection.scalar(segment))).stat()
        finally:
            engine.dispose()
            embedded.stop(folder / "postgres")
    assert file.st_size == SIZE
    assert file.st_blocks * 512 < SIZE / 2
