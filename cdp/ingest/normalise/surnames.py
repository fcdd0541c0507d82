"""Chinese surnames: which characters open a name, and how surnames are read.

Sources: the Hundred Family Surnames (百家姓, Song dynasty, public domain), with surnames that the
national name reports of the Ministry of Public Security list as common today, and the
traditional forms of the most frequent ones. Readings: Xiandai Hanyu Cidian marks them as
"used as a surname".
"""

SINGLE_SURNAMES = frozenset(
    # The Hundred Family Surnames, single characters, in their order.
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛"
    "奚范彭郎鲁韦昌马苗凤花方俞任袁柳酆鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康"
    "伍余元卜顾孟平黄和穆萧尹姚邵湛汪祁毛禹狄米贝明臧计伏成戴谈宋茅庞熊纪舒屈项祝董梁杜阮蓝闵"
    "席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯昝管卢莫经房裘缪干解应宗"
    "丁宣贲邓郁单杭洪包诸左石崔吉钮龚程嵇邢滑裴陆荣翁荀羊於惠甄曲家封芮羿储靳汲邴糜松井段富巫"
    "乌焦巴弓牧隗山谷车侯宓蓬全郗班仰秋仲伊宫宁仇栾暴甘钭厉戎祖武符刘景詹束龙叶幸司韶郜黎蓟薄"
    "印宿白怀蒲邰从鄂索咸籍赖卓蔺屠蒙池乔阴胥能苍双闻莘党翟谭贡劳逄姬申扶堵冉宰郦雍璩桑桂濮牛"
    "寿通边扈燕冀郏浦尚农温别庄晏柴瞿阎充慕连茹习宦艾鱼容向古易慎戈廖庾终暨居衡步都耿满弘匡国文"
    "寇广禄阙东欧殳沃利蔚越夔隆师巩厍聂晁勾敖融冷訾辛阚那简饶空曾毋沙乜养鞠须丰巢关蒯相查后荆红"
    "游竺权逯盖益桓公"
    # Common today and missing above.
    "肖闫付邸代涂覃佟佘候仝展兰冼农区卿原司启员哈喜图塔宇宫寻尧岳帅年庆应延战扬战揭敬晋智朴来杞"
    "树栗桃檀毓汝沐洛海涂淳渠焉牟玉甯生留矫矿神禤秘种竹笪税粟线练续缑缪羌翦聊脱腾芦苑苟苏茆蔻"
    "褟覃谌谯豆赫迟逢邝邸郇郸郄鄢鄞銮门闭隋雒靖鞠顿颉风鹿麦黑初从仵伦佴依俄侴修"
    # Traditional forms.
    "趙錢孫吳鄭馮陳衛蔣韓楊許呂張嚴華魏陶謝鄒竇蘇範魯韋馬鳳費賀湯羅畢鄔樂時齊顧黃蕭談龐紀項"
    "藍閔賈婁顏鍾駱盧經繆應單諸鈕龔陸榮儲烏車寧厲劉葉龍黎薊陰蒼雙聞黨譚貢勞姬鄺邊莊閻習魚"
    "滿國廣東歐師鞏聶簡饒關權蓋溫萬賴藺喬羋郟連詹鄧倫鄂闕豐遲蘭區葉"
)

# The hundred that five of six people bear, by the name report of the Ministry of Public
# Security for 2020, and their traditional forms. Standing alone, a character that is not
# among them is more likely part of a given name.
COMMON_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾肖萧田董潘袁蔡蒋余于杜叶程魏苏"
    "吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫阎段雷龙黎史陶贺毛郝顾龚邵万覃武"
    "钱戴严莫孔向常"
    "張劉陳楊黃趙吳孫馬羅鄭謝許韓鄧馮蕭葉蔣魏蘇呂盧鍾鐘譚陸範韋賈鄒龍賀顧龔萬錢嚴"
)

