"""Names in Han characters, alone in their field or inside a clerk's remark."""

import re
from dataclasses import replace

from cdp.ingest.normalise.name_parts import Name, NameKind, Script
from cdp.ingest.normalise.name_words import (
    EVERYDAY_WORDS,
    HAN_FAMILIAR,
    HAN_KIN_TITLES,
    HAN_LABELS,
    HAN_ORGANISATIONS,
    HAN_PLACES,
    HAN_RELATIVES,
    HAN_SHORT_TITLES,
    HAN_TITLES,
    NO_NAMES,
)
from cdp.ingest.normalise.result import Problem
from cdp.ingest.normalise.surnames import (
    COMMON_SURNAMES,
    TRANSLITERATED_OPENINGS,
    is_tibetan,
    split_surname,
)
from cdp.ingest.normalise.titles import sex_told

# Kana and Hangul: beside them, Han characters belong to a Japanese or Korean name.
SYLLABARIES = re.compile("[\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3]")
HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")

_NOT_A_NAME = Problem("not_a_name", "map a column that holds one person's name")
_ORGANISATION = Problem("organisation", "leave it: an organisation is no person")

_DOTS = re.compile("[·•‧∙⋅・.•᛫⸱]+")
_MASKS = re.compile("[*●○◯□✱﹡×＊]+")
_FOREIGN = re.compile("[^\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff·*]+")
_ONLY_HAN = re.compile("[\u4e00-\u9fff]{2,4}")
_SEPARATORS = re.compile(r"[^\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff·*]+")
_TITLES = re.compile("(?:" + "|".join(sorted(HAN_TITLES, key=len, reverse=True)) + ")+$")
_TITLE_ENDS = frozenset(title[-1] for title in HAN_TITLES)
_LABELS = re.compile("|".join(sorted(HAN_LABELS, key=len, reverse=True)))
_STORE = re.compile("^(?:.{1,8}?店)+(?=.)")
_LONGEST_TOKEN = 12  # characters of one part of a transliterated name


def read_han(text: str, kind: NameKind) -> Name | Problem:
    """Return the name in a tidied text that holds Han characters; the rest is dropped.

    A field that is declared a name is believed: an unknown surname is still the first
    character. Forms of address go; what a mask hides stays hidden.
    """
    core = text if _ONLY_HAN.fullmatch(text) and "某" not in text else _core(text)
    if kind is NameKind.SURNAME:
        return _name(core, core, None)
    if kind is NameKind.GIVEN_NAME:
        return _name(core, None, core)
    bare = _without_title(core)
    if bare.endswith(HAN_ORGANISATIONS):
        return _ORGANISATION
    if not bare or bare in NO_NAMES:
        return _NOT_A_NAME
    return _addressed(core, bare)


def _addressed(text: str, bare: str) -> Name:
    """The name and what its form of address tells.

    李姐 is a 李, as 艳姐 is somebody called 艳. But 明哥 may be either: 明 is a rare surname and
    ends many given names, so neither part is told.
    """
    name = _parted(bare)
    called = text == bare + text[-1] and text[-1] in HAN_KIN_TITLES
    if called and name.surname == bare and len(bare) == 1 and bare not in COMMON_SURNAMES:
        name = _name(bare, None, None)
    return replace(name, sex=sex_told(text, bare))


def _core(text: str) -> str:
    """Keep Han characters, dots between them and masks."""
    text = _MASKS.sub(lambda run: "*" * len(run[0]), _DOTS.sub("·", text))
    text = _FOREIGN.sub("", text)
    text = re.sub("·+", "·", text).strip("·")
    if "某" in text[1:] and split_surname(text)[0] is not None:
        text = text[0] + text[1:].replace("某", "*")
    return text if HAN.search(text) else ""


def _without_title(core: str) -> str:
    """Drop forms of address: 张三先生 is 张三, 李姐 is 李, 老王 is 王."""
    bare = _TITLES.sub("", core) if core[-1] in _TITLE_ENDS else core
    if bare == core and core[-1] in HAN_SHORT_TITLES and _is_addressed(core):
        bare = core[:-1]
    if len(bare) > 1 and bare[0] in HAN_FAMILIAR and _is_surname(bare[1:]):
        bare = bare[1:]
    bare = bare.strip("·")
    return _without_title(bare) if bare and bare != core else bare


def _is_addressed(core: str) -> bool:
    return _is_surname(core[:-1]) or (len(core) == 2 and core[-1] in HAN_KIN_TITLES)


