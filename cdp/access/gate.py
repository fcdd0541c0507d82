"""The one road out: nobody sees a person but through here.

Invariants, each named by a test in ``tests/integration/access``:

1. Every view of a person is decided by policy: row by row and field by field.
2. The audit event is appended in the same transaction, before anything is opened.
3. What is omitted is never opened from the vault. What is masked never leaves unmasked, and
   is opened from its masked form where there is one: see ``cdp/access/opening.py``.
4. "No such person" and "not yours" give the same answer after the same work.
5. A denied attempt is audited too.
6. Nobody searches by a field that is masked for them, except for an exact look-up by a
   full identifier that the person in front of them gave. Nobody filters, orders or counts by
   what they would not be shown clear: see ``cdp/access/filters.py``.
7. No audit, no reveal: if the event cannot be kept, nothing is handed out.
8. A purpose that needs consent meets only people who agreed to it and did not opt out,
   and no purpose gets a value from a record whose own consent does not cover it.
9. A process that lacks the key of a value refuses to reveal it, audits that, and says which
   process can.
10. Before anybody is loaded or opened, the database is told the subject's scope, under a role
    that it binds: see ``cdp/access/rows.py``. Whoever is looked for by id or identifier is
    looked for under a role that reads ids, stores and purposes and nothing else.

Answers are values, not exceptions, so that the event of a refusal is committed. Hand an
answer on only after the transaction is committed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from cdp.access import filters, identifiers, opening, rows, showing
from cdp.access.answers import NOT_FOUND, Denial, DenialKind, Page, View
from cdp.access.cursors import Cursors
from cdp.access.figures import Figures, Question, answered
from cdp.access.listing import PLAIN, Listing, is_place, page
from cdp.access.listing import question as listing_question
from cdp.access.rows import People
from cdp.access.trail import Attempt
from cdp.audit import event, log
from cdp.ingest.normalise.result import Problem
from cdp.profiles import reader
from cdp.profiles.evidence import Evidence
from cdp.profiles.reader import Located, StoredProfile
from cdp.storage import scopes
from cdp.vault import roles
from cdp.vault.blind import INDEXED_FIELDS, BlindIndexes
from cdp.workspace import Workspace
from connectors.record import Sensitive
from policies.decision import NOBODY, Subject
from policies.reasons import Reason
from policies.vocabulary import Action, FieldClass, Purpose, Treatment

MOST_FOUND: Final = 20  # people under one identifier; a phone with more names nobody
LARGEST_PAGE: Final = 200

WITHHELD: Final = "key_withheld"
_CURSOR_UNUSABLE: Final = Denial(
    DenialKind.UNUSABLE,
    "cursor_unusable",
    "Pass what the last page of this very question ended with, or begin anew.",
)
_NO_SUCH: Final = "no_such_profile"
_NO_CONSENT: Final = "no_consent"
# Refusals that depend on the person: the caller must not tell them from "no such person".
_ABOUT_THE_PERSON: Final = frozenset({Reason.OUTSIDE_SCOPE, Reason.NO_STORE, _NO_SUCH, _NO_CONSENT})


class Gate:
    """The gate of one workspace. Stateless: any number of threads may use it."""

    def __init__(
        self,
        workspace: Workspace,
        request_id: str | None = None,
        indexer: BlindIndexes | None = None,
    ) -> None:
        self._workspace = workspace.repinned()  # one policy for all that this gate decides
        self._policy = self._workspace.policy
        self._indexer = indexer or BlindIndexes(workspace.keyring)
        self._request_id = request_id

    def for_request(self, request_id: str) -> "Gate":
        """Return the same gate, whose audit events carry ``request_id``."""
        return Gate(self._workspace, request_id, self._indexer)

    def view(
        self,
        connection: sa.Connection,
        subject: Subject,
        profile_id: str,
        purpose: str,
        request_id: str | None = None,
    ) -> View | None:
        """Show one person, or None: no such person for this subject and purpose.

        ``refusal`` tells whether None had anything to do with the person at all.
        """
        attempt = self._attempt(subject, "profile.read", purpose, request_id)
        found = self._locate(connection, subject, Action.READ, purpose, profile_id)
        reason = self._why_not(subject, Action.READ, FieldClass.PROFILE_ID, purpose, found)
        stored = None if reason else self._load(connection, found)
        if stored is None:
            log.append(connection, attempt.denied(reason or _NO_SUCH, profile_id))
            return None
        treatments = self._policy.treatments(subject, Action.READ, purpose)
        view = self._show(connection, attempt, [stored], treatments)[0]
        return showing.redirected(view, profile_id)

    def find(
        self,
        connection: sa.Connection,
        subject: Subject,
        field: str,
        scope: str | None,
        raw: Sensitive,
        purpose: str,
    ) -> list[View] | Denial:
        """Show the people, at most 20, who hold one full identifier; as `view` shows each.

        Args:
            connection: in a transaction.
            subject: who asks.
            field: an identity field that is indexed.
            scope: of the identifier; None tries every scope that ``cdp.yaml`` declares.
            raw: the identifier as typed.
            purpose: what for.
        """
        attempt = self._attempt(subject, "profile.find", purpose)
        decision = self._policy.decide(subject, Action.FIND, field, purpose, None)
        if not decision.allowed or field not in INDEXED_FIELDS:
            reason = Reason.NO_RULE if decision.allowed else decision.reason
            return self._forbid(connection, attempt, reason, (field,))
        value = identifiers.canonical(field, raw, attempt.at.date())
        if isinstance(value, Problem):
            log.append(connection, attempt.denied("identifier_unusable", fields=(field,)))
            return Denial(DenialKind.UNUSABLE, value.rule, value.next_step)
        reach = self._policy.scope(subject, Action.FIND, purpose)
        mine: list[str] = []
        refused: list[event.AuditEvent] = []
        scopes.locate(connection)
        holders = self._holders(connection, field, scope, value, purpose)
        located = reader.locate_many(connection, holders)
        self._enter(connection, subject, Action.READ, purpose)
        for found in located:
            reason_not = self._why_not(
                subject, Action.READ, FieldClass.PROFILE_ID, purpose, found
            ) or (None if reach.includes(found.stores) else Reason.OUTSIDE_SCOPE.value)
            if reason_not is None:
                mine.append(found.id)
            else:
                refused.append(attempt.denied(reason_not, found.id, (field,)))
        if not mine and not refused:
            refused.append(attempt.denied(_NO_SUCH, fields=(field,)))
        log.append_all(connection, refused)
        trust = self._workspace.declaration.trust
        people = reader.load_many(connection, mine[:MOST_FOUND], trust)
        treatments = self._policy.treatments(subject, Action.READ, purpose)
        return self._show(connection, attempt, list(people.values()), treatments)

    def list_page(
        self,
        connection: sa.Connection,
        subject: Subject,
        purpose: str,
        after: str | None = None,
        limit: int = 50,
        listing: Listing = PLAIN,
    ) -> Page | Denial:
        """Show a page of the people in the subject's scope.

        Args:
            connection: in a transaction.
            subject: who asks.
            purpose: what for.
            after: the cursor that the page before ended with.
            limit: people on a page, 1 to 200.
            listing: whom of them, in which order.
        """
        attempt = self._attempt(subject, "profile.list", purpose)
        decision = self._policy.decide(subject, Action.LIST, FieldClass.PROFILE_ID, purpose, None)
        if decision.treatment is not Treatment.CLEAR:
            return self._forbid(connection, attempt, decision.reason, listing.fields)
        treatments = self._policy.treatments(subject, Action.LIST, purpose)
        denial = filters.refusal(listing.where, listing.fields, treatments) or listing.refusal()
        if denial is not None:
            return _denied(connection, attempt, denial, listing.fields)
        question, cursors = listing_question(attempt, listing), Cursors(self._workspace.keyring)
        place = None if after is None else cursors.opened(question, after)
        if after is not None and (place is None or not is_place(listing, place)):
            return _denied(connection, attempt, _CURSOR_UNUSABLE, ())
        people = self._enter(connection, subject, Action.LIST, purpose)
        if not listing.is_plain:  # also when nobody is found
            asking = replace(attempt, action="profile.search")
            log.append(connection, asking.allowed(None, listing.fields))
        size = max(1, min(limit, LARGEST_PAGE))
        found = page(people, listing, purpose, place, size + 1)
        trust = self._workspace.declaration.trust
        stored = reader.load_many(connection, [one.id for one in found[:size]], trust)
        views = self._show(connection, attempt, list(stored.values()), treatments)
        more = len(found) > size
        return Page(tuple(views), cursors.made(question, found[size - 1].place) if more else None)

    def figures(
        self, connection: sa.Connection, subject: Subject, purpose: str, question: Question
    ) -> Figures | Denial:
        """Count people in groups, without showing one; see ``cdp/access/figures.py``."""
        attempt = self._attempt(subject, "people.count", purpose)
        decision = self._policy.decide(subject, Action.COUNT, FieldClass.NONE, purpose, None)
        if not decision.allowed:
            return self._forbid(connection, attempt, decision.reason, question.fields)
        treatments = self._policy.treatments(subject, Action.COUNT, purpose)
        denial = filters.refusal(question.where, question.grouped, treatments)
        denial = denial or question.refusal()
        if denial is not None:
            return _denied(connection, attempt, denial, question.fields)
        people = self._enter(connection, subject, Action.COUNT, purpose)
        log.append(connection, attempt.allowed(None, question.fields))
        return answered(people, question, purpose, self._policy.organisation)

    def evidence(
        self,
        connection: sa.Connection,
        subject: Subject,
        profile_id: str,
        purpose: str,
    ) -> Evidence | Denial:
        """Say why the records of one person were joined; of those that the purpose may use.

        Raises:
            Stop: an edge was scored by another release.
        """
        attempt = self._attempt(subject, "profile.evidence", purpose)
        found = self._locate(connection, subject, Action.READ, purpose, profile_id)
        fields = (FieldClass.EVIDENCE.value,)
        why = self._why_not(subject, Action.READ, FieldClass.EVIDENCE, purpose, found)
        if why is not None or found is None:
            why = why or _NO_SUCH
            log.append(connection, attempt.denied(why, profile_id, fields))
            return NOT_FOUND if why in _ABOUT_THE_PERSON else _forbidden(why)
        log.append(connection, attempt.allowed(found.id, fields))
        return reader.evidence(connection, found.id, purpose)

    def refusal(self, subject: Subject, action: str, purpose: str) -> Denial | None:
        """Say why the subject may do this for nobody at all; None when it depends on whom.

        Nothing is looked up and nothing is audited: ask it to explain a None of `view`.
        """
        if self._policy.scope(subject, action, purpose) != NOBODY:
            return None
        reason = self._policy.decide(subject, action, FieldClass.PROFILE_ID, purpose, None).reason
        return None if reason is Reason.NEEDS_PERSON else _forbidden(reason)

    # ── inside ──────────────────────────────────────────────────────────────

    def _attempt(
        self, subject: Subject, action: str, purpose: str, request_id: str | None = None
    ) -> Attempt:
        version, now = self._policy.version, self._workspace.now()
        return Attempt(subject, action, purpose, version, now, request_id or self._request_id)

    def _locate(
        self,
        connection: sa.Connection,
        subject: Subject,
        action: Action,
        purpose: str,
        profile_id: str,
    ) -> Located | None:
        """Say whose id this is, whoever may see them; from here on the subject's scope holds."""
        scopes.locate(connection)
        # What has not the shape of an id is nobody's, and may be anything.
        known = reader.is_profile_id(profile_id)
        found = reader.locate(connection, profile_id) if known else None
        self._enter(connection, subject, action, purpose)
        return found

    def _enter(
        self, connection: sa.Connection, subject: Subject, action: Action, purpose: str
    ) -> People:
        """Meet nobody outside the subject's scope until the transaction ends (invariant 10)."""
        reach = self._policy.scope(subject, action, purpose)
        return rows.enter(connection, self._workspace, reach, self._consent(purpose))

    def _consent(self, purpose: str) -> str | None:
        """The purpose that people must have agreed to; None where none is needed, or no such."""
        known = {one.value: rule for one, rule in self._policy.compiled.purposes.items()}
        return purpose if purpose in known and known[purpose].consent else None

    def _why_not(
        self, subject: Subject, action: Action, field: str, purpose: str, found: Located | None
    ) -> str | None:
        """Return the code of the reason against this action on this person, or None."""
        stores = found.stores if found else frozenset[str]()
        decision = self._policy.decide(subject, action, field, purpose, stores)
        if not decision.allowed:
            return decision.reason.value
        if decision.treatment is not Treatment.CLEAR:
            return Reason.LOWERED.value
        if found is None:
            return _NO_SUCH
        needed = self._policy.compiled.purposes[Purpose(purpose)].consent
        return _NO_CONSENT if needed and purpose not in found.purposes else None

    def _load(self, connection: sa.Connection, found: Located | None) -> StoredProfile | None:
        if found is None:
            return None
        trust = self._workspace.declaration.trust
        return reader.load_many(connection, [found.id], trust).get(found.id)

    def _holders(
        self,
        connection: sa.Connection,
        field: str,
        scope: str | None,
        value: Sensitive,
        purpose: str,
    ) -> set[str]:
        text = value.reveal(reason=identifiers.REASON)
        sources = self._workspace.declaration.sources.values()
        declared = {spec.scope for source in sources for spec in source.fields.get(field, ())}
        scopes: Iterable[str | None] = {scope} if scope is not None else declared | {None}
        return {
            one
            for within in scopes
            for one in reader.find(connection, self._indexer, field, within, text, purpose)
        }

    def _show(
        self,
        connection: sa.Connection,
        attempt: Attempt,
        people: list[StoredProfile],
        treatments: Mapping[FieldClass, Treatment],
    ) -> list[View]:
        """Append the events, then open what is not omitted, then mask (invariants 2 and 3)."""
        treatments = opening.within(self._workspace, treatments)
        log.append_all(
            connection,
            [
                attempt.allowed(one.id, showing.shown(one, treatments, attempt.purpose))
                for one in people
            ],
        )
        opened = opening.opened(connection, self._workspace, people, treatments, attempt.purpose)
        tags = reader.tags_of(connection, [one.id for one in people])
        terms = showing.Terms(attempt.purpose, treatments, self._policy.masker)
        return [showing.view(one, opened[one.id], tags.get(one.id, {}), terms) for one in people]

    def _forbid(
        self, connection: sa.Connection, attempt: Attempt, reason: Reason, fields: tuple[str, ...]
    ) -> Denial:
        log.append(connection, attempt.denied(reason.value, fields=fields))
        return _forbidden(reason)


def _denied(
    connection: sa.Connection, attempt: Attempt, denial: Denial, fields: tuple[str, ...]
) -> Denial:
    log.append(connection, attempt.denied(denial.reason, fields=fields))
    return denial


def withheld(field: str) -> Denial:
    """Return the refusal of a process that was started without the key of that field."""
    able = roles.first_that_opens(field).name
    sentence = f"This process lacks the key of that field: ask one started with --role {able}."
    return Denial(DenialKind.FORBIDDEN, WITHHELD, sentence)


def _forbidden(reason: str) -> Denial:
    return Denial(DenialKind.FORBIDDEN, str(reason), Reason(reason).sentence)
