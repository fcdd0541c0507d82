"""One run under its tightest limit, in a process of its own: `python -m ... RECORDS`.

Prints the limit, and by how much the process grew beside the table it was given, in bytes.
"""

import gc
import sys
from pathlib import Path

from benchmarks import people
from identity import batch, memory
from identity.duckdb_engine import Limits
from identity.errors import NotEnoughMemoryError
from identity.model import UNTRAINED


def held(word):
    """One line of the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(word))


def main(records):
    """Find the limit on one crowd, and measure a second run under it."""
    few = people.keyed(people.draw(3_000, seed=2))
    _, model = batch.resolve(few, None, UNTRAINED, Limits(4_000, 2))
    crowd = people.keyed(people.draw(records, seed=1))
    limit_mb = 1
    while True:
        gc.collect()
        before = held("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
        try:
            batch.resolve(crowd, model, UNTRAINED, Limits(limit_mb, 2))
        except NotEnoughMemoryError as error:
            limit_mb = error.needed_mb
        else:
            break
    sys.stdout.write(f"{limit_mb * memory.MB} {held('VmHWM') - before + crowd.nbytes}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
