"""What a person spends, how often and how lately: it follows from their segment."""

from dataclasses import dataclass
from datetime import date, timedelta
from math import exp

from cdp.demo.dice import Dice
from cdp.demo.people import TODAY, Person
from connectors.record import Raw


@dataclass(frozen=True, slots=True)
class _Habit:
    orders: float  # median number of orders in one channel
    basket: float  # median value of one order, in yuan
    since: tuple[int, int]  # days since the last order: fewest, most


# Retail is top-heavy: about a tenth of members bring close to half of the sales.
_HABITS = {
    "loyal": _Habit(24, 420, (1, 45)),
    "regular": _Habit(9, 300, (3, 120)),
    "occasional": _Habit(3, 230, (30, 400)),
    "lapsed": _Habit(2.5, 210, (366, 1800)),
    "new": _Habit(1.3, 190, (0, 60)),
}


@dataclass(frozen=True, slots=True, repr=False)
class Spending(Raw):
    """A person's account in one channel."""

    orders: int
    total: str  # yuan with two decimals
    last: date
    opened: date


def draw_spending(dice: Dice, person: Person) -> Spending:
    """Draw orders, total and dates of a person in one channel."""
    habit = _HABITS[person.segment]
    orders = max(1, round(habit.orders * exp(0.6 * dice.normal())))
    basket = habit.basket * exp(0.5 * dice.normal())
    last = TODAY - timedelta(days=dice.between(*habit.since))
    opened = last - timedelta(days=dice.between(0, 40 if person.segment == "new" else 1500))
    return Spending(orders, f"{orders * basket:.2f}", last, opened)