COMPOUND_SURNAMES = frozenset(
    {
        "万俟", "司马", "上官", "欧阳", "夏侯", "诸葛", "闻人", "东方", "赫连", "皇甫", "尉迟",
        "公羊", "澹台", "公冶", "宗政", "濮阳", "淳于", "单于", "太叔", "申屠", "公孙", "仲孙",
        "轩辕", "令狐", "钟离", "宇文", "长孙", "慕容", "鲜于", "闾丘", "司徒", "司空", "亓官",
        "司寇", "子车", "颛孙", "端木", "巫马", "公西", "漆雕", "乐正", "壤驷", "公良", "拓跋",
        "夹谷", "宰父", "谷梁", "段干", "百里", "东郭", "南门", "呼延", "羊舌", "微生", "梁丘",
        "左丘", "东门", "西门", "南宫", "第五", "独孤", "完颜", "纳兰", "耶律", "叶赫", "哥舒",
        "爱新觉罗", "叶赫那拉", "钮祜禄",
        "歐陽", "司馬", "諸葛", "東方", "赫連", "尉遲", "公孫", "長孫", "鍾離", "獨孤", "納蘭",
    }
)  # fmt: skip

# Tibetan names have no surname; most are two of these parts, many of them days and blessings.
TIBETAN_PARTS = frozenset(
    {
        "扎西", "次仁", "卓玛", "多吉", "格桑", "达瓦", "尼玛", "白玛", "旦增", "丹增", "索朗",
        "平措", "拉姆", "央金", "德吉", "罗布", "贡布", "洛桑", "仁增", "顿珠", "旺堆", "强巴",
        "边巴", "普布", "巴桑", "米玛", "拉巴", "曲珍", "卓嘎", "央宗", "嘎玛", "加措", "桑吉",
        "才让", "旺姆", "旺杰", "晋美", "坚赞", "群培", "阿旺", "土登", "益西", "仁青", "曲吉",
    }
)  # fmt: skip

# Characters that often open a Uyghur or Kazakh name in Han characters, where the father's name
# stands last, and that open few Han names: 阿**, 祖**, 热** show no surname.
TRANSLITERATED_OPENINGS = (
    frozenset(
        "阿艾祖米古买吐热帕努玛木库依伊哈塔沙居克加巴奴麦赛萨再肉如托亚玉凯卡迪地海司斯图麻喀穆赫胡吾乌约"
    )
    - COMMON_SURNAMES
)

# Readings that differ from the character's usual one. Toneless, ü written v.
SURNAME_SOUNDS = {
    "单": "shan", "單": "shan", "曾": "zeng", "仇": "qiu", "解": "xie", "查": "zha", "区": "ou",
    "區": "ou", "任": "ren", "朴": "piao", "盖": "ge", "蓋": "ge", "翟": "zhai", "缪": "miao",
    "繆": "miao", "覃": "qin", "员": "yun", "員": "yun", "乐": "yue", "樂": "yue", "秘": "bi",
    "折": "she", "黑": "he", "繁": "po", "种": "chong", "祭": "zhai", "牟": "mu", "隗": "wei",
    "洗": "xian", "召": "shao", "那": "na", "逄": "pang", "佘": "she", "臧": "zang", "冼": "xian",
    "郇": "xun", "尉": "wei", "褚": "chu", "晁": "chao", "阚": "kan", "燕": "yan", "宓": "mi",
    "訾": "zi", "乜": "nie", "郗": "xi", "昝": "zan", "钭": "tou", "厍": "she", "殳": "shu",
    "贲": "ben", "於": "yu", "能": "nai", "车": "che", "車": "che", "藏": "zang", "哈": "ha",
    "万俟": "mo qi", "尉迟": "yu chi", "尉遲": "yu chi", "长孙": "zhang sun", "長孫": "zhang sun",
    "澹台": "tan tai", "单于": "chan yu", "宰父": "zai fu", "亓官": "qi guan", "乐正": "yue zheng",
    "令狐": "ling hu", "鲜于": "xian yu", "夹谷": "jia gu", "子车": "zi ju",
}  # fmt: skip


def is_tibetan(name: str) -> bool:
    """Say whether a Han text is two parts of Tibetan names."""
    return len(name) == 4 and name[:2] in TIBETAN_PARTS and name[2:] in TIBETAN_PARTS


def split_surname(name: str) -> tuple[str | None, str]:
    """Split a Han name into its known surname, or None, and the rest. Longest surname first.

    A compound surname needs something behind it unless it is the whole text.
    """
    for size in (4, 3, 2):
        if len(name) >= size and name[:size] in COMPOUND_SURNAMES:
            return name[:size], name[size:]
    if name[:1] in SINGLE_SURNAMES:
        return name[:1], name[1:]
    return None, name
