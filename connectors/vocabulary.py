"""The names a mapping may target and a destination may ask for: plain strings, no behaviour.

Sensitive tier: ``national_id`` and ``bank_card``. Every other identity field is contact tier.
"""

from typing import Final

PERSON_FIELDS: Final = frozenset(
    {
        "name",
        "given_name",
        "surname",
        "nickname",  # what a person calls themselves online; never read as a name
        "remark",  # a WeCom remark: a name with a store or label around it
        "phone",
        "email",
        "birth_date",
        "birth_place",
        "gender",
        "occupation",
        "national_id",
        "bank_card",
        "tax_number",  # of a person, such as a social security number
        "city",
        "district",
        "address",
        "street_number",
        "postcode",
        "region",  # state or province
        "note",
    }
)

# An identifier is unique only inside its scope: an app id, a platform account, a corp, a shop.
# A workspace names further ones under identifiers: in cdp.yaml.
IDENTIFIERS: Final = frozenset(
    {
        "loyalty_card",
        "buyer_id",
        "openid",
        "official_openid",
        "unionid",
        "external_userid",
        "ouid",
        "omid",
        "oaid",
        "douyin_openid",
        "device_id",
        "anonymous_id",
    }
)

IDENTITY_FIELDS: Final = PERSON_FIELDS | IDENTIFIERS
SENSITIVE_FIELDS: Final = frozenset({"national_id", "bank_card"})

# Text a person typed freely: a leading dash or @ is ordinary there.
FREE_TEXT_FIELDS: Final = frozenset({"nickname", "remark", "note"})

# What a profile has beside its identity fields.
PROFILE_FIELDS: Final = frozenset({"attributes", "tags", "evidence", "stores", "profile_id"})
PUBLISHABLE_FIELDS: Final = IDENTITY_FIELDS | PROFILE_FIELDS
