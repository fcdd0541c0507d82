"""What can go wrong at the edge, sorted by what to do next.

``Stop``: somebody has to change something first. ``Retry``: try the same again later.
``Skip``: leave this one item out and go on. No error carries a raw value.
"""


class ConnectorError(Exception):
    """A source or destination could not go on: says where, which rule, and the next step."""

    def __init__(
        self,
        source: str,
        rule: str,
        next_step: str,
        position: int | None = None,
        field: str | None = None,
    ) -> None:
        self.source = source  # name of the source or destination
        self.rule = rule
        self.next_step = next_step
        self.position = position  # 1-based row, where one row is at fault
        self.field = field  # field, or path in the declaration
        super().__init__(source, rule, next_step, position, field)

    def __str__(self) -> str:
        where = self.source
        if self.position is not None:
            where += f", row {self.position}"
        if self.field is not None:
            where += f", {self.field}"
        return f"{where}: {self.rule}. {self.next_step}"


class Stop(ConnectorError):  # noqa: N818 - named for what to do next
    """Nothing more can be done until somebody follows the next step."""


class DeclarationError(Stop):
    """A declaration does not say what it must; ``field`` is the path inside it."""


class Skip(ConnectorError):  # noqa: N818 - named for what to do next
    """This one item can never succeed; leave it out and go on."""


class Retry(ConnectorError):  # noqa: N818 - named for what to do next
    """The same call may succeed later."""

    def __init__(
        self, source: str, rule: str, next_step: str, *, after: float | None = None
    ) -> None:
        super().__init__(source, rule, next_step)
        self.after = after  # seconds the other side asked us to wait, None when it did not say
