"""The three sources that software writes: mini-program, web shop, WeCom."""

from cdp.demo.delivery import (
    Delivered,
    Serials,
    day_between,
    informal_name,
    type_name,
    type_phone,
    usual_phone,
)
from cdp.demo.dice import Dice, Weighted
from cdp.demo.names import draw_given, draw_nickname, draw_surname
from cdp.demo.noise import Odds
from cdp.demo.numbers_cn import mask_phone
from cdp.demo.people import TODAY, Person
from cdp.demo.places import ESTATES, STORES, STREETS
from cdp.demo.spending import draw_spending

SHOP_HEADER = [
    "buyer_id",
    "receiver_name",
    "phone",
    "email",
    "province",
    "city",
    "district",
    "address",
    "orders",
    "total_paid",
    "last_order_at",
]
SHOP_PHONE = 2

_PROVINCES = {"杭州市": "浙江省", "广州市": "广东省", "深圳市": "广东省"}  # others: the city
# WeChat gives `微信用户` to everybody who set no nickname for the mini-program (2022).
_NO_NICKNAME = 0.30
_PRIVACY_POOL = 160  # virtual numbers of a marketplace; extensions tell orders apart

_REMARKS = Weighted(
    (("store", 0.40), ("label", 0.16), ("plain", 0.17), ("informal", 0.17), ("prefix", 0.10))
)
_LABELS = ["VIP", "老客", "敏感肌", "会员", "团购", "已到店", "97年"]


