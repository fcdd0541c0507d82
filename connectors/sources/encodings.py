"""Which encoding a text file is in, judged line by line.

In every encoding here a line break, a quote, a comma, a semicolon and a tab are single bytes that
are part of no other character, so a file can be cut into lines before it is decoded. UTF-16 is not
like that and is refused.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import cache
from typing import BinaryIO, Final

from connectors.base import Finding, Level

SAMPLE_BYTES: Final = 64 * 1024
DOUBT_LINES: Final = 3  # so many lines must speak against an encoding before it is doubted
SAMPLE_LINES: Final = 1000  # with a byte above 127; plain ASCII says nothing
SURE: Final = 0.8  # of the characters must be usual in a language, for its encoding to be believed
_WEIGHED_LINES: Final = 200
_CANDIDATES: Final = ("utf-8", "gb18030", "big5")
_OTHERS: Final = ("cp932", "big5", "cp1252")
# Marks, syllables and the characters that are taught first: lead bytes, and the least trail byte.
_FIRST_LEVEL: Final = {
    "gb18030": (((0xA1, 0xA9), (0xB0, 0xD7)), 0xA1),
    "big5": (((0xA1, 0xC6),), 0x40),
    "cp932": (((0x81, 0x83), (0x88, 0x97)), 0x40),
}
_LATIN_SIGNS: Final = frozenset("€£§°´’‘–“”„«»·\xa0")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_MARK: Final = b"\xef\xbb\xbf"
_TWO_BYTES: Final = frozenset({"gb18030", "big5"})
_CHINESE: Final = frozenset(
    [*range(0x3000, 0x3020), *range(0x4E00, 0xA000), *range(0xFF00, 0xFF66)]
)


def codec(encoding: str) -> str:
    """The codec for a declared encoding; marks are cut off by the reader, not by the codec."""
    # GB18030 holds GBK and GB2312 and also what exports labelled with those names really contain;
    # so does CP932, of Japanese Windows, with Shift JIS: names as 髙橋 are in it alone.
    return {
        "utf-8-sig": "utf-8",
        "gbk": "gb18030",
        "gb2312": "gb18030",
        "shift_jis": "cp932",
    }.get(encoding, encoding)


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
    found = [encoding for encoding in _CANDIDATES if decodes(sample, encoding)]
    telling = [line for line in sample.splitlines() if not line.isascii()]
    best = None if "utf-8" in found else likely(telling)
    return found if best is None else [best, *(one for one in found if one != best)]


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
    """The encoding that most of the lines with non-ASCII bytes are in.

    Text in another encoding is hardly ever valid UTF-8, so a line that is valid UTF-8 is taken as
    such, and a few broken lines do not change the verdict on the others. What is not UTF-8 is
    GB18030, unless it makes better sense in another one (`likely`). Looks at the first
    ``SAMPLE_LINES`` telling lines; without any the answer is ``utf-8``.
    """
    looked = itertools.islice((line for line in lines if not line.isascii()), SAMPLE_LINES)
    telling = [line.removeprefix(_MARK) for line in looked]
    votes = [decodes(line, "utf-8") for line in telling]
    if 2 * sum(votes) >= len(votes):
        return "utf-8"
    return likely(telling) or "gb18030"


def likely(lines: Sequence[bytes]) -> str | None:
    """The encoding other than UTF-8 in which lines make sense; None where none does clearly.

    A wrong encoding decodes as well, into characters that nobody writes: ``Straße`` of Western
    Windows is valid GB18030 with a rare character in it. So characters are counted that the
    language of an encoding uses every day. Of two that do as well, it is GB18030: this house
    meets it most.
    """
    looked = lines[:_WEIGHED_LINES]
    shares = {encoding: _share(looked, encoding) for encoding in ("gb18030", *_OTHERS)}
    best = max(shares, key=lambda one: shares[one])
    return best if shares[best] >= SURE else None


def _share(lines: Iterable[bytes], encoding: str) -> float:
    """Of the characters beyond ASCII, how many are everyday ones in the language of an encoding."""
    usual = found = 0
    for line in lines:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            found += 1  # one broken line is no argument against the others
            continue
        # half-width katakana are single bytes, which all text of two-byte characters seems to have
        weighed = [one for one in text if one > "\x7f" and not "\uff61" <= one <= "\uff9f"]
        found += len(weighed)
        if encoding == "cp1252":
            usual += _latin(text)
        else:
            everyday = _everyday(encoding)
            usual += sum(one in everyday for one in weighed)
    return usual / found if found else 0.0


def _latin(text: str) -> int:
    """How many letters and signs beyond ASCII stand alone, as in Latin text nearly all do.

    The bytes of Chinese and Japanese text are letters of CP1252 too, but they come in pairs.
    """
    before, after = f" {text}", f"{text[1:]} "
    return sum(
        left < "\x80" <= here and right < "\x80" and (here.isalpha() or here in _LATIN_SIGNS)
        for left, here, right in zip(before, text, after, strict=False)
    )


@cache
def _everyday(encoding: str) -> frozenset[str]:
    """The first level of the characters of an encoding, with its marks and syllables."""
    leads, trail = _FIRST_LEVEL[encoding]
    return frozenset(
        bytes(pair).decode(encoding)
        for first, last in leads
        for pair in itertools.product(range(first, last + 1), range(trail, 0xFF))
        if decodes(bytes(pair), encoding)
    )


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
    found = detect(telling)
    if len(telling) < DOUBT_LINES or found == encoding:
        return
    broken = sum(not decodes(line, encoding) for line in telling)
    # GB18030 is also what is found where nothing is clear
    clear = found == "utf-8" or likely(telling) == found
    if clear or 2 * broken > len(telling):
        yield Finding(
            Level.WARNING,
            "encoding_doubtful",
            encoding,
            f"Most lines look like {found}: look at ten rows and declare the true encoding.",
        )
