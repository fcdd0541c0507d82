"""Made-up names with the frequencies of real ones.

Surname shares are approximate shares of the Chinese population for the most frequent
surnames (Ministry of Public Security name reports, rounded to about 0.05 per cent).
Given-name characters are ordered by popularity within an era and a gender and weighted
as 1 / (rank + 3), which gives the long head that real given names have: namesakes, and
now and then namesakes with one birthday, come out by themselves.
"""

from dataclasses import dataclass
from functools import cache

from cdp.demo.dice import Dice, Weighted
from connectors.record import Raw

# surname then share in per cent, in one text because a hundred lines would hide it.
_SURNAMES = (
    "王7.25 李7.19 张6.83 刘5.42 陈4.57 杨3.05 黄2.25 赵2.20 吴2.05 周1.95 徐1.65 孙1.50 "
    "马1.28 朱1.26 胡1.20 郭1.15 何1.15 林1.13 高1.05 罗0.98 郑0.90 梁0.88 谢0.78 宋0.75 "
    "唐0.70 许0.70 韩0.68 邓0.65 冯0.63 曹0.60 彭0.58 曾0.57 肖0.56 田0.53 董0.52 潘0.50 "
    "袁0.50 蔡0.48 蒋0.48 余0.47 于0.46 杜0.46 叶0.44 程0.44 魏0.43 苏0.43 吕0.42 丁0.42 "
    "任0.41 卢0.40 姚0.40 沈0.39 钟0.38 姜0.38 崔0.37 谭0.36 陆0.36 范0.35 汪0.35 廖0.34 "
    "石0.34 金0.34 韦0.33 贾0.32 夏0.32 付0.31 方0.31 邹0.30 熊0.29 白0.29 孟0.28 秦0.28 "
    "邱0.27 侯0.27 江0.27 尹0.26 薛0.26 闫0.25 段0.24 雷0.24 龙0.23 黎0.23 史0.22 陶0.22 "
    "贺0.21 毛0.21 郝0.20 顾0.20 龚0.20 邵0.19 万0.19 覃0.18 武0.18 钱0.18 戴0.18 严0.17 "
    "莫0.17 孔0.16 向0.16 常0.16 汤0.15 康0.14 易0.13 乔0.13 赖0.12 文0.12 施0.11 洪0.11 "
    # Compound surnames are borne by roughly one person in five hundred.
    "欧阳0.080 上官0.015 司马0.012 诸葛0.010 东方0.008 皇甫0.008 尉迟0.006 慕容0.006 "
    "司徒0.010 夏侯0.006 令狐0.006 端木0.004"
)
_ERAS = (1970, 1990)  # three eras: before, between, after
_MALE = (
    "国建志明军文华德玉海永春立荣光林生福金忠平成庆祥新和东云学兴",
    "伟强军勇杰涛超明磊峰刚平辉鹏斌波建志海文俊永国晓宇亮林健洪飞",
    "浩宇子轩俊泽梓文博杰佳天嘉一明睿晨涛鑫志阳家旭航凯昊思锦铭",
)
_FEMALE = (
    "秀玉桂英兰芳珍华凤淑美春云琴红月霞梅爱香荣莲萍素金翠清素娥玲",
    "丽芳静敏艳娟霞燕红玲娜萍晓雪婷丹慧英琳洁莉海玉倩莹华春梅颖文",
    "欣怡子雨佳梦思诗婷雅涵梓萱琪雪静嘉慧心文语瑶悦晓紫若一彤妍琳",
)
_POPULAR = (
    ("建国 建华 国强 志明 建军 卫东 永强 文华", "秀英 桂英 秀兰 玉兰 桂兰 淑珍 玉梅 凤英"),
    ("伟 强 磊 勇 军 涛 建军 志强 海涛", "丽 芳 静 敏 艳 娟 秀英 晓燕 海燕"),
    ("浩然 子轩 宇轩 俊杰 浩宇 鹏 帅 博文", "欣怡 雨桐 子涵 梓涵 思雨 佳怡 婷婷 雪"),
)
# Share of one-character given names by era: rare for the old, usual around 1980.
_ONE_CHARACTER = (0.16, 0.34, 0.12)
_POPULAR_SHARE = 0.12

_UYGHUR_MALE = [
    "买买提",
    "艾合买提",
    "吐尔逊",
    "阿不都拉",
    "玉素甫",
    "艾力",
    "伊力哈木",
    "库尔班",
    "热合曼",
    "努尔买买提",
]
_UYGHUR_FEMALE = [
    "阿依古丽",
    "古丽娜尔",
    "热依罕",
    "阿孜古丽",
    "帕提古丽",
    "迪丽拜尔",
    "祖丽菲娅",
    "米娜瓦尔",
]
_TIBETAN = [
    "扎西次仁",
    "卓玛央金",
    "洛桑平措",
    "白玛曲珍",
    "丹增旺堆",
    "次仁拉姆",
    "格桑多吉",
    "达娃卓嘎",
]
_LATIN_GIVEN = [
    "Anna",
    "James",
    "Maria",
    "David",
    "Sophie",
    "Daniel",
    "Olga",
    "Marco",
    "Yuki",
    "Kevin",
    "Linda",
    "Thomas",
]
_LATIN_FAMILY = [
    "Smith",
    "Garcia",
    "Müller",
    "Rossi",
    "Tanaka",
    "Ivanova",
    "Brown",
    "Martin",
    "Nguyen",
    "Lee",
    "Dubois",
]

