"""Chinese mobile numbers and ID numbers of people who do not exist."""

from datetime import date

from cdp.demo.dice import Dice

# Prefixes in use by China Mobile, China Unicom and China Telecom for people.
PREFIXES = [
    "134",
    "135",
    "136",
    "137",
    "138",
    "139",
    "147",
    "150",
    "151",
    "152",
    "157",
    "158",
    "159",
    "178",
    "182",
    "183",
    "184",
    "187",
    "188",
    "198",
    "130",
    "131",
    "132",
    "155",
    "156",
    "166",
    "175",
    "176",
    "185",
    "186",
    "133",
    "153",
    "173",
    "177",
    "180",
    "181",
    "189",
    "191",
    "199",
]

# GB 11643-1999: weights of the first 17 digits and the check character by remainder.
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"

_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


class Phones:
    """Hands out mobile numbers, none twice."""

    __slots__ = ("_dice", "_taken")

    def __init__(self, dice: Dice, reserved: tuple[str, ...] = ()) -> None:
        self._dice = dice
        self._taken = set(reserved)

    def draw(self) -> str:
        """Return a number that nobody has yet."""
        while True:
            number = self._dice.pick(PREFIXES) + self._dice.digits(8)
            if number not in self._taken and number[3:] != number[3] * 8:
                self._taken.add(number)
                return number


def id_check(first_17: str) -> str:
    """Return the check character of GB 11643 for 17 digits."""
    total = sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True))
    return _CHECKS[total % 11]


def draw_id(dice: Dice, region: str, born: date, gender: str) -> str:
    """Return a valid ID number: region, birth date, sequence (odd for men), check."""
    sequence = 2 * dice.below(500) + (1 if gender == "M" else 0)
    body = f"{region}{born:%Y%m%d}{sequence:03d}"
    return body + id_check(body)


def slip(dice: Dice, number: str) -> str:
    """Return the number with one digit wrong, never among the first three."""
    at = dice.between(3, len(number) - 1)
    wrong = (int(number[at]) + dice.between(1, 9)) % 10
    return f"{number[:at]}{wrong}{number[at + 1 :]}"


def transpose(dice: Dice, number: str) -> str:
    """Return the number with two neighbouring, different digits swapped."""
    spots = [at for at in range(2, len(number) - 1) if number[at] != number[at + 1]]
    if not spots:
        return slip(dice, number)
    at = dice.pick(spots)
    return number[:at] + number[at + 1] + number[at] + number[at + 2 :]


def drop_digit(dice: Dice, number: str) -> str:
    """Return the number with one digit missing."""
    at = dice.between(1, len(number) - 1)
    return number[:at] + number[at + 1 :]


def dress(dice: Dice, number: str) -> str:
    """Return an eleven-digit number as a clerk may type it; the value survives."""
    grouped = (number[:3], number[3:7], number[7:])
    styles = (
        f"+86{number}",
        f"+86 {' '.join(grouped)}",
        f"0086{number}",
        f"86-{number}",
        "-".join(grouped),
        " ".join(grouped),
        f" {number} ",
        number.translate(_FULL_WIDTH),
        f"{number}。",
        f"(+86){number}",
    )
    return dice.pick(styles)


def mask_phone(number: str) -> str:
    """Return the number as marketplaces show it, `138****8000`."""
    return f"{number[:3]}****{number[7:]}"
