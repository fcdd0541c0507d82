"""The made-up retailer's stores and the places its customers live in."""

from dataclasses import dataclass

BRAND = "kith"


@dataclass(frozen=True, slots=True)
class Store:
    """A store of the brand; `code` is its node id in the organisation."""

    code: str
    name: str
    region: str
    city: str
    districts: tuple[tuple[str, str], ...]  # (district, GB/T 2260 region code)
    share: float  # relative number of members


REGIONS = {"north": "华北", "east": "华东", "south": "华南"}

# Region codes are the real six-digit ones: a made-up ID number must carry a real code.
STORES = (
    Store("BJ01", "朝阳店", "north", "北京市", (("朝阳区", "110105"), ("通州区", "110112")), 14),
    Store("BJ02", "海淀店", "north", "北京市", (("海淀区", "110108"), ("西城区", "110102")), 12),
    Store("BJ03", "丰台店", "north", "北京市", (("丰台区", "110106"), ("大兴区", "110115")), 8),
    Store("TJ01", "和平店", "north", "天津市", (("和平区", "120101"), ("南开区", "120104")), 6),
    Store("SH01", "徐汇店", "east", "上海市", (("徐汇区", "310104"), ("长宁区", "310105")), 13),
    Store("SH02", "静安店", "east", "上海市", (("静安区", "310106"), ("虹口区", "310109")), 11),
    Store("SH03", "浦东店", "east", "上海市", (("浦东新区", "310115"), ("闵行区", "310112")), 9),
    Store("HZ01", "西湖店", "east", "杭州市", (("西湖区", "330106"), ("拱墅区", "330105")), 7),
    Store("GZ01", "天河店", "south", "广州市", (("天河区", "440106"), ("越秀区", "440104")), 8),
    Store("GZ02", "番禺店", "south", "广州市", (("番禺区", "440113"), ("海珠区", "440105")), 4),
    Store("SZ01", "南山店", "south", "深圳市", (("南山区", "440305"), ("宝安区", "440306")), 5),
    Store("SZ02", "福田店", "south", "深圳市", (("福田区", "440304"), ("罗湖区", "440303")), 3),
)

STREETS = [
    "建设路",
    "人民路",
    "解放路",
    "中山路",
    "和平街",
    "文化路",
    "新华路",
    "光明路",
    "幸福里",
    "友谊路",
    "花园路",
    "学府路",
    "科技路",
    "滨江道",
    "长江路",
    "黄河路",
    "朝阳路",
    "青年路",
    "胜利街",
    "振兴路",
    "东风路",
    "公园路",
    "体育路",
    "工业路",
]
ESTATES = [
    "阳光花园",
    "锦绣家园",
    "翠苑小区",
    "金色年华",
    "万和城",
    "书香苑",
    "水岸名邸",
    "世纪新城",
    "绿洲家园",
    "丽景湾",
]

# Birthplaces: where an ID number was first issued is often not where a person lives now.
BIRTHPLACES = [
    "110101",
    "120103",
    "130102",
    "130204",
    "140105",
    "150102",
    "210102",
    "210202",
    "220102",
    "230103",
    "310101",
    "310110",
    "320102",
    "320505",
    "330102",
    "330203",
    "340103",
    "350102",
    "350203",
    "360102",
    "370102",
    "370202",
    "410102",
    "410305",
    "420102",
    "420106",
    "430102",
    "440103",
    "450102",
    "460105",
    "500103",
    "510104",
    "510105",
    "520102",
    "530102",
    "540102",
    "610102",
    "620102",
    "650102",
]


def organisation() -> list[dict[str, str]]:
    """Return the tree brand, region, store as `cdp.yaml` declares it."""
    nodes = [{"id": BRAND, "kind": "brand", "name": "Kith Retail"}]
    nodes += [
        {"id": code, "kind": "region", "parent": BRAND, "name": name}
        for code, name in REGIONS.items()
    ]
    nodes += [
        {"id": store.code, "kind": "store", "parent": store.region, "name": store.name}
        for store in STORES
    ]
    return nodes
