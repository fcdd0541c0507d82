"""What requests and answers look like on the wire."""

from datetime import datetime
from typing import Annotated, NoReturn, Self

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cdp.access.answers import Page, Shown, View
from cdp.profiles.evidence import Evidence
from cdp.resolution.sending import Sent
from connectors.index_parts import MOST_PARTS
from connectors.record import AttributeValue, Rejection
from policies.vocabulary import FieldClass, Purpose

_EXAMPLE_ID = "p4t0k9v2m8x7c1q5zr3jd"

PurposeQuery = Annotated[Purpose, Query(description="What the data is used for.")]


class _Form(BaseModel):
    """Base of every form. Pydantic's own ``repr`` leaves out the fields marked so."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a form is sent, and never pickled")


class Lookup(_Form):
    """An exact look-up by a full identifier. It stands in the body, never in an address."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"field": "phone", "value": "138 1234 8000", "purpose": "service"}]
        }
    )
    field: FieldClass = Field(description="The kind of identifier.")
    scope: str | None = Field(
        None, max_length=128, description="App, shop or corp of the identifier; without it, any."
    )
    value: SecretStr = Field(min_length=1, max_length=512, description="The whole identifier.")
    purpose: Purpose = Field(description="What the data is used for.")


class PartsLookup(_Form):
    """A look-up by parts that an index of the workspace is made of, in the body as well."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"parts": {"surname": "欧阳", "phone_tail_4": "1234"}, "purpose": "service"}
            ]
        }
    )
    parts: dict[str, SecretStr] = Field(
        min_length=1, max_length=MOST_PARTS, description="Part and what was given of it."
    )
    purpose: Purpose = Field(description="What the data is used for.")


class ShownForm(_Form):
    """One value and how it is shown."""

    value: str = Field(repr=False, examples=["138****8000"])
    treatment: str = Field(description="mask or clear", examples=["mask"])

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Translate."""
        return cls(value=shown.value, treatment=shown.treatment)


class ConsentForm(_Form):
    """What the person agreed to and refused."""

    granted: tuple[str, ...] = Field(examples=[["service"]])
    refused: tuple[str, ...] = Field(examples=[["marketing"]])


class ProfileForm(_Form):
    """One person, as the caller may see them for this purpose."""

    profile_id: str = Field(examples=[_EXAMPLE_ID])
    redirected_from: str | None = Field(description="The older id that was asked for, if any.")
    fields: dict[str, ShownForm]
    attributes: dict[str, AttributeValue] = Field(
        repr=False, examples=[{"orders": 7, "total_spent": "1280.5"}]
    )
    tags: dict[str, str] = Field(repr=False, examples=[{"lifecycle": "active"}])
    stores: tuple[str, ...] = Field(examples=[["BJ01"]])
    consent: ConsentForm
    omitted: tuple[str, ...] = Field(
        description="Field classes the caller does not get, whoever it is about.",
        examples=[["national_id"]],
    )

    @classmethod
    def of(cls, view: View) -> Self:
        """Translate."""
        return cls(
            profile_id=view.profile_id,
            redirected_from=view.redirected_from,
            fields={name: ShownForm.of(shown) for name, shown in view.fields.items()},
            attributes=dict(view.attributes),
            tags=dict(view.tags),
            stores=view.stores,
            consent=ConsentForm(granted=view.consent.granted, refused=view.consent.refused),
            omitted=view.omitted,
        )


class FoundForm(_Form):
    """The people who hold the identifier, among those the caller may see."""

    profiles: list[ProfileForm]


class PageForm(_Form):
    """A page of people in their order."""

    profiles: list[ProfileForm]
    after: str | None = Field(description="Pass it on for the next page; null: no more.")

    @classmethod
    def of(cls, page: Page) -> Self:
        """Translate."""
        return cls(profiles=[ProfileForm.of(one) for one in page.people], after=page.after)


class MemberForm(_Form):
    """One record of the person."""

    record_id: int
    source: str
    store: str | None
    first_seen: datetime


class FindingForm(_Form):
    """What one comparison gave."""

    comparison: str = Field(examples=["birth date"])
    level: str = Field(examples=["day and month exchanged"])
    bits: float = Field(examples=[6.2])


class LinkForm(_Form):
    """Two records, compared."""

    low_id: int
    high_id: int
    bits: float
    epoch: str
    findings: list[FindingForm]


class EvidenceForm(_Form):
    """Why the records of a person were joined. No values."""

    profile_id: str = Field(examples=[_EXAMPLE_ID])
    records: list[MemberForm]
    links: list[LinkForm]

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """Translate."""
        return cls(
            profile_id=evidence.profile_id,
            records=[
                MemberForm(
                    record_id=one.record_id,
                    source=one.source,
                    store=one.store,
                    first_seen=one.first_seen,
                )
                for one in evidence.records
            ],
            links=[
                LinkForm(
                    low_id=link.low_id,
                    high_id=link.high_id,
                    bits=link.bits,
                    epoch=link.epoch,
                    findings=[
                        FindingForm(comparison=f.comparison, level=f.level, bits=f.bits)
                        for f in link.findings
                    ],
                )
                for link in evidence.links
            ],
        )


class RefusedRowForm(_Form):
    """A row that is no record. Never the row, nor a value of it."""

    position: int = Field(description="Which of the rows sent, from 1.", examples=[3])
    field: str | None = Field(description="Null: the row as a whole.", examples=[None])
    rule: str = Field(examples=["record_id_missing"])
    next_step: str = Field(examples=["Fill openid in this row, or remove the row."])

    @classmethod
    def of(cls, one: Rejection) -> Self:
        """Translate."""
        return cls(position=one.position, field=one.field, rule=one.rule, next_step=one.next_step)

    def told(self) -> dict[str, str]:
        """As one of the errors of a problem."""
        return {name: str(part) for name, part in self.model_dump(exclude_none=True).items()}


class ArrivalForm(_Form):
    """What became of the records sent. No values, and no people but those one may read."""

    stored: int = Field(description="New or changed records.", examples=[2])
    unchanged: int = Field(description="Records that were known as they are.", examples=[0])
    set_aside: int = Field(description="Single values that were not taken in.", examples=[0])
    shredded: int = Field(
        description="Records that stand as destroyed and were not taken in.", examples=[0]
    )
    resolved: bool = Field(description="False: stored, and waiting for the next resolve.")
    people: int = Field(
        description="How many people the new and changed records belong to.", examples=[2]
    )
    profiles: list[str] | None = Field(
        description="Their ids; null where the sender may not read all of them.", examples=[None]
    )
    refused: list[RefusedRowForm]

    @classmethod
    def of(cls, sent: Sent) -> Self:
        """Translate."""
        arrival = sent.arrival
        return cls(
            stored=arrival.stored,
            unchanged=arrival.unchanged,
            set_aside=arrival.set_aside,
            shredded=arrival.shredded,
            resolved=arrival.resolved,
            people=len(arrival.profiles),
            profiles=None if sent.profiles is None else list(sent.profiles),
            refused=[RefusedRowForm.of(one) for one in arrival.refused],
        )


class ProblemForm(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:kith:problem:not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such person among those you may see."])
    code: str = Field(examples=["not_found"])
    request_id: str = Field(examples=["0f7c8c1e5c2f4a0f9a53f6c5d1a4b7e2"])
    errors: list[dict[str, str]] | None = None


class HealthForm(BaseModel):
    """Whether the process lives, or is ready."""

    status: str = Field(examples=["ready"])
