"""Finding a person by parts: surname and the end of a phone, say. The gate's second look-up.

Every invariant of ``cdp/access/gate.py`` holds here too. In addition, each named by a test in
``tests/integration/vault/test_index_lookups.py``:

1. Nobody searches by what their view of a person would not show: a part is usable when its
   field may be searched by, or is shown clear, or when its mask shows that very part. One
   part at least must be of a field that may be searched by.
2. A person is shown only when their own record, opened, has every part that was given.
3. Whoever is opened to be compared has an event of it, written before, shown or not.
4. People outside one's reach, and people who do not exist, cost the same and answer the same.
5. At most ``MOST_COMPARED`` records are opened; where there are more, none is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa

from cdp.access import opening
from cdp.access.answers import Denial, DenialKind, View
from cdp.access.gate import MOST_FOUND, withheld
from cdp.access.reveal_gate import RevealGate
from cdp.access.rows import Person
from cdp.access.trail import Attempt
from cdp.audit import log
from cdp.ingest.indexing import cells_of, has_parts, typed
from cdp.ingest.normalise.result import Problem
from cdp.profiles import matching, reader
from cdp.profiles.matching import Candidate
from connectors.index_parts import PARTS, IndexDefinition
from connectors.record import Sensitive
from policies.decision import Subject
from policies.reasons import Reason
from policies.vocabulary import Action, FieldClass, Treatment

MOST_COMPARED: Final = 200  # records opened for one look-up
REASON: Final = "look a person up by parts"
# A made-up value of the field with the part in it: the mask shows the part, or it does not.
_STAND_INS: Final[Mapping[str, str]] = MappingProxyType(
    {"surname": "{}某某", "birth_year": "{}-01-01", "email_domain": "somebody@{}"}
)

_NO_INDEX: Final = Denial(
    DenialKind.UNUSABLE,
    "no_such_index",
    "No index is made of these parts: see indexes in cdp.yaml for those that are.",
)
_TOO_MANY: Final = Denial(
    DenialKind.UNUSABLE,
    "too_many_candidates",
    "Too many people could be meant: give one thing more, or a full identifier.",
)


class PartsGate(RevealGate):
    """The gate, with look-ups by parts."""

    def for_request(self, request_id: str) -> "PartsGate":
        """Return the same gate, whose audit events carry ``request_id``."""
        return PartsGate(self._workspace, request_id, self._indexer)

    def find_by_parts(
        self,
        connection: sa.Connection,
        subject: Subject,
        given: Mapping[str, Sensitive],
        purpose: str,
    ) -> list[View] | Denial:
        """Show the people, at most 20, who have every part given; as `view` shows each.

        Args:
            connection: in a transaction.
            subject: who asks.
            given: part (``connectors.index_parts.PARTS``) to what was typed.
            purpose: what for.
        """
        attempt = self._attempt(subject, "profile.match", purpose)
        fields = tuple(sorted({PARTS[part].field for part in given if part in PARTS}))
        reason = self._why_not_search(subject, given, purpose)
        if reason is not None:
            return self._forbid(connection, attempt, reason, fields)
        values = self._typed(given, attempt)
        if isinstance(values, Denial):
            log.append(connection, attempt.denied("identifier_unusable", fields=fields))
            return values
        if self._hides(attempt, values):
            return self._forbid(connection, attempt, Reason.LOWERED, fields)
        definition = self._index_for(given)
        lacking = [one for one in fields if not opening.holds(self._workspace, one)]
        if definition is None or lacking:  # candidates could not be compared
            denial = withheld(lacking[0]) if lacking else _NO_INDEX
            log.append(connection, attempt.denied(denial.reason, fields=fields))
            return denial
        found = self._candidates(connection, attempt, definition, values)
        if len(found) > MOST_COMPARED:
            log.append(connection, attempt.denied(_TOO_MANY.reason, fields=fields))
            return _TOO_MANY
        meant = self._compared(
            connection, attempt, values, self._readable(connection, attempt, found)
        )
        if not meant:
            log.append(connection, attempt.denied("no_such_profile", fields=fields))
        trust = self._workspace.declaration.trust
        people = reader.load_many(connection, meant[:MOST_FOUND], trust)
        treatments = self._policy.treatments(subject, Action.READ, purpose)
        return self._show(connection, attempt, list(people.values()), treatments)

    # ── inside ──────────────────────────────────────────────────────────────

    def _why_not_search(
        self, subject: Subject, given: Mapping[str, Sensitive], purpose: str
    ) -> Reason | None:
        """Say why nobody may be looked for by such parts, whatever was typed."""
        if not PARTS.keys() >= set(given):
            return Reason.NO_RULE
        treatments = self._policy.treatments(subject, Action.READ, purpose)
        searched = self._searched(subject, purpose)
        for part in given.keys() - searched:
            if not treatments.get(FieldClass(PARTS[part].field), Treatment.OMIT):
                return Reason.NO_RULE
        return None if searched & given.keys() else Reason.NO_RULE

    def _searched(self, subject: Subject, purpose: str) -> frozenset[str]:
        """The parts whose field the subject may search by."""
        fields = {
            field
            for field in {one.field for one in PARTS.values()}
            if self._policy.decide(subject, Action.FIND, field, purpose, None).allowed
        }
        return frozenset(one.name for one in PARTS.values() if one.field in fields)

    def _hides(self, attempt: Attempt, values: Mapping[str, str]) -> bool:
        """Say whether the subject's view would hide one of these parts."""
        treatments = self._policy.treatments(attempt.subject, Action.READ, attempt.purpose)
        for part in values.keys() - self._searched(attempt.subject, attempt.purpose):
            field = PARTS[part].field
            if treatments[FieldClass(field)] is Treatment.CLEAR:
                continue
            stand_in = _STAND_INS.get(part)
            masked = self._policy.mask(field, stand_in.format(values[part])) if stand_in else ""
            if values[part] not in masked:
                return True
        return False

    def _typed(self, given: Mapping[str, Sensitive], attempt: Attempt) -> dict[str, str] | Denial:
        values: dict[str, str] = {}
        for part, raw in sorted(given.items()):
            read = typed(part, raw.reveal(reason=REASON), attempt.at.date())
            if isinstance(read, Problem):
                return Denial(DenialKind.UNUSABLE, read.rule, f"{part}: {read.next_step}")
            values[part] = read
        return values

    def _index_for(self, given: Mapping[str, Sensitive]) -> IndexDefinition | None:
        """The declared index that uses the most of what was given, then keeps the most bits."""
        declared = self._workspace.declaration.indexes.values()
        usable = [one for one in declared if set(one.parts) <= given.keys()]
        return max(usable, key=lambda one: (len(one.parts), one.bits, one.label), default=None)

    def _candidates(
        self,
        connection: sa.Connection,
        attempt: Attempt,
        definition: IndexDefinition,
        values: Mapping[str, str],
    ) -> list[Candidate]:
        asked = self._indexer.asked_compound(definition, [values[p] for p in definition.parts])
        people = self._enter(connection, attempt.subject, Action.FIND, attempt.purpose)
        statement = matching.candidates(
            Person, definition.label, asked, attempt.purpose, MOST_COMPARED
        )
        return [Candidate(number, whose) for number, whose in people.execute(statement)]

    def _readable(
        self, connection: sa.Connection, attempt: Attempt, found: Sequence[Candidate]
    ) -> list[Candidate]:
        """Those whose profile the subject may read at all."""
        profiles = {one.profile_id for one in found}
        may = {
            one.id
            for one in reader.locate_many(connection, profiles)
            if self._why_not(
                attempt.subject, Action.READ, FieldClass.PROFILE_ID, attempt.purpose, one
            )
            is None
        }
        return [one for one in found if one.profile_id in may]

    def _compared(
        self,
        connection: sa.Connection,
        attempt: Attempt,
        values: Mapping[str, str],
        found: Sequence[Candidate],
    ) -> list[str]:
        """Open the candidates, each with its event, and return the profiles that match."""
        fields = tuple(sorted({PARTS[part].field for part in values}))
        comparing = replace(attempt, action="profile.compare")
        people = dict.fromkeys(one.profile_id for one in found)
        log.append_all(connection, [comparing.allowed(one, fields) for one in people])
        cells = reader.open_records(
            connection,
            self._workspace.vault,
            [one.record_id for one in found],
            cells_of(values),
        )
        match = {n for n, held in cells.items() if has_parts(values, held)}
        return list(dict.fromkeys(one.profile_id for one in found if one.record_id in match))
