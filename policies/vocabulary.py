"""The closed set of words a policy may use.

A word that is not here is refused wherever it turns up: in a policy file, in a
mask declaration, in a request.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag, StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What a person, or a system, works as. One subject has one role."""

    CLERK = "clerk"
    MANAGER = "manager"
    HEADQUARTERS = "headquarters"
    ANALYST = "analyst"  # figures about groups, never a person
    OPERATOR = "operator"
    COMPLIANCE = "compliance"
    SERVICE = "service"


class Action(StrEnum):
    """What a subject wants to do."""

    FIND = "find"  # look a person up by one exact value
    LIST = "list"  # a page of many people
    READ = "read"  # the profile of one person
    REVEAL = "reveal"  # one field of one person, clear, with a reason
    COUNT = "count"  # figures about groups of people; a field so granted may be grouped by
    EXPORT = "export"  # a file that leaves the house
    MERGE = "merge"
    SPLIT = "split"
    TAG = "tag"
    PUBLISH = "publish"  # delivery to a declared destination
    ERASE = "erase"
    BREAK_GLASS = "break_glass"  # reveal at once, without the second person; reviewed afterwards
    APPROVE = "approve"  # be the second person for somebody else's request
    AUDIT = "audit"
    CONFIGURE = "configure"
    INGEST = "ingest"  # send records of a source
    DECIDE = "decide"  # ask what others may do, to keep to it elsewhere


class Purpose(StrEnum):
    """What the data is used for; its legal basis is declared in purposes.yaml."""

    SERVICE = "service"
    MARKETING = "marketing"
    ANALYSIS = "analysis"
    FRAUD = "fraud"
    LEGAL = "legal"


class LegalBasis(StrEnum):
    """Grounds for processing, after PIPL article 13."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_DUTY = "legal_duty"


class Treatment(IntEnum):
    """How much of a field is shown. A greater one shows more."""

    OMIT = 0
    MASK = 1
    CLEAR = 2

    @property
    def word(self) -> str:
        """The lower-case word used in policy.csv and in JSON."""
        return self.name.lower()


class Circumstances(IntFlag):
    """What holds while somebody asks. A policy line may need some of it.

    The set is closed: a policy names these words and can compute nothing.
    """

    ON_SHIFT = 1  # within the hours that the subject works
    IN_NETWORK = 2  # from an address of the networks of the subject's node
    AT_STORE = 4  # today's roster has the subject at their node

    @property
    def word(self) -> str:
        """The word of policy.csv: ``always``, or names joined by ``+``."""
        return "+".join(str(one.name).lower() for one in Circumstances if one in self) or "always"


NO_CIRCUMSTANCES: Final = Circumstances(0)
ALL_CIRCUMSTANCES: Final = (
    Circumstances.ON_SHIFT | Circumstances.IN_NETWORK | Circumstances.AT_STORE
)
EVERY_CIRCUMSTANCES: Final = tuple(map(Circumstances, range(ALL_CIRCUMSTANCES + 1)))
"""Each combination, at the place of its number."""


class Effect(StrEnum):
    """What a policy line does."""

    ALLOW = "allow"
    DENY = "deny"


class FieldClass(StrEnum):
    """What is shown: an identity field, or a part of the profile, or nothing at all."""

    NONE = "none"  # the action itself shows no field

    NAME = "name"
    GIVEN_NAME = "given_name"
    SURNAME = "surname"
    NICKNAME = "nickname"
    REMARK = "remark"
    PHONE = "phone"
    EMAIL = "email"
    BIRTH_DATE = "birth_date"
    BIRTH_PLACE = "birth_place"
    GENDER = "gender"
    OCCUPATION = "occupation"
    NATIONAL_ID = "national_id"
    BANK_CARD = "bank_card"
    CITY = "city"
    DISTRICT = "district"
    ADDRESS = "address"
    STREET_NUMBER = "street_number"
    POSTCODE = "postcode"
    REGION = "region"
    NOTE = "note"
    LOYALTY_CARD = "loyalty_card"
    TAX_NUMBER = "tax_number"
    BUYER_ID = "buyer_id"
    OPENID = "openid"
    OFFICIAL_OPENID = "official_openid"
    UNIONID = "unionid"
    EXTERNAL_USERID = "external_userid"
    OUID = "ouid"
    OMID = "omid"
    OAID = "oaid"
    DOUYIN_OPENID = "douyin_openid"
    DEVICE_ID = "device_id"
    ANONYMOUS_ID = "anonymous_id"

    PROFILE_ID = "profile_id"
    ATTRIBUTES = "attributes"
    TAGS = "tags"
    STORES = "stores"
    EVIDENCE = "evidence"


class NodeKind(StrEnum):
    """Levels of the organisation, from the top."""

    BRAND = "brand"
    REGION = "region"
    STORE = "store"


DATA_FIELDS: Final = tuple(field for field in FieldClass if field is not FieldClass.NONE)
SENSITIVE: Final = frozenset({FieldClass.NATIONAL_ID, FieldClass.BANK_CARD})

SHOWING: Final = frozenset(
    {Action.LIST, Action.READ, Action.REVEAL, Action.COUNT, Action.EXPORT, Action.PUBLISH}
)
"""Actions whose answer carries fields, or tells of them. The others act and show nothing."""

ON_ONE_PERSON: Final = frozenset(
    {Action.READ, Action.REVEAL, Action.MERGE, Action.SPLIT, Action.ERASE}
)
"""Actions that are refused unless the request says which stores the person belongs to."""

ROLE_NODES: Final[Mapping[str, frozenset[NodeKind]]] = MappingProxyType(
    {
        Role.CLERK: frozenset({NodeKind.STORE}),
        Role.MANAGER: frozenset({NodeKind.STORE, NodeKind.REGION}),
        Role.HEADQUARTERS: frozenset({NodeKind.REGION, NodeKind.BRAND}),
        Role.ANALYST: frozenset({NodeKind.REGION, NodeKind.BRAND}),
        Role.OPERATOR: frozenset({NodeKind.BRAND}),
        Role.COMPLIANCE: frozenset({NodeKind.BRAND}),
        Role.SERVICE: frozenset(NodeKind),
    }
)
"""The level at which each role is held; elsewhere the role is worth nothing."""


def needs_approval(action: str, field: str) -> bool:
    """Say whether a second person has to approve this action on this field first.

    An export leaves the house; a sensitive value stays with whoever has seen it.
    """
    return action == Action.EXPORT or (action == Action.REVEAL and field in SENSITIVE)


def grantable(action: Action, field: FieldClass) -> tuple[Treatment, ...]:
    """Return the treatments that an allow line may name for this action on this field.

    An action that shows nothing is granted with ``omit``; a reveal is clear or it
    is no reveal, and nobody is counted by what a mask leaves of a value. A sensitive field is
    clear only where a second person stands behind it (`needs_approval`).
    """
    if field is FieldClass.NONE or action not in SHOWING:
        return (Treatment.OMIT,)
    alone = field in SENSITIVE and not needs_approval(action, field)
    if action in {Action.REVEAL, Action.COUNT}:
        return () if alone else (Treatment.CLEAR,)
    return (Treatment.MASK,) if alone else (Treatment.MASK, Treatment.CLEAR)


def deniable(action: Action, field: FieldClass) -> tuple[Treatment, ...]:
    """Return the treatments that a deny line may name for this action on this field.

    ``omit`` takes everything away. Another one has to leave something that can be granted, or
    the action would be allowed and show nothing; and one that nobody is granted takes nothing.
    """
    return (Treatment.OMIT, *grantable(action, field)[1:])
