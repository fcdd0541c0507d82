"""E-mail addresses: one canonical form a mailbox.

Invariants:

1. The fast path for plain ASCII addresses equals the library's answer.
2. Two addresses get one canonical form only where the provider documents that they reach one
   mailbox. Everywhere else dots and plus signs stay.
"""

import re
from dataclasses import dataclass

from email_validator import validate_email

from cdp.ingest.normalise.result import Canonical, Problem
from cdp.ingest.normalise.text import MASKED, tidy
from identity.catalogue import shipped

LIMIT = 320  # characters; RFC 5321 allows 64 before the sign and 255 after it

_INVALID = Problem("invalid", "correct the address at the source")


@dataclass(frozen=True, slots=True, repr=False)
class Email(Canonical):
    """An address.

    `qq` is the QQ number of an address that is one. `placeholder` marks an address that stands
    for no single person (`test@`, `noreply@`, `info@`): it must never join two records.
    """

    address: str
    local: str
    domain: str
    qq: str | None
    placeholder: bool

    @property
    def canonical(self) -> str:
        """The address."""
        return self.address


# Google: dots do not matter, "+tag" is ignored, googlemail.com is gmail.com. Microsoft and
# Apple document "+tag" for theirs. QQ and NetEase document neither, so theirs stay as written.
_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_PLUS_TAGS = frozenset(
    {"gmail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "icloud.com", "me.com"}
)
_QQ = re.compile(r"[1-9][0-9]{4,10}")
_QQ_DOMAINS = frozenset({"qq.com", "vip.qq.com", "foxmail.com"})
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Plain means: no quoted part, no Punycode, an alphabetic top-level domain.
_PLAIN = re.compile(
    r"(?=[^@]{1,64}@)(?P<local>[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@"
    rf"(?P<domain>(?:(?![a-z0-9-]{{2}}--){_LABEL}\.)+(?!(?:arpa|local|localhost|onion)$)[a-z]{{2,63}})"
)
_WRAPPER = re.compile(r"^(?:mailto:|e-?mail[::]|邮箱[::])\s*", re.IGNORECASE)


def normalise_email(text: str) -> Email | Problem:
    """Return the address in `text`, in lower case and without provider-specific decoration.

    Syntax only; no name is looked up. The reserved domains `example.*`, `.test` and `.invalid`
    are accepted. Problems: `empty`, `too_long`, `unreadable`, `masked`, `invalid`.
    """
    found = _PLAIN.fullmatch(text) if len(text) <= 254 else None
    if found is not None:
        return _canonical(found["local"], found["domain"])
    return read_email(text)


def read_email(text: str) -> Email | Problem:
    """Take the full path of `normalise_email`: any spelling, judged by email-validator."""
    plain = tidy(text, LIMIT)
    if isinstance(plain, Problem):
        return plain
    plain = _WRAPPER.sub("", plain.strip("<>;,'\" ")).casefold().replace("。", ".")
    if "*" in plain:
        return MASKED
    local, _, domain = plain.rpartition("@")
    return _judge(local, domain)


def _judge(local: str, domain: str) -> Email | Problem:
    # The library refuses .invalid with no option to allow it; .example is its equal in RFC 2606,
    # has the same length, and passes.
    reserved = domain.endswith(".invalid")
    stand_in = domain.removesuffix(".invalid") + ".example" if reserved else domain
    try:
        answer = validate_email(
            f"{local}@{stand_in}", check_deliverability=False, test_environment=True, strict=True
        )
    except ValueError:  # EmailNotValidError is one, and so is what an IDNA codec raises
        return _INVALID
    return _canonical(answer.local_part, domain if reserved else answer.domain)


def _canonical(local: str, domain: str) -> Email | Problem:
    if domain in _GMAIL:
        domain = "gmail.com"
        local = local.partition("+")[0].replace(".", "")
    elif domain in _PLUS_TAGS:
        local = local.partition("+")[0].rstrip(".")
    if not local:
        return _INVALID
    qq = local if domain in _QQ_DOMAINS and _QQ.fullmatch(local) else None
    address, blocked = f"{local}@{domain}", shipped()["email"].blocked
    # The catalogue blocks a mailbox, or without @ a local part at every provider.
    return Email(address, local, domain, qq, blocked.blocks(local) or blocked.blocks(address))
