"""Which encoding a text file is in, judged line by line.

In every encoding here a line break, a quote, a comma, a semicolon and a tab are single bytes that
are part of no other character, so a file can be cut into lines before it is decoded. UTF-16 is not
like that and is refused.
"""

import itertools
from collections.abc import Iterable
from typing import BinaryIO, Final

from connectors.base import Finding, Level

SAMPLE_BYTES: Final = 64 * 1024
DOUBT_LINES: Final = 3  # so many lines must speak against an encoding before it is doubted
SAMPLE_LINES: Final = 1000  # with a byte above 127; plain ASCII says nothing
_CANDIDATES: Final = ("utf-8", "gb18030", "big5")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_MARK: Final = b"\xef\xbb\xbf"
_TWO_BYTES: Final = frozenset({"gb18030", "big5"})
_CHINESE: Final = frozenset(
    [*range(0x3000, 0x3020), *range(0x4E00, 0xA000), *range(0xFF00, 0xFF66)]
)


def codec(encoding: str) -> str:
    """The codec for a declared encoding; marks are cut off by the reader, not by the codec."""
    # GB18030 holds GBK and GB2312 and also what exports labelled with those names really contain.
    return {"utf-8-sig": "utf-8", "gbk": "gb18030", "gb2312": "gb18030"}.get(encoding, encoding)


def decodes(data: bytes, encoding: str) -> bool:
    """Whether ``data`` is valid in ``encoding``."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def is_utf16(data: bytes) -> bool:
    """Whether ``data`` begins like UTF-16: with its mark, or with ASCII letters two bytes wide."""
    return data.startswith(_UTF16_MARKS) or (len(data) > 3 and data[1] == 0 and data[3] == 0)


def would_decode(sample: bytes) -> list[str]:
    """The encodings in which ``sample`` is valid, most telling first."""
    if is_utf16(sample):
        return ["utf-16"]
    return [encoding for encoding in _CANDIDATES if decodes(sample, encoding)]


def is_rather_utf8(line: bytes, encoding: str) -> bool:
    """Whether a line that decodes as ``encoding`` is UTF-8 all the same: files get mixed.

    Bytes that are valid UTF-8 and give nothing but Chinese characters are hardly ever text of the
    two-byte encodings, which would make other, rare characters of them.
    """
    if encoding not in _TWO_BYTES or line.isascii():
        return False
    try:
        text = line.removeprefix(_MARK).decode()
    except UnicodeDecodeError:
        return False
    return all(one in _CHINESE for one in map(ord, text) if one > 127)


def whole_lines(sample: bytes) -> bytes:
    """``sample`` up to its last line break, so that a cut character does not mislead."""
    end = sample.rfind(b"\n")
    return sample if end < 0 else sample[: end + 1]


def detect(lines: Iterable[bytes]) -> str:
    """``utf-8`` or ``gb18030``, whichever most of the lines with non-ASCII bytes are in.

    Text in GB18030 is hardly ever valid UTF-8, so a line that is valid UTF-8 is taken as such, and
    a few broken lines do not change the verdict on the others. Looks at the first
    ``SAMPLE_LINES`` telling lines; without any the answer is ``utf-8``.
    """
    telling = itertools.islice((line for line in lines if not line.isascii()), SAMPLE_LINES)
    votes = [decodes(line.removeprefix(_MARK), "utf-8") for line in telling]
    return "utf-8" if 2 * sum(votes) >= len(votes) else "gb18030"


def detect_file(file: BinaryIO, line_limit: int) -> str:
    """``detect`` on an open file, which is left at its beginning."""
    file.seek(0)
    found = detect(iter(lambda: file.readline(line_limit), b""))
    file.seek(0)
    return found


def sample_of(file: BinaryIO) -> bytes:
    """The first lines of an open file, whose position stays where it was."""
    here = file.tell()
    file.seek(0)
    sample = whole_lines(file.read(SAMPLE_BYTES))
    file.seek(here)
    return sample


def advice(sample: bytes, encoding: str) -> str:
    """The next step when ``sample`` is not in ``encoding``."""
    others = [one for one in would_decode(sample) if one != encoding]
    if not others or others == ["utf-16"]:
        return f"{'It looks like utf-16. ' if others else ''}Save the file as utf-8."
    return f"These would decode it: {', '.join(others)}. Declare one, or save the file as utf-8."


def doubts(file: BinaryIO, encoding: str) -> Iterable[Finding]:
    """A finding when the first lines of ``file`` speak against the encoding it is read in."""
    telling = [line for line in sample_of(file).splitlines() if not line.isascii()]
    likely = detect(telling)
    if len(telling) < DOUBT_LINES or likely == encoding:
        return
    broken = sum(not decodes(line, encoding) for line in telling)
    if likely == "utf-8" or 2 * broken > len(telling):
        yield Finding(
            Level.WARNING,
            "encoding_doubtful",
            encoding,
            f"Most lines look like {likely}: look at ten rows and declare the true encoding.",
        )
