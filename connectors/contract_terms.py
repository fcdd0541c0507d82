"""The data contract of a source, as ``cdp.yaml`` writes it: ``contract:`` and ``on_breach:``.

A contract says what is agreed about the data, not how it is read: it is no part of the digest,
so that a new contract makes no record a changed one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from connectors.date_formats import names_a_day
from connectors.errors import DeclarationError

Action = Literal["reject", "pause", "warn"]
USUAL_RUNS: Final = 5  # earlier deliveries that make the usual volume
DAY: Final = 24  # hours
_WHOLE: Final = frozenset({"csv", "jsonl", "parquet", "tsv", "xlsx"})
_EITHER: Final = frozenset({"http", "sql"})  # whole in full mode
_MINUTES: Final = 60  # of an hour


@dataclass(frozen=True, slots=True)
class Demand:
    """What each row must hold in one column, or in one field once it is mapped.

    Attributes:
        subject: the column, field or attribute.
        of_field: whether it is a field or attribute.
        required: at least one value.
        type: what every value must be; None: any text.
        formats: of a date.
        least, most: of a number, or of a date as YYYY-MM-DD; both belong to the range.
        allowed: the values there may be, without case; empty: any.
        action: what becomes of a row that breaks it.
    """

    subject: str
    of_field: bool
    action: Action
    required: bool = False
    type: Any = None
    formats: tuple[str, ...] = ()
    least: str | None = None
    most: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest day in ``column`` may be at most ``days`` days back."""

    column: str
    days: int
    action: Action
    formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """Rows of a delivery, as shares of the median of the last ``runs`` deliveries.

    Of a feed that is followed, the rows of ``hours`` hours stand for a delivery.
    """

    action: Action
    least: float | None = None
    most: float | None = None
    runs: int = USUAL_RUNS
    hours: int = DAY


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything agreed about one source."""

    demands: tuple[Demand, ...] = ()
    freshness: Freshness | None = None
    volume: Volume | None = None

    def of_rows(self) -> "Contract | None":
        """What it asks of each row alone; None: nothing. Only that decides how a row is read."""
        return Contract(self.demands) if self.demands else None

    def columns(self) -> tuple[str, ...]:
        """Every column it looks at."""
        names = [one.subject for one in self.demands if not one.of_field]
        return (*names, *([self.freshness.column] if self.freshness else []))


def require_rows_only(source: str, contract: Contract | None) -> None:
    """Check that the contract of a source whose rows are sent asks of each row alone.

    Raises:
        DeclarationError: nobody would ever judge the rest of it.
    """
    for term in ("freshness", "volume"):
        if contract is not None and getattr(contract, term) is not None:
            step = "Remove it: rows are sent one by one. See how many came: cdp source status."
            raise DeclarationError(source, "no_delivery", step, field=f"contract.{term}")


def parse_contract(source: str, raw: Mapping[str, Any], mapped: Collection[str]) -> Contract | None:
    """Read ``contract:`` and ``on_breach:`` of a source, whose form the schema has checked.

    Args:
        source: its name.
        raw: the whole entry of the source.
        mapped: its fields and attributes.

    Raises:
        DeclarationError: naming the path and the rule.
    """
    if "contract" not in raw:
        if "on_breach" in raw:
            step = "Remove it, or say under contract what is agreed."
            raise DeclarationError(source, "nothing_agreed", step, field="on_breach")
        return None
    terms, action = raw["contract"], raw.get("on_breach", "reject")
    demands = [
        _demand(source, f"contract.{kind}.{subject}", subject, one, action)
        for kind in ("columns", "fields")
        for subject, one in terms.get(kind, {}).items()
    ]
    for one in demands:
        if one.of_field and one.subject not in mapped:
            step = f"Name one that is mapped: {', '.join(sorted(mapped))}."
            raise DeclarationError(
                source, "not_mapped", step, field=f"contract.fields.{one.subject}"
            )
    return Contract(
        tuple(demands),
        _freshness(source, terms["freshness"], action) if "freshness" in terms else None,
        _volume(source, raw, action) if "volume" in terms else None,
    )


def _demand(source: str, path: str, subject: str, raw: Mapping[str, Any], action: str) -> Demand:
    limits = raw.get("range", {})
    kind = raw.get("type")
    if not set(raw) & {"required", "type", "range", "allowed"}:
        step = "Write required, type, range or allowed."
        raise DeclarationError(source, "nothing_agreed", step, field=path)
    if limits and kind not in {"integer", "decimal", "date"}:
        step = "Give it a type that has an order: integer, decimal or date."
        raise DeclarationError(source, "range_without_order", step, field=f"{path}.range")
    formats = tuple(raw.get("formats", ()))
    if formats and kind != "date":
        step = "Only a date has formats: remove them."
        raise DeclarationError(source, "formats_without_date", step, field=path)
    _require_days(source, path, formats)
    least, most = (_limit(source, path, limits.get(end), kind) for end in ("least", "most"))
    if least is not None and most is not None and _order(least, kind) > _order(most, kind):
        step = "Put the smaller one under least."
        raise DeclarationError(source, "range_empty", step, field=f"{path}.range")
    return Demand(
        subject=subject,
        of_field=path.startswith("contract.fields."),
        action=raw.get("on_breach", action),
        required=raw.get("required", False),
        type=kind,
        formats=formats,
        least=least,
        most=most,
        allowed=tuple(one.strip().casefold() for one in raw.get("allowed", ())),
    )


def _require_days(source: str, path: str, formats: tuple[str, ...]) -> None:
    if not all(map(names_a_day, formats)):
        step = "Name year, month and day in each format."
        raise DeclarationError(source, "date_incomplete", step, field=path)


def _limit(source: str, path: str, limit: Any, kind: str | None) -> str | None:
    if limit is None:
        return None
    text = str(limit)
    try:
        _order(text, kind)
    except (ValueError, InvalidOperation):
        step = "Write a day as YYYY-MM-DD, in quotes." if kind == "date" else "Write a number."
        raise DeclarationError(source, "range_form", step, field=f"{path}.range") from None
    return text


def _order(text: str, kind: str | None) -> Any:
    """What a limit or a value of this type is compared by."""
    if kind != "date":
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError(kind)
        return number
    if len(text) != len("2000-01-01") or [text[4], text[7]] != ["-", "-"]:
        raise ValueError(kind)
    return tuple(int(part) for part in text.split("-"))


def within(demand: Demand, text: str) -> bool:
    """Whether a value of the demanded type, in its canonical form, is in the range."""
    value = _order(text, demand.type)
    below = demand.least is not None and value < _order(demand.least, demand.type)
    above = demand.most is not None and value > _order(demand.most, demand.type)
    return not (below or above)


def _whole(raw: Mapping[str, Any], action: str) -> Action:
    """What a delivery that breaks a rule as a whole causes: it has no row to reject."""
    asked = raw.get("on_breach", action)
    return "warn" if asked == "warn" else "pause"


def _freshness(source: str, raw: Mapping[str, Any], action: str) -> Freshness:
    formats = tuple(raw.get("formats", ()))
    _require_days(source, "contract.freshness", formats)
    return Freshness(raw["column"], raw["days"], _whole(raw, action), formats)


def _is_followed(entry: Mapping[str, Any]) -> bool:
    """Whether a source gives what changed, and not everything each time."""
    connector = entry["connector"]
    return connector not in _WHOLE and (
        connector not in _EITHER or entry.get("mode") == "incremental"
    )


def _volume(source: str, entry: Mapping[str, Any], action: str) -> Volume:
    raw = entry["contract"]["volume"]
    least, most = raw.get("least"), raw.get("most")
    if least is None and most is None:
        step = "Write least, most or both, as shares of the usual: 0.5, 2."
        raise DeclarationError(source, "nothing_agreed", step, field="contract.volume")
    if (least or 0) > 1 or (most is not None and most < 1):
        step = "The usual itself is 1: write least up to 1, and most from 1."
        raise DeclarationError(source, "range_empty", step, field="contract.volume")
    if "hours" in raw and not _is_followed(entry):
        step = "Remove hours: each reading of it gives everything, and is compared as a whole."
        raise DeclarationError(source, "option_not_used", step, field="contract.volume.hours")
    hours = raw.get("hours", DAY)
    schedule = entry.get("schedule", {})
    rhythm = DAY * _MINUTES if "daily" in schedule else schedule.get("minutes", 0)
    if "hours" in raw and hours * _MINUTES < rhythm:
        step = "Write at least the hours from one sync to the next: no others can be compared."
        raise DeclarationError(source, "volume_too_short", step, field="contract.volume.hours")
    return Volume(_whole(raw, action), least, most, raw.get("runs", USUAL_RUNS), hours)
