"""One reading's conversation with an API: sends, tries again, and judges what came back.

Invariants, each named (Session 1 and so on) by a test in
``tests/integration/http_source/test_hostile.py``:

1. No redirect is followed: credentials go to the declared host alone.
2. What a person has to put right is a ``Stop``, what may pass by itself a ``Retry``.
3. Closed, it leaves no connection behind.
"""

from types import TracebackType
from typing import Final, Self

from connectors.credentials import Credentials
from connectors.errors import Stop
from connectors.http_declaration import HttpSpec
from connectors.sources.http_auth import Auth
from connectors.sources.http_engine import Answer, Ask, Exchange
from connectors.sources.http_pages import Page, PageRefused, page_of
from connectors.sources.http_paging import Paging, Place
from connectors.sources.http_trying import Trying, Ways

_MEGABYTE: Final = 1024 * 1024
FORGOTTEN: Final = frozenset({400, 404, 410, 422})  # what APIs say of a cursor they forgot
_FORGOTTEN_WORDS: Final = frozenset({"answer_says_no", "rows_missing"})  # those that say 200


class Forgotten(Exception):  # noqa: N818 - caught where pages are read
    """The API does not know the page any more."""


class Session:
    """Asks for pages. Opens nothing before the first."""

    def __init__(self, source: str, spec: HttpSpec, credentials: Credentials, ways: Ways) -> None:
        """Fetch the secrets.

        Raises:
            Stop: one cannot be had.
        """
        self._source, self._spec = source, spec
        self._exchange = Exchange(spec.limits, ways.clock)
        self._trying = Trying(source, spec, ways)
        self._auth = Auth(spec.auth, credentials, self._tried, ways.clock)

    def paging(self) -> Paging:
        """How pages follow each other; knows what may not be kept of a link."""
        return Paging(self._spec, lambda: self._auth.secrets)

    def page(self, place: Place, *, may_be_forgotten: bool = False) -> Page:
        """One page.

        Raises:
            Stop: somebody has to put something right.
            Retry: it may go well later.
            Forgotten: only where it may be.
        """
        answer = self._asked(place)
        if may_be_forgotten and answer.status in FORGOTTEN:
            raise Forgotten
        self._require_good(answer)
        if answer.status == 204:
            return Page((), headers=answer.headers, url=place.url)
        try:
            return page_of(self._spec, answer.body, answer.headers, place.url)
        except PageRefused as refused:
            found = Stop(self._source, refused.rule, refused.next_step, field=refused.field)
        if may_be_forgotten and found.rule in _FORGOTTEN_WORDS:
            raise Forgotten
        raise found  # anew: what it came from holds the answer

    def _asked(self, place: Place) -> Answer:
        headers = {"accept": "application/json", **dict(self._spec.request.headers)}
        if place.body is not None:
            headers.setdefault("content-type", "application/json")
        ask = Ask(self._spec.request.method, place.url, headers, place.body)
        most = self._spec.limits.page_mb * _MEGABYTE
        answer = self._tried(self._auth.signed(ask), most)
        if self._auth.is_refused(answer):
            self._auth.forget_token()
            answer = self._tried(self._auth.signed(ask), most)
        if answer.status == 200 and self._auth.is_refused(answer):
            raise self._refused()
        return answer

    def _tried(self, ask: Ask, most: int) -> Answer:
        return self._trying.send(lambda: self._exchange.send(ask, most))

    def _require_good(self, answer: Answer) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        field: str | None = "location"
        if 300 <= status < 400:
            rule, step = "redirect_refused", "Declare the address that the API has moved to."
        elif status == 401:
            raise self._refused()
        elif status == 403:
            field = self._auth.blamed or "auth"
            rule, step = "not_allowed", "Allow the credential to read these rows, and nothing else."
        elif status == 404:
            rule, step = "not_found", "Correct the location; behind a last page: paging.more."
        else:
            rule = f"http_{status}"
            step = "Compare request, paging and cursor with what the API's documentation asks for."
        raise Stop(self._source, rule, step, field=field)

    def _refused(self) -> Stop:
        step = "Correct or renew the secret, or declare its auth."
        return Stop(self._source, "credential_refused", step, field=self._auth.blamed or "auth")

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<session of {self._source}>"
