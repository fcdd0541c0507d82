"""Normalisers: one text in, one canonical value or one problem out.

Each module is named for what it reads and offers `normalise_<noun>(text, ...)`. The answer is a
frozen dataclass with a `canonical` text, or a `Problem` that holds a rule and a next step and
never the text.

Laws, for every normaliser and every string:

1. Idempotent: normalising a canonical text again gives an equal value.
2. Total: no text raises, whatever its length, encoding damage or control characters.
3. Deterministic: nothing but the arguments decides; the present day is one of them.
4. Silent: no answer shows the value when it is printed.

| module | reads | answers |
|---|---|---|
| `phone` | `normalise_phone(text, region)` | `Phone` |
| `name` | `normalise_name(text, kind, labels)`, `looks_like_name`, `join_names` | `Name` |
| `email` | `normalise_email(text)` | `Email` |
| `date` | `normalise_birth_date(text, today, formats)`, `normalise_day` | `BirthDate`, `Day` |
| `national_id` | `normalise_national_id(text, today)` | `NationalId` |
| `gender` | `normalise_gender(text)` | `Gender` |
| `address` | `normalise_address(text)` | `Address` |
| `occupation` | `normalise_occupation(text)` | `Occupation` |
| `address` | `normalise_place(text)`, `normalise_street_number(text)` | `Place` |
| `identifier` | `normalise_identifier(text, kind)` | `Identifier` |
| `identifier` | `read_identifier(text, kind, form, blocked)` | `Identifier` |

`pinyin` and `phonetic` say how a canonical name sounds. `surnames`, `name_words`, `nicknames` and
`provinces` hold the facts; `identity/identifiers.yaml` says which values stand for nobody. `text`
is the first step of all, `result` the shape of every answer.
"""
