"""The people of the made-up world: names, birth dates, homes, phones, habits."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from cdp.demo.dice import Dice, Weighted
from cdp.demo.names import (
    Name,
    draw_given,
    draw_latin,
    draw_surname,
    draw_tibetan,
    draw_uyghur,
)
from cdp.demo.noise import PLACEHOLDERS, Odds
from cdp.demo.numbers_cn import Phones, draw_id
from cdp.demo.places import BIRTHPLACES, ESTATES, STORES, STREETS, Store
from connectors.record import Raw

TODAY = date(2026, 6, 30)  # the world's last day

# Ages of members: the till's customers are 25 to 50 above all.
_AGES = Weighted(((16, 3), (20, 7), (25, 14), (30, 16), (35, 15), (40, 12), (45, 10)))
_OLDER_AGES = Weighted(((50, 9), (55, 7), (60, 5), (65, 4), (70, 3), (75, 2)))
_OLDER_SHARE = 0.28

# segment -> share; spend and recency follow from it in `spending.py`.
_SEGMENTS = Weighted(
    (("loyal", 0.10), ("regular", 0.25), ("occasional", 0.35), ("lapsed", 0.22), ("new", 0.08))
)
_HOUSEHOLDS = Weighted((("couple", 0.46), ("child", 0.34), ("elder", 0.16), ("siblings", 0.04)))


@dataclass(frozen=True, slots=True, repr=False)
class Home(Raw):
    """Where a household lives and which store it visits."""

    store: Store
    district: str
    code: str  # GB/T 2260 code of the district
    address: str


@dataclass(slots=True, repr=False)
class Person(Raw):
    """One made-up person. `phones[0]` is the number in use now.

    `extra` lists further numbers with the reason they turn up in records: `second`,
    `former`, `family`.
    """

    number: int
    name: Name
    gender: str  # M or F
    born: date
    home: Home
    segment: str
    joined: date
    phone: str = ""
    extra: list[tuple[str, str]] = field(default_factory=list)  # (reason, number)
    dependent: bool = False  # has no number of their own, uses the household's
    unionid: str = ""
    second_unionid: str = ""  # of a second WeChat account
    email: str = ""
    national_id: str = ""

    @property
    def key(self) -> str:
        """The person's id in the truth."""
        return f"P{self.number:06d}"

    @property
    def foreign(self) -> bool:
        """Whether the person is a foreign resident, who has no Chinese ID number."""
        return self.name.full[0].isascii()

    @property
    def age(self) -> int:
        """Age in years on the world's last day, to within a year."""
        return TODAY.year - self.born.year


