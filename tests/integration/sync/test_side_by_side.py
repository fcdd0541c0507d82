"""What a process that syncs one of several sources is made of."""

import subprocess
import sys

CRASHING = """
import os
from cdp.ingest import side_by_side
side_by_side.end_with(os.getppid())
canary = "13912345678"
raise ValueError(canary)
"""


def test_a_worker_that_crashes_shows_no_value():
    """Its hooks are taken like those of every other process of ours."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert '"event": "crash"' in ended.stderr
    assert "13912345678" not in ended.stderr
    assert "Traceback" not in ended.stderr