class Online:
    """Writes a person's mini-program, shop and WeCom records."""

    def __init__(self, odds: Odds) -> None:
        self.odds = odds
        self.dice = odds.dice
        self._openids = Serials(odds.dice, "oApp5", 12)
        self._buyers = Serials(odds.dice, "b", 9)
        self._contacts = Serials(odds.dice, "wmKith", 12)
        self._privacy = [
            f"1{dice_prefix(odds.dice)}{odds.dice.digits(8)}" for _ in range(_PRIVACY_POOL)
        ]

    def miniprogram(self, person: Person, *, second: bool) -> Delivered:
        """Return one mini-program account; `second` is of a second WeChat account."""
        dice, odds = self.dice, self.odds
        openid = self._openids.draw()
        evidence: list[tuple[str, str]] = []
        row: dict[str, object] = {"openid": openid}
        if odds.fact("miniprogram.unionid"):
            row["unionid"] = self._unionid(person, evidence, second=second)
        row["nickname"] = self._nickname(person)
        if odds.fact("miniprogram.phone"):
            number = usual_phone(dice, person, "miniprogram")
            evidence.append(("phone", number))
            row["phone_info"] = {
                "phoneNumber": number,
                "purePhoneNumber": number,
                "countryCode": "86",
            }
        spending = draw_spending(dice, person)
        row["created_at"] = f"{spending.opened}"
        row["last_active"] = f"{day_between(dice, spending.last, TODAY)}"
        if odds.fact("miniprogram.city"):
            row["city"] = person.home.store.city.removesuffix("市")
        return Delivered("miniprogram", openid, person, row, evidence)

    def shop(self, person: Person) -> Delivered:
        """Return one shop account."""
        dice, odds = self.dice, self.odds
        buyer = self._buyers.draw()
        evidence: list[tuple[str, str]] = []
        name = self._receiver(person)
        phone = self._shop_phone(person, evidence)
        email = ""
        if person.email and odds.fact("shop.email"):
            evidence.append(("email", person.email))
            email = person.email.upper() if dice.chance(0.03) else person.email
        city = person.home.store.city
        row: list[object] = [buyer, name, phone, email, _PROVINCES.get(city, city), city]
        row += self._address(person)
        spending = draw_spending(dice, person)
        row += [str(spending.orders), spending.total, f"{spending.last}"]
        return Delivered("shop", buyer, person, row, evidence)

    def wecom(self, person: Person, *, second: bool) -> Delivered:
        """Return one WeCom contact."""
        dice, odds = self.dice, self.odds
        contact = self._contacts.draw()
        evidence: list[tuple[str, str]] = []
        row: dict[str, object] = {"external_userid": contact}
        if odds.fact("wecom.unionid"):
            row["unionid"] = self._unionid(person, evidence, second=second)
        store = dice.pick(STORES) if dice.chance(0.05) else person.home.store
        row["remark"] = self._remark(person, store.name)
        row["remark_mobiles"] = self._mobiles(person, evidence)
        row["added_at"] = f"{day_between(dice, person.joined, TODAY)}"
        row["follow_user"] = {
            "userid": f"{store.code.lower()}.g{dice.between(1, 8)}",
            "store": store.code,
        }
        return Delivered("wecom", contact, person, row, evidence)

    def _unionid(self, person: Person, evidence: list[tuple[str, str]], *, second: bool) -> str:
        unionid = person.second_unionid if second else person.unionid
        evidence.append(("unionid", unionid))
        return unionid

    def _nickname(self, person: Person) -> str:
        dice = self.dice
        if dice.chance(_NO_NICKNAME):
            return "微信用户"
        if self.odds.fact("miniprogram.real_name"):
            return person.name.full
        if self.odds.fact("miniprogram.other_name"):
            return draw_surname(dice) + draw_given(dice, dice.pick("MF"), dice.between(1960, 2005))
        return draw_nickname(dice)

    def _receiver(self, person: Person) -> str:
        full = person.name.full
        if self.odds.fact("shop.masked_name"):
            return mask_name(self.dice, full)
        if self.odds.fact("shop.informal_name"):
            return informal_name(self.dice, person)
        return type_name(self.odds, person, "shop")[0]

    def _shop_phone(self, person: Person, evidence: list[tuple[str, str]]) -> str:
        dice, odds = self.dice, self.odds
        if odds.fact("shop.privacy_number"):
            return f"{dice.pick(self._privacy)}-{dice.digits(dice.between(3, 4))}"
        number = usual_phone(dice, person, "shop")
        if odds.fact("shop.masked_phone"):
            return mask_phone(number)
        typed, survives = type_phone(odds, number, "shop")
        if survives:
            evidence.append(("phone", number))
        return typed

    def _address(self, person: Person) -> list[object]:
        dice, home = self.dice, person.home
        if dice.chance(0.12):  # parcels to the office
            district = dice.pick(home.store.districts)[0]
            tower = f"{dice.pick(ESTATES)}大厦{dice.between(2, 40)}层"
            return [district, f"{dice.pick(STREETS)}{dice.between(1, 399)}号{tower}"]
        address = home.address
        if dice.chance(0.2):
            address = address.replace("号楼", "-").replace("单元", "-")
        return [home.district, address]

    def _remark(self, person: Person, store: str) -> str:
        dice = self.dice
        style = dice.weighted(_REMARKS)
        if style == "informal":
            return informal_name(dice, person)
        name = type_name(self.odds, person, "wecom")[0].strip()
        forms = {
            "store": f"{name} {store}",
            "label": f"{name}-{dice.pick(_LABELS)}",
            "plain": name,
            "prefix": f"{store}{dice.pick(' -_')}{name}",
        }
        return forms[style]

    def _mobiles(self, person: Person, evidence: list[tuple[str, str]]) -> list[str]:
        mobiles: list[str] = []
        if not self.odds.fact("wecom.mobile"):
            return mobiles
        numbers = [usual_phone(self.dice, person, "wecom")]
        if self.odds.fact("wecom.second_mobile"):
            numbers += [number for _, number in person.extra if number not in numbers][:1]
        for number in numbers:
            typed, survives = type_phone(self.odds, number, "wecom")
            mobiles.append(typed)
            if survives:
                evidence.append(("phone", number))
        return mobiles


def mask_name(dice: Dice, full: str) -> str:
    """Return the name as marketplaces show it: `张**`, `张*三`, `*三`."""
    style = dice.unit()
    if style < 0.62 or len(full) < 3:
        return full[0] + "**" if style < 0.75 else full[0] + "*" * (len(full) - 1)
    if style < 0.9:
        return full[0] + "*" * (len(full) - 2) + full[-1]
    return "*" + full[1:]


def dice_prefix(dice: Dice) -> str:
    """Return a virtual operator's prefix without its leading 1."""
    return dice.pick(("70", "71", "67", "65", "88"))
