"""Why a decision came out as it did: a closed set of words, each with its sentence."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """The word of a reason; ``sentence`` says it to a person."""

    GRANTED = "granted"
    LOWERED = "lowered"
    DENIED = "denied"
    NO_RULE = "no_rule"
    UNKNOWN_SUBJECT = "unknown_subject"
    UNKNOWN_ROLE = "unknown_role"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_PURPOSE = "unknown_purpose"
    UNKNOWN_NODE = "unknown_node"
    WRONG_NODE = "wrong_node"
    NOT_NOW = "not_now"
    OUTSIDE_KEY = "outside_key"
    OUTSIDE_CONTRACT = "outside_contract"
    NEEDS_APPROVAL = "needs_approval"
    NEEDS_PERSON = "needs_person"
    OUTSIDE_SCOPE = "outside_scope"
    NO_STORE = "no_store"

    @property
    def sentence(self) -> str:
        """The reason in plain words."""
        return _SENTENCES[self]


_SENTENCES: Final = MappingProxyType(
    {
        Reason.GRANTED: "A policy line allows it.",
        Reason.LOWERED: "One policy line allows more, but another one takes part of it away.",
        Reason.DENIED: "A policy line denies it.",
        Reason.NO_RULE: "No policy line allows it.",
        Reason.UNKNOWN_SUBJECT: "There is nobody of that id who acts as that.",
        Reason.UNKNOWN_ROLE: "The role is not one that policies know.",
        Reason.UNKNOWN_ACTION: "The action is not one that policies know.",
        Reason.UNKNOWN_FIELD: "The field is not one that policies know.",
        Reason.UNKNOWN_PURPOSE: "The purpose is not one that policies know.",
        Reason.UNKNOWN_NODE: "The subject's node is not part of the organisation.",
        Reason.WRONG_NODE: "This role is not held at this level of the organisation.",
        Reason.NOT_NOW: "A policy line allows it only on shift, in the network or at the store, as "
        "it says, and that is not so now.",
        Reason.OUTSIDE_KEY: "The key or the session is not for this action.",
        Reason.OUTSIDE_CONTRACT: "The contract of this service names another purpose or not this "
        "field.",
        Reason.NEEDS_APPROVAL: "A second person, who may approve, has to approve it first.",
        Reason.NEEDS_PERSON: "The request does not say whose data it is about.",
        Reason.OUTSIDE_SCOPE: "The person belongs to no store under the subject's node.",
        Reason.NO_STORE: "The person belongs to no store, so only the brand level sees them.",
    }
)
