"""What a form of address tells beside the name: 张女士 is a woman."""

from typing import Final

MALE: Final = "male"
FEMALE: Final = "female"

# Forms of address that are used for one sex. 老师, 经理 and 老板 are used for both.
_MALE = (
    "先生", "男士", "先森", "帅哥", "大哥", "哥哥", "大叔", "叔叔", "大爷", "爷爷",
    "哥", "叔", "爷",
)  # fmt: skip
_FEMALE = (
    "女士", "女生", "小姐", "太太", "夫人", "美女", "大姐", "姐姐", "阿姨", "大妈", "奶奶",
    "老板娘", "姐", "姨", "嫂", "婶",
)  # fmt: skip


def sex_told(text: str, bare: str) -> str | None:
    """Return the sex that a form of address tells, or None.

    Args:
        text: what was written: 张女士, 李哥, 张三.
        bare: the same without its form of address; equal to ``text`` where there is none.
    """
    if text == bare:
        return None
    if text.endswith(_FEMALE):
        return FEMALE
    return MALE if text.endswith(_MALE) else None
