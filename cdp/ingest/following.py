"""How a table that nobody has declared may be followed: by which column, and what means deleted.

Pure, from headings and kinds alone. A guess that is wrong would miss rows or destroy records, so
what is not sure stands in the draft as a comment.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from cdp.ingest.headings import compact

# As systems name them; compared without case, spaces and underscores.
CHANGED: Final = (
    "updatedat", "updatetime", "updatedtime", "updatedon", "lastupdated", "lastupdatedat",
    "lastupdatetime", "modifiedat", "modifiedtime", "modifytime", "modifiedon", "lastmodified",
    "lastmodifiedat", "lastmodifiedtime", "gmtmodified", "changedat", "changetime", "lastchanged",
    "mtime", "systemmodstamp", "更新时间", "修改时间", "最后更新时间", "最后修改时间",
)  # fmt: skip
GONE_AT: Final = ("deletedat", "deletetime", "deletedon", "removedat", "gmtdeleted", "删除时间")
IS_GONE: Final = (
    "isdeleted", "deleted", "deleteflag", "delflag", "isdel", "isremoved", "删除标记", "是否删除",
)  # fmt: skip
SAID: Final = ("1", "true", "t", "yes", "y", "是")  # what a mark of deletion says
_BARE: Final = re.compile(r"[^\W\d]\w*", re.ASCII)


def cursor_of(kinds: Mapping[str, str], filled: Collection[str]) -> str | None:
    """The column that grows with every change: of times, filled in every row."""
    for name in CHANGED:
        for column, kind in kinds.items():
            if compact(column) == name and kind == "time" and column in filled:
                return column
    return None


def deletion_of(kinds: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """The column that says deleted, and the values that say so (none: any)."""
    for column, kind in kinds.items():
        name = compact(column)
        if name in GONE_AT and kind in {"time", "text"}:
            return column, ()
        if name in IS_GONE and kind in {"number", "truth", "text"}:
            return column, SAID
    return None


def lines_of(
    table: str, kinds: Mapping[str, str], filled: Collection[str], dsn: str
) -> Iterator[str]:
    """The lines of a draft that say how a table is followed; ``dsn`` is a reference."""
    yield f"table: {_scalar(table)}"
    cursor = cursor_of(kinds, filled)
    if cursor is None:
        yield "mode: full  # no column of times looks like updated_at"
    else:
        yield "mode: incremental"
        yield "# The overlap is in seconds: as long as your longest transaction."
        yield f"cursor: {{column: {_scalar(cursor)}, overlap: 60}}"
    gone = deletion_of(kinds)
    if gone is not None:
        column, values = gone
        said = f", values: [{', '.join(map(json.dumps, values))}]" if values else ""
        yield "# Take the # away if it is so: records that it names are destroyed here."
        yield f"# deleted: {{column: {_scalar(column)}{said}}}"
    yield f"credentials: {{dsn: {dsn}}}"


def _scalar(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
