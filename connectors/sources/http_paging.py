"""From one page to the next: where it is, how it is asked for, and when there is none. Pure.

A spot is what a request says of its page: a number, a word of the API, or an address without
its host. It is kept in a state, so no secret may be in it.

Invariants, each named by a test in ``tests/unit/connectors/test_http_source_paging.py``:

1. No page is asked for at another origin than the declared one.
2. A spot holds no secret, whatever the API wrote into its link. One that is as short as a page
   number is known by its parameter alone.
3. A spot that comes twice ends the reading by a rule, not by going round for ever.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from connectors.cells import trim
from connectors.http_declaration import HttpSpec, Sent
from connectors.record import Raw
from connectors.sources.http_pages import Page, PageRefused, found_at, word_of
from connectors.sources.json_lines import cell_at

Spot = int | str
MAX_WORD: Final = 8192  # characters of a cursor or a link
SHORTEST: Final = 8  # characters of a secret that is known by its value
_COUNTED: Final = frozenset({"page", "offset"})
_LINKED: Final = frozenset({"next", "link"})
_WORDED: Final = frozenset({"cursor", *_LINKED})  # only the API knows what they mean
_NUMBERS: Final = frozenset({"epoch_s", "epoch_ms", "number"})
_NO: Final = frozenset({"", "0", "false"})
_LINK: Final = re.compile(r"<([^<>]*)>([^<]*)")  # RFC 8288, 3: a target, and its parameters
_REL: Final = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)
_EMPTY_STEP: Final = (
    "The answer says that more comes, and has no row to go on from: correct paging.more."
)
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Place(Raw):
    """What is asked for: an address and a body."""

    url: str
    body: bytes | None = None


class Paging:
    """The pages of one declaration."""

    def __init__(self, spec: HttpSpec, secrets: Callable[[], Collection[str]] = tuple) -> None:
        """Take what gives the secrets that must not come into a spot."""
        self._spec, self._paging = spec, spec.paging
        self._secrets = secrets

    @property
    def resumes(self) -> bool:
        """Whether a reading may go on from a page later, and lose nothing.

        The number of a page names other rows as soon as one was added or deleted before it.
        """
        kind = self._paging.type
        return kind in _WORDED or kind == "keyset" or (kind in _COUNTED and self._paging.stable)

    @property
    def may_expire(self) -> bool:
        """Whether the API may have forgotten what a spot means."""
        return self._paging.type in _WORDED

    def place(self, since: str | None, spot: Spot | None) -> Place:
        """What to ask for."""
        spec = self._spec
        body = json.loads(spec.request.body) if spec.request.body else None
        if self._paging.type in _LINKED and isinstance(spot, str):
            return Place(_at_home(spec.address, spot), _packed(body))
        query = dict(spec.request.query)
        if spec.since is not None and since is not None:
            counted = spec.since.sent.body and spec.since.format in _NUMBERS
            _put(spec.since.sent, int(since) if counted else since, query, body)
        if spot is None and self._paging.type in _COUNTED:
            spot = self._paging.first
        if spot is not None:
            _put(self._paging.sent, spot, query, body)
        asked = urlencode(query)
        return Place(f"{spec.address}?{asked}" if asked else spec.address, _packed(body))

    def after(self, page: Page, spot: Spot | None) -> Spot | None:
        """The spot of the page behind one; None: it was the last.

        Raises:
            PageRefused: the page does not say, or leads elsewhere.
        """
        kind = self._paging.type
        if kind == "none" or not self._has_more(page):
            return None
        if not page.rows and kind in {"offset", "keyset"}:
            raise PageRefused("more_but_empty", _EMPTY_STEP, "paging.more")
        if kind in _COUNTED:
            here = self._paging.first if spot is None else int(spot)
            return here + (1 if kind == "page" else len(page.rows))
        if kind == "keyset":
            return self._key(page)
        found = self._word(page)
        if not found and self._paging.more is not None:
            step = "The answer says that more comes, and not where: correct paging.path or more."
            raise PageRefused("more_but_no_cursor", step, "paging.path")
        return self._relative(page.url, found) if found and kind in _LINKED else found or None

    def _has_more(self, page: Page) -> bool:
        """What the page says; where nothing is declared, an empty one that we count is the last."""
        more = self._paging.more
        if more is None:
            return bool(page.rows) or self._paging.type in _WORDED
        there, found = found_at(page.root, more)
        if not there and page.rows:
            step = "Correct paging.more: the answer has nothing there."
            raise PageRefused("more_missing", step, "paging.more")
        if found is None or isinstance(found, list | dict):
            return bool(found)
        # What is no plain value is no clear no; going on loses nothing.
        return not isinstance(found, str | bool) or word_of(found).casefold() not in _NO

    def _key(self, page: Page) -> str:
        row = page.rows[-1]
        cell = cell_at(row, self._paging.column) if isinstance(row, dict) else None
        text = trim(cell) if isinstance(cell, str) else ""
        if not text or len(text) > MAX_WORD:
            step = "Name a column that every row has: the last row of a page has none."
            raise PageRefused("keyset_missing", step, "paging.column")
        return text

    def _word(self, page: Page) -> str:
        if self._paging.type == "link":
            found = next_link(page.headers.get("link", ""))
        else:
            _, value = found_at(page.root, self._paging.path)
            if value is not None and not isinstance(value, str | bool):
                step = "Correct paging.path: it leads to no plain value."
                raise PageRefused("path_elsewhere", step, "paging.path")
            found = value if isinstance(value, str) else ""
        if len(found) > MAX_WORD:
            raise PageRefused("too_long", f"Use at most {MAX_WORD} characters.", "paging")
        return found

    def _relative(self, url: str, link: str) -> str:
        """A link without its host, and without secrets in it."""
        try:
            target = urlsplit(urljoin(url, link))
            same = _origin(urljoin(url, link)) == _origin(self._spec.address)
        except ValueError:
            target, same = urlsplit(""), False
        if not same or target.username is not None or not link.isprintable() or " " in link:
            step = "The next link leads to another host: ask for it by another kind of paging."
            raise PageRefused("next_elsewhere", step, "paging")
        query = self._without_secrets(target.query)
        return f"{target.path or '/'}?{query}" if query else target.path or "/"

    def _without_secrets(self, query: str) -> str:
        auth = self._spec.auth
        name = auth.name if auth.type in {"query", "token"} and not auth.in_header else None
        pairs, secrets = parse_qsl(query, keep_blank_values=True), self._secrets()
        told = {one for one in secrets if len(one) >= SHORTEST}  # else `page=1` may be one
        kept = [one for one in pairs if one[0] != name and one[1] not in told]
        return query if len(kept) == len(pairs) else urlencode(kept)


class Repeats:
    """Notices a sequence that goes round, at once where one is like the one before it.

    In constant memory: R. P. Brent, An improved Monte Carlo factorization algorithm, 1980.
    """

    def __init__(self) -> None:
        self._before = self._kept = ""
        self._count, self._power = 0, 1

    def has(self, one: str) -> bool:
        """Whether it came before; a round of n is noticed before it was gone three times."""
        found = one in (self._before, self._kept)
        self._count += 1
        if self._count == self._power:
            self._kept, self._power, self._count = one, 2 * self._power, 0
        self._before = one
        return found


def next_link(header: str) -> str:
    """The target of the relation ``next`` in a Link header (RFC 8288); "": there is none."""
    for target, parameters in _LINK.findall(header):
        for quoted, plain in _REL.findall(parameters):
            if "next" in (quoted or plain).casefold().split():
                return str(target).strip()
    return ""


def with_parameter(url: str, name: str, value: str) -> str:
    """An address with a parameter, in place of one of that name."""
    parts = urlsplit(url)
    pairs = [one for one in parse_qsl(parts.query, keep_blank_values=True) if one[0] != name]
    return urlunsplit(parts._replace(query=urlencode([*pairs, (name, value)])))


def _at_home(address: str, spot: str) -> str:
    """A spot at the declared origin; not joined as a link is: //there/x would name a host."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/{spot.removeprefix('/')}"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _put(sent: Sent, value: Spot, query: dict[str, str], body: Any) -> None:
    if sent.parameter is not None:
        query[sent.parameter] = str(value)
        return
    node = body
    for step in sent.body[:-1]:
        inner = node.get(step) if isinstance(node, dict) else None
        if not isinstance(inner, dict):
            inner = {}
            node[step] = inner
        node = inner
    node[sent.body[-1]] = value


def _packed(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body, ensure_ascii=False).encode()
