"""Which encoding a text file is in, judged line by line.

In every encoding here a line break, a quote, a comma, a semicolon and a tab are single bytes that
are part of no other character, so a file can be cut into lines before it is decoded. UTF-16 is not
like that and is refused.

A guess that may be wrong is none: where two encodings do as well and say another thing, a person
has to declare which it is.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import cache
from typing import BinaryIO, Final

from connectors.base import Finding, Level
from connectors.sources import alphabets

DECLARABLE: Final = (
    "auto", "utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "shift_jis", "cp932",
    "cp1250", "cp1251", "cp1252", "koi8-r",
)  # fmt: skip
"""As the JSON schema has them."""
SAMPLE_BYTES: Final = 64 * 1024
DOUBT_LINES: Final = 3  # so many lines must speak against an encoding before it is doubted
SAMPLE_LINES: Final = 1000  # with a byte above 127; plain ASCII says nothing
SURE: Final = 0.8  # of the characters must be usual in a language, for its encoding to be believed
_WEIGHED_LINES: Final = 200
_CANDIDATES: Final = ("utf-8", "gb18030", "big5")
_TWO_BYTE: Final = ("gb18030", "cp932", "big5")  # of two that do as well, the first
# How likely a character of theirs is: logarithms, beside those of ``alphabets``.
_USUAL, _RARE, _NOBODYS, _KANA, _BROKEN = -7.0, -14.0, -20.0, -4.2, -10.0
# So much likelier must an alphabet be than characters of two bytes to be believed, and so much less
# likely may it be and still be possible.
_CLEARLY, _NEARLY = 8.0, 3.0
# Marks, syllables and the characters that are taught first: lead bytes, and the least trail byte.
_FIRST_LEVEL: Final = {
    "gb18030": (((0xA1, 0xA9), (0xB0, 0xD7)), 0xA1),
    "big5": (((0xA1, 0xC6),), 0x40),
    "cp932": (((0x81, 0x83), (0x88, 0x97)), 0x40),
}
_DECLARED_ONLY: Final = frozenset({"koi8-r"})  # Hebrew looks like it, and it is rare by now
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
    best = [] if "utf-8" in found else contenders(telling)
    return [*best, *(one for one in found if one not in best)]


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


def detect(lines: Iterable[bytes]) -> str | None:
    """The encoding that most of the lines with non-ASCII bytes are in.

    Text in another encoding is hardly ever valid UTF-8, so a line that is valid UTF-8 is taken as
    such, and a few broken lines do not change the verdict on the others. What is not UTF-8 is what
    makes sense (`likely`), and GB18030 where nothing does: this house meets it most. Looks at the
    first ``SAMPLE_LINES`` telling lines; without any the answer is ``utf-8``.

    Returns:
        None: it may be one of several (`contenders`), and only a person can tell.
    """
    telling = _telling(lines)
    votes = [decodes(line, "utf-8") for line in telling]
    if 2 * sum(votes) >= len(votes):
        return "utf-8"
    if 2 * sum(decodes(line, "gb18030") for line in telling) >= len(telling):
        met_most = "gb18030"
    else:
        met_most = None
    found = contenders(telling)
    return (found[0] if _is_one(found) else None) if found else met_most


def likely(lines: Sequence[bytes]) -> str | None:
    """The encoding other than UTF-8 in which lines make sense; None where none does clearly."""
    found = contenders(lines)
    return found[0] if _is_one(found) else None


def contenders(lines: Sequence[bytes]) -> list[str]:
    """The encodings other than UTF-8 in which lines make sense, and cannot be told apart.

    A wrong encoding decodes as well, into characters that nobody writes: ``Straße`` of Western
    Windows is valid GB18030 with a rare character in it. So characters are counted that the
    language of an encoding uses every day, and letters are weighed by how often they are used.
    """
    looked = [line for line in lines[:_WEIGHED_LINES] if not line.isascii()]
    if not looked:
        return []
    shares = {encoding: _share(looked, encoding) for encoding in _TWO_BYTE}
    best = max(shares, key=lambda one: shares[one])
    chinese = [best] if shares[best] >= SURE else []
    letters = alphabets.weighed(looked)
    first = letters[0]
    as_likely = {encoding: _likelihood(looked, encoding) for encoding in _TWO_BYTE}
    ahead = first.likelihood - max(as_likely.values())
    if not first.makes_sense or ahead <= -_NEARLY:
        return chinese
    found = alphabets.contenders(letters)
    other = chinese or [max(as_likely, key=lambda one: as_likely[one])]
    return found if ahead >= _CLEARLY else [*other, *found]


def _is_one(found: Sequence[str]) -> bool:
    return len(found) == 1 and found[0] not in _DECLARED_ONLY


def _say_the_same(lines: Iterable[bytes], one: str, other: str) -> bool:
    """Whether lines say the same in two encodings: umlauts do in those of Windows for Europe."""
    return all(line.decode(one, "ignore") == line.decode(other, "ignore") for line in lines)


def _telling(lines: Iterable[bytes]) -> list[bytes]:
    looked = itertools.islice((line for line in lines if not line.isascii()), SAMPLE_LINES)
    return [line.removeprefix(_MARK) for line in looked]


def _share(lines: Iterable[bytes], encoding: str) -> float:
    """Of the characters beyond ASCII, how many are everyday ones in the language of an encoding."""
    usual = found = 0
    everyday = _everyday(encoding)
    for line in lines:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            found += 1  # one broken line is no argument against the others
            continue
        # half-width katakana are single bytes, which all text of two-byte characters seems to have
        weighed = [one for one in text if one > "\x7f" and not _is_kana(one)]
        found += len(weighed)
        usual += sum(one in everyday for one in weighed)
    return usual / found if found else 0.0


def _likelihood(lines: Iterable[bytes], encoding: str) -> float:
    """How likely lines are in an encoding of two bytes, as `alphabets` has it of the others."""
    everyday, found = _everyday(encoding), 0.0
    for line in lines:
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            found += _BROKEN * sum(byte > 127 for byte in line)
            continue
        for left, one, right in zip(f" {text}", text, f"{text[1:]} ", strict=False):
            if one <= "\x7f":
                continue
            if _is_kana(one):  # in Latin text every letter seems to be one
                alone = any(other.isascii() and other.isalpha() for other in (left, right))
                found += _RARE if alone else _KANA
            elif one in everyday:
                found += _USUAL
            else:
                found += _NOBODYS if "\ue000" <= one <= "\uf8ff" else _RARE
    return found


def _is_kana(one: str) -> bool:
    """Whether a character is a half-width katakana: a single byte."""
    return "\uff61" <= one <= "\uff9f"


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


def detect_file(file: BinaryIO, line_limit: int) -> str | None:
    """``detect`` on an open file, which is left at its beginning."""
    file.seek(0)
    found = detect(iter(lambda: file.readline(line_limit), b""))
    file.seek(0)
    return found


def choice(file: BinaryIO) -> str:
    """The next step where ``detect_file`` cannot tell: which encodings it may be."""
    found = contenders([line for line in sample_of(file).splitlines() if not line.isascii()])
    these = f"It may be {' or '.join(found)}, which say different things. " if found else ""
    return f"{these}Declare the encoding (cdp source init: --with encoding=NAME), or save as utf-8."


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
    if len(telling) < DOUBT_LINES or found is None or _say_the_same(telling, found, encoding):
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