class Population:
    """Builds people, household by household."""

    def __init__(self, odds: Odds) -> None:
        self.odds = odds
        self.dice = odds.dice
        self.phones = Phones(odds.dice, PLACEHOLDERS)
        self.people: list[Person] = []
        self._stores = Weighted((store, store.share) for store in STORES)

    def fill(self, count: int) -> list[Person]:
        """Return `count` people with phones, e-mail, ids and habits."""
        while len(self.people) < count:
            if count - len(self.people) >= 2 and self.odds.fact("household"):
                self._household(count - len(self.people))
            else:
                self._single()
        self._recycle_numbers()
        return self.people

    def _single(self) -> Person:
        home = draw_home(self.dice, self.dice.weighted(self._stores))
        return self._add(self._name(), self.dice.pick("MF"), draw_birth(self.odds), home)

    def _name(self) -> Name | None:
        """Return a name from outside the Han pattern, or None for the usual one."""
        if self.odds.fact("name.minority"):
            return Name("*", "uyghur") if self.dice.chance(0.6) else draw_tibetan(self.dice)
        return draw_latin(self.dice) if self.odds.fact("name.latin") else None

    def _add(self, name: Name | None, gender: str, born: date, home: Home) -> Person:
        dice = self.dice
        if name is None:
            name = Name(draw_surname(dice), draw_given(dice, gender, born.year))
        elif name.surname == "*":
            name = draw_uyghur(dice, gender)
        region = home.code if dice.chance(0.45) else dice.pick(BIRTHPLACES)
        person = Person(
            number=len(self.people) + 1,
            name=name,
            gender=gender,
            born=born,
            home=home,
            segment=dice.weighted(_SEGMENTS),
            joined=TODAY - timedelta(days=dice.between(30, 3600)),
            phone=self.phones.draw(),
            unionid=draw_unionid(dice),
            second_unionid=draw_unionid(dice),
            national_id=draw_id(dice, region, born, gender),
        )
        if self.odds.fact("phone.second"):
            person.extra.append(("second", self.phones.draw()))
        if self.odds.fact("phone.former"):
            person.extra.append(("former", self.phones.draw()))
        if self.odds.fact("email"):
            person.email = draw_email(dice)
        self.people.append(person)
        return person

    def _household(self, room: int) -> None:
        head = self._single()
        kind = self.dice.weighted(_HOUSEHOLDS)
        size = 2 if kind in ("couple", "siblings") else self.dice.between(2, 3)
        for _ in range(min(size, room) - 1):
            relative = self._relative(head, kind)
            relative.dependent = self.odds.fact("household.dependent")
            if relative.dependent:
                relative.phone = head.phone
                relative.extra.clear()
            else:
                relative.extra.append(("family", head.phone))
            if head.email and self.odds.fact("email.shared"):
                relative.email = head.email

    def _relative(self, head: Person, kind: str) -> Person:
        dice = self.dice
        gender = dice.pick("MF")
        if kind == "siblings" and self.odds.fact("household.twins"):
            born = head.born
        else:
            born = _relative_birth(dice, head.born, kind)
        if kind == "couple":
            return self._add(None, "F" if head.gender == "M" else "M", born, head.home)
        # Children bear the father's surname; a mother's in about one family in ten.
        bears = kind == "siblings" or dice.chance(0.9 if head.gender == "M" else 0.3)
        if not bears or not head.name.surname or head.name.surname[0].isascii():
            return self._add(None, gender, born, head.home)
        given = draw_given(dice, gender, born.year)
        if kind == "siblings" and len(head.name.given) == len(given) == 2:
            given = head.name.given[0] + given[1]  # siblings often share a character
        if given == head.name.given:
            given = draw_given(dice, gender, born.year) + "宁"
        return self._add(Name(head.name.surname, given), gender, born, head.home)

    def _recycle_numbers(self) -> None:
        """Sell some former numbers again: an earlier owner's becomes a newcomer's."""
        dice = self.dice
        givers = [
            person
            for person in self.people
            if not person.dependent and self.odds.fact("phone.recycled")
        ]
        for giver in givers:
            taker = dice.pick(self.people)
            if taker is giver or taker.dependent or taker.home is giver.home:
                continue
            if any(reason == "family" for reason, _ in taker.extra):
                continue
            giver.extra = [pair for pair in giver.extra if pair[0] != "former"]
            giver.extra.append(("former", taker.phone))
            self.odds.note("phone.recycled.sold")


def draw_home(dice: Dice, store: Store) -> Home:
    """Draw a home near a store."""
    district, code = dice.pick(store.districts)
    block = f"{dice.pick(STREETS)}{dice.between(1, 399)}号{dice.pick(ESTATES)}"
    door = f"{dice.between(1, 28)}号楼{dice.between(1, 6)}单元"
    flat = f"{dice.between(1, 33)}0{dice.between(1, 4)}"
    return Home(store, district, code, block + door + flat)


def draw_birth(odds: Odds) -> date:
    """Draw a birth date from the ages of a retailer's members."""
    dice = odds.dice
    start = dice.weighted(_OLDER_AGES if dice.chance(_OLDER_SHARE) else _AGES)
    born = TODAY - timedelta(days=int(365.25 * start) + dice.below(1826))
    return born.replace(month=1, day=1) if odds.fact("birth.new_year") else born


def draw_unionid(dice: Dice) -> str:
    """Draw a union id in WeChat's shape, 28 characters."""
    return f"oKith{dice.digits(12)}x{dice.digits(10)}"


def draw_email(dice: Dice) -> str:
    """Draw a mail address in a domain that can never exist."""
    domain = dice.pick(("example.com", "mail.invalid", "qq.invalid", "163.invalid"))
    if dice.chance(0.6):
        return f"{dice.between(1, 9)}{dice.digits(8)}@{domain}"
    word = "".join(dice.pick("bcdfghlmwxyz") + dice.pick("aeiou") for _ in range(3))
    return f"{word}{dice.digits(4)}@{domain}"


def _relative_birth(dice: Dice, head: date, kind: str) -> date:
    """Draw a relative's birth date; members are 14 or older."""
    years = {"couple": (-4, 4), "child": (22, 34), "elder": (-34, -22), "siblings": (-7, 7)}
    low, high = years[kind]
    shift = dice.between(low * 365, high * 365)
    born = head + timedelta(days=shift)
    youngest = TODAY - timedelta(days=14 * 366)
    oldest = date(1932, 1, 1)
    if born > youngest:
        return youngest - timedelta(days=dice.below(1500))
    return born if born > oldest else oldest + timedelta(days=dice.below(1500))
