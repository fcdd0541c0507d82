"""The two sources typed by hand in a store: the till and the old spreadsheet."""

from datetime import date

from cdp.demo.delivery import (
    Delivered,
    Serials,
    type_birth,
    type_name,
    type_phone,
    usual_phone,
)
from cdp.demo.dice import Weighted
from cdp.demo.noise import Odds
from cdp.demo.numbers_cn import slip
from cdp.demo.people import Person
from cdp.demo.places import STORES
from cdp.demo.spending import draw_spending

POS_HEADER = [
    "卡号",
    "姓名",
    "手机号",
    "生日",
    "性别",
    "门店",
    "开卡日期",
    "累计消费",
    "消费次数",
    "最近消费",
    "拒绝营销",
]
LEGACY_HEADER = ["编号", "姓名", "手机", "生日", "身份证", "备注"]
POS_PHONE, LEGACY_PHONE = 2, 2  # columns

_NOTES = [
    "老会员",
    "生日送券",
    "喜欢真丝",
    "已换卡",
    "皮肤敏感",
    "勿扰",
    "转介绍",
    "VIP",
    "年底回访",
    "要发票",
]
# How a birthday was written over the years of one spreadsheet.
_DATE_STYLES = Weighted(
    (
        ("cell", 0.32),  # a real date cell
        ("%Y-%m-%d", 0.20),
        ("{0.year}年{0.month}月{0.day}日", 0.17),
        ("%Y%m%d", 0.12),
        ("{0.year}/{0.month}/{0.day}", 0.10),
        ("yy.m.d", 0.075),
        ("serial", 0.015),  # a date cell that became text: days since the end of 1899
    )
)
_EXCEL_EPOCH = date(1899, 12, 30)


class Counter:
    """Writes a person's till card and old spreadsheet row."""

    def __init__(self, odds: Odds) -> None:
        self.odds = odds
        self.dice = odds.dice
        self._cards = Serials(odds.dice, "88", 8)
        self._rows = Serials(odds.dice, "L", 7)

    def pos(self, person: Person) -> Delivered:
        """Return one till card."""
        dice = self.dice
        card = self._cards.draw()
        evidence = [("card", card)]
        name, birth = self._typed(person, "pos", evidence)
        phone = self._phone(person, "pos", evidence)
        spending = draw_spending(dice, person)
        born = "" if birth is None else f"{birth:{'%Y/%m/%d' if dice.chance(0.2) else '%Y-%m-%d'}}"
        gender = "" if self.odds.fact("pos.no_gender") else "男" if person.gender == "M" else "女"
        store = dice.pick(STORES) if dice.chance(0.1) else person.home.store
        row: list[object] = [card, name, phone, born, gender, store.code]
        row += [f"{spending.opened}", spending.total, str(spending.orders), f"{spending.last}"]
        row.append("是" if self.odds.fact("pos.opt_out") else "否")
        return Delivered("pos", card, person, row, evidence)

    def legacy(self, person: Person, card: str | None) -> Delivered:
        """Return one spreadsheet row; `card` is the till card that took over its number."""
        odds = self.odds
        serial = card if card and odds.fact("legacy.card_carried") else self._rows.draw()
        evidence = [("card", serial)]
        name, birth = self._typed(person, "legacy", evidence)
        phone: object = self._phone(person, "legacy", evidence)
        if isinstance(phone, str) and phone and odds.error("legacy.phone_scientific", "legacy"):
            phone = f"{person.phone[0]}.{person.phone[1:3]}E+10"
            evidence[:] = [pair for pair in evidence if pair[0] != "phone"]
        elif phone and str(phone).isdecimal() and self.dice.chance(0.5):
            phone = int(str(phone).lstrip("0") or "0")  # a number cell
        cell = None if birth is None else self._date_cell(birth)
        row = [serial, name, phone, cell, self._national_id(person, evidence), self._note(person)]
        return Delivered("legacy", serial, person, row, evidence)

    def retype(self, first: Delivered) -> Delivered:
        """Return the same row keyed once more, under a record id of its own."""
        serial = (self._cards if first.source == "pos" else self._rows).draw()
        kept = [pair for pair in first.evidence if pair[0] != "card"]
        row = [serial, *list(first.row)[1:]]
        return Delivered(first.source, serial, first.person, row, [("card", serial), *kept])

    def _typed(
        self, person: Person, source: str, evidence: list[tuple[str, str]]
    ) -> tuple[str, date | None]:
        """Type name and birthday; together they are evidence if both survive."""
        name, name_survives = type_name(self.odds, person, source)
        if self.odds.fact(f"{source}.no_birthday"):
            return name, None
        birth, birth_survives = type_birth(self.odds, person, source)
        if name_survives and birth_survives:
            evidence.append(("name_birth", f"{person.name.full}|{birth}"))
        return name, birth

    def _phone(self, person: Person, source: str, evidence: list[tuple[str, str]]) -> str:
        if self.odds.fact(f"{source}.no_phone"):
            return ""
        number = usual_phone(self.dice, person, source)
        typed, survives = type_phone(self.odds, number, source)
        if survives:
            evidence.append(("phone", number))
        return typed

    def _date_cell(self, birth: date) -> object:
        style = self.dice.weighted(_DATE_STYLES)
        if style == "cell":
            return birth
        if style == "serial":
            return str((birth - _EXCEL_EPOCH).days)
        if style == "yy.m.d":
            return f"{birth.year % 100:02d}.{birth.month}.{birth.day}"
        return style.format(birth) if style.startswith("{") else f"{birth:{style}}"

    def _national_id(self, person: Person, evidence: list[tuple[str, str]]) -> str | None:
        if not self.odds.fact("legacy.national_id") or person.foreign:
            return None
        return self._written_id(person.national_id, evidence)

    def _written_id(self, number: str, evidence: list[tuple[str, str]]) -> str:
        odds = self.odds
        if odds.error("legacy.id_truncated", "legacy"):
            return number[:15] + "000"
        if odds.error("legacy.id_slip", "legacy"):
            return slip(self.dice, number[:17]) + number[17]
        evidence.append(("national_id", number))
        return number.lower() if self.dice.chance(0.3) else number

    def _note(self, person: Person) -> str | None:
        dice = self.dice
        if dice.chance(0.55):
            return None
        return f"{person.home.store.name}{dice.pick(_NOTES)}"