# Characters that sound the same (tone kept). Clerks type by sound.
_HOMOPHONES = (
    "张章 王汪 李里 陈程 徐许 于余 吴武 肖萧 何和 闫严 谢解 付傅 邱秋 江姜 卢芦 蒋讲 侯候 "
    "伟玮苇 静婧靖 丽莉俐 芳方 敏闵 强蔷 磊垒 勇永咏 军君钧 涛滔 明鸣铭 杰洁捷 峰锋丰枫 "
    "辉晖挥 鹏朋 斌彬宾 波玻 建健剑 志智致 海亥 文雯 俊峻骏 国帼 晓小 宇雨羽语 亮靓 林琳霖 "
    "飞菲霏 燕艳 红宏洪鸿 玲铃灵 娜纳 萍平苹 婷廷 丹单 慧惠会 英瑛莺 倩茜 莹盈颖 梅玫 "
    "欣心鑫新 怡仪宜 子梓紫 佳嘉家 梦孟 思斯丝 诗师 雅娅 涵函晗 萱轩宣 琪奇琦 瑶姚尧 悦月玥 "
    "若箬 一依伊 彤童桐 妍研妍 浩昊皓 泽则择 博伯 睿瑞锐 晨辰宸 阳杨扬洋 旭序 航杭 凯恺 锦瑾 "
    "秀绣 玉育钰 桂贵 兰蓝岚 珍真贞 华桦 凤奉 淑书 美镁 春椿 云芸耘 琴勤芹 霞侠 爱艾 香湘 荣蓉容 "
    "莲连 素愫 金今 翠粹 清青 德得 立力利 光广 生声 福富 忠中 成诚程 庆沁 祥详翔 东冬 学雪 兴星"
)
_NICKNAMES = [
    "随风",
    "小鱼儿",
    "平安是福",
    "清风徐来",
    "云淡风轻",
    "静待花开",
    "大白兔",
    "柠檬不酸",
    "阳光正好",
    "月亮姐姐",
    "快乐每一天",
    "Lucky",
    "橙子",
    "一米阳光",
    "岁月静好",
    "花开富贵",
    "小太阳",
    "星空",
    "momo",
    "阿May",
    "豆豆妈",
    "果果妈妈",
    "猫和鱼",
    "简单",
    "上善若水",
    "A美容小王",
    "A建材老李",
    "往事随风",
    "Coco",
    "Vivian",
    "🌸小花🌸",
    "旺旺",
    "糖糖",
    "加油",
    "木子",
    "南风",
]


@dataclass(frozen=True, slots=True, repr=False)
class Name(Raw):
    """A name in two parts; `surname` is empty where a name has no surname part."""

    surname: str
    given: str

    @property
    def full(self) -> str:
        """The name as written in full."""
        if self.surname and self.surname[0].isascii():
            return f"{self.given} {self.surname}"
        return self.surname + self.given


@cache
def _surnames() -> Weighted[str]:
    split = (entry for entry in _SURNAMES.split())
    pairs = []
    for entry in split:
        text = entry.rstrip("0123456789.")
        pairs.append((text, float(entry[len(text) :])))
    return Weighted(pairs)


@cache
def _characters(gender: str, era: int) -> Weighted[str]:
    ranked = (_MALE if gender == "M" else _FEMALE)[era]
    return Weighted((character, 1 / (rank + 3)) for rank, character in enumerate(ranked))


@cache
def _popular(gender: str, era: int) -> Weighted[str]:
    ranked = _POPULAR[era][0 if gender == "M" else 1].split()
    return Weighted((given, 1 / (rank + 3)) for rank, given in enumerate(ranked))


@cache
def _sound_alikes() -> dict[str, str]:
    """Return, per character, the other characters of its sound."""
    table: dict[str, str] = {}
    for group in _HOMOPHONES.split():
        for character in group:
            others = group.replace(character, "")
            table[character] = "".join(dict.fromkeys(table.get(character, "") + others))
    return table


def draw_surname(dice: Dice) -> str:
    """Draw a surname by population share."""
    return dice.weighted(_surnames())


def draw_given(dice: Dice, gender: str, born: int) -> str:
    """Draw a given name for a gender (`M`, `F`) and a year of birth."""
    era = sum(born >= start for start in _ERAS)
    if dice.chance(_POPULAR_SHARE):
        return dice.weighted(_popular(gender, era))
    table = _characters(gender, era)
    first = dice.weighted(table)
    if dice.chance(_ONE_CHARACTER[era]):
        return first
    return first + dice.weighted(table)


def draw_uyghur(dice: Dice, gender: str) -> Name:
    """Draw a Uyghur name: own name, a middle dot, the father's name."""
    own = dice.pick(_UYGHUR_MALE if gender == "M" else _UYGHUR_FEMALE)
    return Name("", f"{own}·{dice.pick(_UYGHUR_MALE)}")


def draw_tibetan(dice: Dice) -> Name:
    """Draw a Tibetan name, which has no surname part."""
    return Name("", dice.pick(_TIBETAN))


def draw_latin(dice: Dice) -> Name:
    """Draw a name in Latin letters."""
    return Name(dice.pick(_LATIN_FAMILY), dice.pick(_LATIN_GIVEN))


def draw_nickname(dice: Dice) -> str:
    """Draw a nickname that is no name."""
    nickname = dice.pick(_NICKNAMES)
    return nickname + dice.digits(2) if dice.chance(0.25) else nickname


def sound_alike(dice: Dice, character: str) -> str | None:
    """Return another character of the same sound, or None where the table has none."""
    others = _sound_alikes().get(character)
    return dice.pick(others) if others else None


def extra_character(dice: Dice) -> str:
    """Return a character that may slip into a name."""
    return dice.pick("小晓大子的女士一")
