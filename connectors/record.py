"""A record as a source delivered it.

A raw value is born here, wrapped in ``Sensitive``, and stays wrapped.

Invariants, each named by a test in ``tests/unit/connectors/test_record.py``:

1. No way of turning a ``Sensitive`` into text shows the value.
2. JSON, pickle and copy refuse a ``Sensitive`` instead of writing its value.
3. Only ``reveal`` opens it, and ``reveal`` asks why.
4. Equality and hash say nothing about the value: two wrappers of one value are unequal.
5. A wrapper cannot be changed or subclassed.
6. The ``repr`` of a record, a field value, a problem or a rejection shows no raw value.
7. What holds raw values as plain text for a moment is a ``Raw``: pickle and copy refuse it.

``tests/unit/test_models_show_nothing.py`` fills every model of the product and looks for more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn, final

_REFUSAL: Final = "a sensitive value cannot be pickled, copied or serialised"

AttributeValue = int | str | bool
"""A typed attribute: integer -> int; decimal, date, category -> str; boolean -> bool."""


@final
class Sensitive:
    """A raw value that does not show itself."""

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("a sensitive value wraps text")
        _KEEP(self, value)

    def reveal(self, *, reason: str) -> str:
        """Return the raw value. ``reason`` goes to the audit log; empty raises ValueError."""
        if not reason.strip():
            raise ValueError("reveal needs a reason")
        return self._value

    def __repr__(self) -> str:
        return "<sensitive>"

    def __str__(self) -> str:
        return "<sensitive>"

    def __format__(self, format_spec: str) -> str:
        return "<sensitive>"  # whatever the width or type asked for

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a sensitive value does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a sensitive value does not change")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Sensitive has no subclasses: one could show the value")

    # object.__getstate__ would hand out the slots, so each door of the pickle protocol is shut.
    def __getstate__(self) -> NoReturn:
        raise TypeError(_REFUSAL)

    def __reduce__(self) -> NoReturn:
        raise TypeError(_REFUSAL)

    def __copy__(self) -> NoReturn:
        raise TypeError(_REFUSAL)

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError(_REFUSAL)


# What object.__setattr__ does for this one slot, without looking it up: half the time.
_KEEP = Sensitive.__dict__["_value"].__set__
_NEW = object.__new__


def decoded(encoded: Iterable[bytes]) -> list[Sensitive]:
    """Wrap many UTF-8 values, in less time than one by one takes.

    Raises:
        UnicodeDecodeError: one is no UTF-8. The error holds it: never let it go further.
    """
    wrapped = []
    for one in encoded:
        sensitive = _NEW(Sensitive)
        _KEEP(sensitive, one.decode())
        wrapped.append(sensitive)
    return wrapped


class Raw:
    """Base of models that hold raw values as plain text while they are worked on.

    Fields with a raw value are declared with ``repr=False``; a model of such fields alone
    leaves the ``repr`` to this base.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(_REFUSAL)


@dataclass(frozen=True, slots=True, eq=False)
class FieldValue:
    """One value of one identity field, as text, trimmed but not normalised."""

    value: Sensitive
    scope: str | None = None  # app id, platform account, corp or shop; identifiers only
    formats: tuple[str, ...] = ()  # of a date, strptime's, tried in order; of a phone, its country


@dataclass(frozen=True, slots=True, eq=False)
class FieldProblem:
    """One value that could not be read; the row goes on without it and ingest sets it aside."""

    field: str  # an identity field or an attribute name
    rule: str
    next_step: str
    raw: Sensitive


_NO_ATTRIBUTES: Final[Mapping[str, AttributeValue]] = MappingProxyType({})
_NO_CELLS: Final[Mapping[str, Sensitive]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Breach:
    """A demand of the source's contract that a row breaks."""

    rule: str
    subject: str  # a column or field
    next_step: str
    action: Literal["reject", "pause", "warn"]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One row of a source, mapped. Absent values have no key."""

    source: str
    record_id: Sensitive  # unique in the source; several columns are joined without ambiguity
    position: int  # 1-based row in the source, the header not counted
    fields: Mapping[str, tuple[FieldValue, ...]]  # identity field -> its values, never empty
    attributes: Mapping[str, AttributeValue] = field(
        default_factory=lambda: _NO_ATTRIBUTES, repr=False
    )
    store: str | None = None  # node id of the organisation tree
    opted_out: frozenset[str] = frozenset()  # purposes the person refused
    problems: tuple[FieldProblem, ...] = ()
    breaches: tuple[Breach, ...] = ()  # of the contract; no part of what the record says
    # YYYY-MM-DD, where the contract asks how fresh the rows are
    day: str | None = field(default=None, repr=False)
    # Of a feed that has an order: a greater one is newer. Microseconds since 1970, or a count.
    order: int | None = None
    load: int | None = None  # of a feed that loads a whole table anew: which time it does so
    # Purposes on which the row says nothing: not granted.
    unstated: frozenset[str] = field(default=frozenset(), repr=False)
    # Cells of the source's own, sealed beside the fields and never shown, by name.
    kept: Mapping[str, Sensitive] = field(default_factory=lambda: _NO_CELLS, repr=False)
    # What it was mapped from, by column (connectors.cells.Cell), as the reader gave it and not
    # copied: it is looked at where a row cannot be processed. None: nobody has it.
    cells: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Rejection:
    """A row that gave no record (``field`` is None), or, from ingest, a field set aside."""

    source: str
    position: int
    field: str | None
    rule: str
    next_step: str
    raw: Sensitive  # the row as text, cut after RAW_LIMIT characters
    record_id: Sensitive | None = None  # whose row it is, where that could be read
    breaches: tuple[Breach, ...] = ()  # of the contract, where they are why
    load: int | None = None  # as of a record
    order: int | None = None  # as of a record
    # Its cells as one text, where there are any: see connectors/kept_cells.py.
    cells: Sensitive | None = None


RAW_LIMIT: Final = 64 * 1024
"""Characters of a rejected row that are kept, so that one broken row cannot fill the vault."""
