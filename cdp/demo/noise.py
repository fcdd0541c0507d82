"""What goes wrong, and how often.

`FACTS` are rates of how people live and shop; `ERRORS` are rates of careless work and
are scaled by the world's `noise` multiplier. Every rate stands beside the reason for
its size. `Odds` draws by name and keeps count, so a test can hold each rate to what
was really written.
"""

from collections import Counter, defaultdict

from cdp.demo.dice import Dice

FACTS: dict[str, float] = {
    # Share of draws that start a household with two or more customers behind one door.
    # About one in eight members of a family retailer shops beside a relative.
    "household": 0.055,
    # Twins are about 1.7 % of births; few pairs stay customers of one store.
    "household.twins": 0.03,
    # The relative has no number of their own in use here: a child, an elderly parent.
    "household.dependent": 0.42,
    # 1.7 billion mobile numbers for 1.4 billion people; about one adult in six uses two.
    "phone.second": 0.16,
    # A number unused for 90 days is sold again; about 1 % of members hold one that was
    # an earlier member's. Regional number pools make it likelier than chance.
    "phone.recycled": 0.012,
    # People who changed their number and left the old one, not sold again, in old files.
    "phone.former": 0.07,
    "name.minority": 0.012,  # Uyghur and Tibetan names in eastern cities
    "name.latin": 0.004,  # foreign residents
    # Registered birthdays gather on 1 January, above all for those born before 1980.
    "birth.new_year": 0.012,
    "email": 0.38,  # people who ever give an address; most Chinese shoppers do not
    "email.shared": 0.02,  # one address for a couple
    "pos.second_card": 0.055,  # lost card, new card, or registered at a second store
    "pos.retyped": 0.008,  # the row keyed twice when the till hung
    "miniprogram.second_account": 0.025,  # a work and a private WeChat
    "shop.second_account": 0.08,
    "wecom.second_account": 0.015,
    "legacy.second_row": 0.06,  # sheets of two years pasted together
    "legacy.retyped": 0.01,
    # A union id is delivered only after the app was bound to the Open Platform account.
    "miniprogram.unionid": 0.80,
    # Authorising the phone is a choice, and the call costs the merchant money.
    "miniprogram.phone": 0.58,
    "miniprogram.city": 0.22,
    "miniprogram.real_name": 0.06,  # a nickname that is the person's name
    "miniprogram.other_name": 0.03,  # a nickname that looks like a name and is not
    "wecom.unionid": 0.68,  # needs a verified corp and a contact from WeChat, not WeCom
    "wecom.mobile": 0.46,  # clerks note a number for about every second contact
    "wecom.second_mobile": 0.05,
    # Marketplaces hide the buyer; own web shops do not. Shares of the phone column.
    "shop.privacy_number": 0.24,
    "shop.masked_phone": 0.18,
    "shop.masked_name": 0.46,
    "shop.informal_name": 0.08,  # `张女士`, `小张`
    "shop.email": 0.45,  # of people who have an address
    "pos.no_phone": 0.05,
    "pos.no_birthday": 0.34,
    "pos.no_gender": 0.12,
    "pos.opt_out": 0.06,
    "legacy.no_phone": 0.07,
    "legacy.no_birthday": 0.32,
    "legacy.national_id": 0.30,  # asked for in the old paper form
    "legacy.card_carried": 0.15,  # the old member number became the new card number
}

ERRORS: dict[str, float] = {
    # Keyboard slips: published keying-error rates are 0.2 to 0.5 % a digit without a
    # second entry, and most are seen at once; about 3 % of numbers stay wrong.
    "phone.slip": 0.014,
    "phone.transposed": 0.007,
    "phone.dropped_digit": 0.006,
    # A required field and a customer who declines: the clerk types what the till takes.
    "phone.placeholder": 0.012,
    # Formatting survives normalisation; about one number in four is not eleven digits.
    "phone.formatted": 0.24,
    # Names are heard, and typed by sound with an input method.
    "name.homophone": 0.022,
    "name.dropped_character": 0.006,
    "name.added_character": 0.004,
    "name.informal": 0.025,  # `张女士` on the card
    "name.spaced": 0.015,  # `张 三`, survives normalisation
    # A form that insists on a birthday gets the default of its date picker.
    "birth.default": 0.04,
    "birth.swapped": 0.008,  # day and month, only where both are possible
    "birth.wrong_year": 0.009,
    "legacy.phone_scientific": 0.006,  # `1.38E+10`: what Excel makes of a number column
    "legacy.id_truncated": 0.02,  # Excel keeps fifteen digits; the last three become 0
    "legacy.id_slip": 0.02,
}

# Old spreadsheets were typed with less care than tills; WeCom by clerks on a phone.
CARELESSNESS = {"pos": 1.0, "legacy": 1.5, "wecom": 0.8, "shop": 0.25}

PLACEHOLDERS = ("13800138000", "11111111111", "00000000000")
DEFAULT_BIRTHDAYS = ("1900-01-01", "1990-01-01")


class Odds:
    """Draws named events and counts what was expected and what happened."""

    __slots__ = ("dice", "expected", "happened", "multiplier")

    def __init__(self, dice: Dice, multiplier: float) -> None:
        if multiplier < 0:
            raise ValueError("the noise multiplier must not be negative")
        self.dice = dice
        self.multiplier = multiplier
        self.expected: defaultdict[str, float] = defaultdict(float)  # event -> sum of probabilities
        self.happened: Counter[str] = Counter()  # event -> number of times

    def fact(self, event: str) -> bool:
        """Draw an event of `FACTS`."""
        return self._draw(event, FACTS[event])

    def error(self, event: str, source: str = "pos") -> bool:
        """Draw an event of `ERRORS` as careless as the source is."""
        rate = ERRORS[event] * self.multiplier * CARELESSNESS[source]
        return self._draw(event, min(rate, 0.95))

    def note(self, event: str, times: int = 1) -> None:
        """Count an event that is set by number and not by a rate."""
        self.happened[event] += times

    def _draw(self, event: str, rate: float) -> bool:
        self.expected[event] += rate
        happens = self.dice.unit() < rate
        if happens:
            self.happened[event] += 1
        return happens
