"""Write a table to a CSV file (RFC 4180), all of it or nothing.

Invariants, each named by a test in ``tests/unit/connectors/test_csv_destination.py``:

1. A reader sees the old file or the whole new one, never a part.
2. Only the owner can read it (mode 0600), from its first byte on.
3. A field outside the contract is refused, not dropped.
4. No cell is evaluated by a spreadsheet.
5. A sealed value is refused: whoever publishes must have decided to open it.
"""

import csv
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

from connectors.base import Row
from connectors.destination_declaration import DestinationDeclaration
from connectors.errors import Stop
from connectors.formula import safe_cell
from connectors.record import Sensitive

LIST_SEPARATOR: Final = ";"


class CsvFileDestination:
    """One file with a fixed heading."""

    def __init__(self, declaration: DestinationDeclaration, folder: Path) -> None:
        self._declaration = declaration
        self._path = folder / declaration.location

    @property
    def name(self) -> str:
        """The name the declaration gives the destination."""
        return self._declaration.name

    @property
    def header(self) -> tuple[str, ...]:
        """The contracted fields, in order."""
        return self._declaration.fields

    def write(self, rows: Iterable[Row]) -> int:
        """Replace the file with the heading and ``rows``; returns the number of rows.

        A field that a row lacks is an empty cell; a list is joined by ``;``.

        Raises:
            Stop: when a row breaks the contract or the file cannot be written. The old file stays.
        """
        try:
            # Missing folders are made for the owner only: what will lie in them is personal.
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(
                dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".part"
            )
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            with os.fdopen(descriptor, "w", encoding=self._encoding(), newline="") as file:
                written = self._write_all(file, rows)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path)
            self._sync_folder()
        except OSError as error:
            raise self._unwritable(error) from None
        except UnicodeEncodeError:  # from None: it holds the cell
            step = "Remove half surrogate pairs from the text."
            raise Stop(self.name, "broken_text", step) from None
        finally:
            Path(temporary).unlink(missing_ok=True)
        return written

    def _encoding(self) -> str:
        return "utf-8-sig" if self._declaration.bom else "utf-8"

    def _write_all(self, file: IO[str], rows: Iterable[Row]) -> int:
        writer = csv.writer(file)
        writer.writerow(self.header)
        written = 0
        for written, row in enumerate(rows, start=1):
            outside = set(row).difference(self.header)
            if outside:
                raise Stop(
                    self.name,
                    "field_outside_contract",
                    f"Declare {', '.join(sorted(outside))} or do not send it.",
                    position=written,
                )
            writer.writerow([self._cell(row.get(field), field, written) for field in self.header])
        return written

    def _cell(self, value: object, field: str, position: int) -> str:
        if isinstance(value, list | tuple):
            return safe_cell(
                LIST_SEPARATOR.join(self._plain(one, field, position) for one in value)
            )
        return safe_cell(self._plain(value, field, position))

    def _plain(self, value: object, field: str, position: int) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        if isinstance(value, Sensitive):
            rule, step = "sealed_value", "Open the value by policy before publishing it."
        else:
            rule, step = "not_plain", "Send text, numbers, true, false, or a list of them."
        raise Stop(self.name, rule, step, position=position, field=field)

    def _sync_folder(self) -> None:
        # without this the rename itself may be lost when the machine stops
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unwritable(self, error: OSError) -> Stop:
        location = self._declaration.location
        return Stop(self.name, "file_unwritable", f"Allow writing {location} ({error.strerror}).")