def _is_surname(text: str) -> bool:
    surname, rest = split_surname(text)
    return surname is not None and not rest


def _parted(core: str) -> Name:
    if "·" in core:
        return _dotted(core)
    if is_tibetan(core):
        return _name(core, None, core)
    surname, given = split_surname(core)
    if _shows_opening(core) and (surname is None or core[0] in TRANSLITERATED_OPENINGS):
        return _name(core, None, None)  # 阿**: what shows may be no surname
    if surname is None and 2 <= len(core) <= 4 and core[0] != "*":
        surname, given = core[0], core[1:]
    if len(core) > 4 and "*" not in core and (surname is None or len(given) > 3):
        return _name(core, None, None)  # transliterated without a dot: no part is certain
    return _name(core, surname, given or None)


def _shows_opening(core: str) -> bool:
    """Whether a mask leaves the first character alone, as in 张**."""
    return "*" in core and core.rstrip("*") == core[0]


def _dotted(core: str) -> Name:
    """买买提·艾力: the person's own name, then the father's or the family's."""
    parts = core.split("·")
    masked = "*" in core
    return Name(
        core,
        Script.HAN,
        parts[-1],
        "·".join(parts[:-1]),
        masked,
        not masked,
        tuple(sorted(parts)),
    )


def _name(core: str, surname: str | None, given: str | None) -> Name:
    masked = "*" in core
    known = surname is not None and given is not None
    whole = known or (surname is given and len(core) > 1) or is_tibetan(core)
    return Name(core, Script.HAN, surname, given, masked, whole and not masked, (core,))


def read_remark(text: str, labels: tuple[str, ...]) -> Name | Problem:
    """Return the name inside a remark such as 张三 朝阳店, VIP张三 or 李姐.

    The first part that looks like a name wins, then the first that is a surname with a form
    of address. A remark about a relative (王小明妈妈) names somebody else.
    """
    for label in labels:
        text = text.replace(label, " ")
    partial: Name | None = None
    for token in _tokens(text):
        name = _remark_token(token)
        if name is not None and (name.complete or name.masked):
            return name
        partial = partial or name
    return partial or _NOT_A_NAME


def _tokens(text: str) -> list[str]:
    text = _MASKS.sub(lambda run: "*" * len(run[0]), _DOTS.sub("·", text))
    parts = [part.strip("·") for part in _SEPARATORS.split(text)]
    return _joined([part for part in parts if part.strip("*·")])


def _joined(parts: list[str]) -> list[str]:
    """Put a surname and the given name behind it together: 刘 华云 is one person's name."""
    joined: list[str] = []
    for part in parts:
        before = joined[-1] if joined else ""
        if _is_surname(before) and len(part) <= 2 and seems_name(before + part):
            joined[-1] = before + part
        else:
            joined.append(part)
    return joined


def _remark_token(token: str) -> Name | None:
    bare = _bare(token)
    if not bare or bare.endswith(HAN_RELATIVES):
        return None
    if bare.endswith(HAN_PLACES) and len(bare) > 3:
        return _surname_only(bare)  # 张三朝阳店: where the name ends is not certain
    if "·" in bare or "*" in bare or seems_name(bare) or _is_surname(bare):
        return _addressed(_core(_LABELS.sub("", _STORE.sub("", token))) or bare, bare)
    return None


def _bare(token: str) -> str:
    """Drop stores, labels and forms of address, until none is left."""
    before = ""
    while token and token != before:
        before = token
        token = _core(_LABELS.sub("", _STORE.sub("", token)))
        token = _without_title(token) if token else token
        if len(token) > 2 and token[-1] in HAN_SHORT_TITLES and seems_name(token[:-1]):
            token = token[:-1]
    return token


def _surname_only(token: str) -> Name | None:
    surname, rest = split_surname(token)
    return _name(surname, surname, None) if surname is not None and len(rest) > 3 else None


def seems_name(text: str) -> bool:
    """Say whether a text is a known surname and one or two characters, and no everyday word."""
    if is_tibetan(text):
        return True
    if _ONLY_HAN.fullmatch(text) is None or text in EVERYDAY_WORDS or text in NO_NAMES:
        return False
    surname, given = split_surname(text)
    if surname is None or not 1 <= len(given) <= 2:
        return False
    return not (text.endswith(HAN_PLACES[:3]) or _LABELS.search(text) or given in HAN_SHORT_TITLES)
