"""Files that appear whole or not at all: what was there before stays until the new one is written.

A disk that is full, or a kill in the middle, must not leave half a declaration, or an empty
checkpoint where a good one was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

PRIVATE: Final = 0o600
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # never through a link that somebody left


@contextmanager
def whole_file(out: Path, mode: int = PRIVATE) -> Iterator[TextIO]:
    """A text file that is there when the block ends well; its folder is made.

    Raises:
        OSError: it cannot be written. It names the file, also where the disk is full.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    # One name for all runs, so that what a killed run leaves is overwritten by the next.
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, _NEW, mode), "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(mode)  # whatever the umask
        part.replace(out)
    except OSError as error:
        if error.filename is None:
            error.filename = str(out)
        raise
    finally:
        part.unlink(missing_ok=True)
