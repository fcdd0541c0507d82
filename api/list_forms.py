"""What lists and figures look like on the wire: closed forms, and no expression."""

from decimal import Decimal
from typing import Annotated, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cdp.access import figures
from cdp.access.cursors import LONGEST
from cdp.access.filters import MOST, Criterion, Filter
from cdp.access.listing import Listing
from policies.vocabulary import FieldClass, Purpose

_Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Form(BaseModel):
    """Base of these forms. Pydantic's own ``repr`` leaves out the fields marked so."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a form is sent, and never pickled")


class CriterionForm(_Form):
    """One condition on what the caller is shown clear: equal to something, or in a range."""

    field: FieldClass = Field(description="tags, attributes or stores.", examples=["attributes"])
    name: _Name | None = Field(
        None, description="Of the tag or the attribute.", examples=["total_spent"]
    )
    equals: StrictBool | StrictInt | Annotated[StrictStr, Field(max_length=256)] | None = Field(
        None, repr=False, description="Compared whole, letter by letter."
    )
    at_least: Decimal | None = Field(None, repr=False, description="A number.", examples=["100"])
    at_most: Decimal | None = Field(None, repr=False, description="A number.")

    def told(self) -> Criterion:
        """Translate."""
        return Criterion(self.field.value, self.name, self.equals, self.at_least, self.at_most)


class FilterForm(_Form):
    """Whom, of the people in the caller's scope."""

    where: list[CriterionForm] = Field(
        default_factory=list, max_length=MOST, description="Conditions that all hold."
    )
    agreed_to: list[Purpose] = Field(
        default_factory=list, max_length=len(Purpose), description="Purposes they agreed to."
    )
    purpose: Purpose = Field(description="What the data is used for.")

    def filter(self) -> Filter:
        """Translate."""
        criteria = tuple(one.told() for one in self.where)
        return Filter(criteria, tuple(one.value for one in self.agreed_to))


class Search(FilterForm):
    """People by what the caller is shown of them, in an order of the caller's choice."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "where": [
                        {"field": "tags", "name": "lifecycle", "equals": "active"},
                        {"field": "attributes", "name": "orders", "at_least": 3},
                    ],
                    "agreed_to": ["marketing"],
                    "order_by": "total_spent",
                    "descending": True,
                    "purpose": "marketing",
                }
            ]
        }
    )
    order_by: _Name | None = Field(
        None, description="An attribute; without it, the order of profile ids."
    )
    descending: bool = Field(default=False, description="The largest first.")
    after: str | None = Field(
        None, max_length=LONGEST, description="What the page before ended with."
    )
    limit: int = Field(50, ge=1, le=200)

    def listing(self) -> Listing:
        """Translate."""
        return Listing(self.filter(), self.order_by, self.descending)


class DimensionForm(_Form):
    """One thing to group people by."""

    kind: figures.Kind = Field(examples=["tag"])
    name: _Name | None = Field(
        None,
        description="Of the tag or attribute; of a node the level, brand or region; of consent "
        "the purpose; of a store none.",
        examples=["lifecycle"],
    )


class FiguresQuestion(FilterForm):
    """How many people, in groups."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by": [{"kind": "node", "name": "region"}, {"kind": "tag", "name": "value"}],
                    "where": [{"field": "tags", "name": "lifecycle", "equals": "active"}],
                    "purpose": "analysis",
                }
            ]
        }
    )
    by: list[DimensionForm] = Field(default_factory=list, max_length=figures.MOST_DIMENSIONS)

    def question(self) -> figures.Question:
        """Translate."""
        by = tuple(figures.Dimension(one.kind, one.name) for one in self.by)
        return figures.Question(by, self.filter())


class GroupForm(_Form):
    """People who have the same in every dimension."""

    values: tuple[str | None, ...] = Field(
        description="In the order of the dimensions; null: nothing there.",
        examples=[["north", "high"]],
    )
    people: int = Field(examples=[120])


class FiguresForm(_Form):
    """Sizes of groups, without the small ones."""

    people: int | None = Field(
        description="How many in all, each once; null: fewer than ten, or nobody.", examples=[480]
    )
    groups: list[GroupForm] = Field(description="Somebody of two stores is in two groups.")
    hidden: bool = Field(description="Whether there are groups that are not shown.")

    @classmethod
    def of(cls, answer: figures.Figures) -> Self:
        """Translate."""
        return cls(
            people=answer.people,
            groups=[GroupForm(values=one.values, people=one.people) for one in answer.groups],
            hidden=answer.hidden,
        )
