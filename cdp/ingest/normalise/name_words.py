"""Words that surround names without being part of them.

Gathered by hand from forms of address in general use in China and in English; no source is
exhaustive, so every list may grow.
"""

# Forms of address of two characters and more. Longest first when matched.
HAN_TITLES = (
    "先生", "女士", "小姐", "太太", "夫人", "老师", "经理", "总经理", "主任", "主管", "店长",
    "老板", "老板娘", "医生", "大夫", "护士", "教授", "律师", "师傅", "阿姨", "叔叔", "大叔",
    "大姐", "大哥", "大妈", "大爷", "奶奶", "爷爷", "美女", "帅哥", "同学", "女生", "男士", "总监",
    "董事长", "会计", "警官", "院长", "校长", "处长", "局长", "科长", "厂长", "队长", "博士",
    "工程师", "姐姐", "哥哥", "先森", "老總", "經理", "老師", "醫生",
)  # fmt: skip
# Forms of address of one character, read as such only behind a bare surname or, in remarks,
# behind a whole name. Characters that close given names (妹, 弟) are left out.
HAN_SHORT_TITLES = "姐哥总总叔姨嫂董工婶爷總"
# Behind a single character these are always a form of address, surname or not: 艳姐, 建哥.
HAN_KIN_TITLES = "姐哥叔姨嫂"
# Before a surname: 老王, 小李, 大刘. 阿 stands before given names.
HAN_FAMILIAR = "老小大"

# Labels that shops write into remarks. A remark token that is one of them is no name.
HAN_LABELS = (
    "老客户", "新客户", "大客户", "老顾客", "新顾客", "老会员", "新会员", "会员", "客户", "顾客",
    "客人", "贵宾", "金卡", "银卡", "黑卡", "白金卡", "白金", "铂金", "钻石", "普通", "员工",
    "同事", "推荐", "介绍", "转介绍", "已加", "微信", "企微", "本人", "收", "已购", "未购",
    "待跟进", "高意向", "意向", "退货", "投诉", "团购", "批发", "代购", "线上", "线下", "到店",
    "预约", "新客", "老客", "散客",
)  # fmt: skip
# What ends the name of a place of business.
HAN_PLACES = (
    "店", "旗舰店", "专卖店", "门店", "商场", "广场", "公司", "集团", "部", "厂", "店铺", "柜",
    "专柜", "超市", "中心", "百货", "学校", "医院", "银行", "小区", "路", "街", "区", "市", "省",
)  # fmt: skip
HAN_ORGANISATIONS = (
    "公司", "集团", "旗舰店", "专卖店", "门店", "超市", "商场", "工厂", "事务所", "工作室",
    "委员会", "大学", "医院", "银行", "有限", "股份", "经营部", "服务部", "营业部",
)  # fmt: skip
# 王小明妈妈 is somebody, and not 王小明.
HAN_RELATIVES = (
    "妈妈", "爸爸", "妈咪", "老公", "老婆", "媳妇", "丈夫", "妻子", "儿子", "女儿", "家长", "麻麻",
    "粑粑", "朋友", "闺蜜", "助理", "秘书", "司机", "妈", "爸",
)  # fmt: skip

# Fillers in a name column.
NO_NAMES = frozenset(
    {
        "无名", "无名氏", "测试", "测试用户", "未知", "匿名", "匿名用户", "散客", "顾客", "客户",
        "会员", "新会员", "用户", "微信用户", "支付宝用户", "先生", "女士", "小姐", "某", "某某",
        "某某某", "保密", "不知道", "普通会员", "游客", "收件人", "姓名", "名字", "张三李四",
        "客人", "本人", "test", "tester", "testing", "user", "guest", "anonymous", "unknown",
        "name", "noname", "null", "none", "customer", "member", "admin", "xxx", "xx", "x", "abc",
        "asdf", "na",
    }
)  # fmt: skip

# Everyday words that begin with a surname: nicknames, not names.
EVERYDAY_WORDS = frozenset(
    {
        "平安", "安静", "高兴", "白云", "云朵", "江南", "时光", "夏天", "秋天", "明月", "明天",
        "安好", "平凡", "平淡", "方便", "成功", "成都", "海阔", "海边", "和平", "和谐", "花开",
        "花儿", "花花", "花朵", "水果", "水晶", "金色", "金牛", "金鱼", "白羊", "白兔", "白菜",
        "龙虾", "马上", "马路", "牛奶", "牛牛", "羊羊", "鱼儿", "温暖", "温柔", "向日葵", "向往",
        "向前", "阳光", "云淡", "云飞", "海绵", "海豚", "海风", "风景", "风筝", "风云", "空白",
        "空空", "简单", "简爱", "路人", "路过", "石头", "山水", "山峰", "竹子", "桃子", "桃花",
        "松鼠", "梅花", "柳絮", "红豆", "红尘", "文静", "国王", "公主", "东风", "西瓜", "古月",
        "冷月", "冷静", "米粒", "毛毛", "毛豆", "明明", "双鱼", "安然", "乐乐", "乐园", "万里",
        "万物", "从容", "古道", "元气", "元宝", "玉兔", "宝贝", "满天星", "贝贝", "贝壳", "雷雨",
        "夏日", "夏沫", "温水", "沙漠", "车厘子", "麦子", "麦田", "豆豆", "豆浆",
    }
)  # fmt: skip

LATIN_TITLES = frozenset(
    {
        "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "madam", "mme", "mlle",
        "herr", "frau", "monsieur", "madame", "rev", "hon", "capt", "lady", "lord",
    }
)  # fmt: skip
LATIN_GENERATIONS = frozenset({"jr", "sr", "ii", "iii", "iv"})
LATIN_LABELS = frozenset({"vip", "svip", "vvip", "member", "wechat", "wx", "new", "old", "gold"})
