"""What rows cost: a page decided and masked, and lists with and without row-level security.

Both are parts of ``policy.decisions``, which reports them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cdp.access import showing
from cdp.access.answers import Shown
from cdp.access.filters import Criterion, Filter
from cdp.access.listing import PLAIN, Listing, page
from cdp.access.rows import People
from cdp.profiles import reader
from cdp.storage import embedded, migrate, roles, scopes, statements
from connectors.record import Sensitive
from policies.decision import Policy, Scope, Subject
from policies.vocabulary import FieldClass, Treatment

PEOPLE_SHOWN: Final = 100
FIELDS: Final = {
    "name": "欧阳金丝", "phone": "+8613912346789", "email": "canary.bird@example.com",
    "address": "朝阳区建国路88号", "birth_date": "1990-02-17", "gender": "female",
    "city": "北京市", "loyalty_card": "V100200300", "given_name": "金丝", "surname": "欧阳",
}  # fmt: skip
STORES: Final = 200
PAGE: Final = 51
ROUNDS: Final = 60
_FILL: Final = """
    INSERT INTO kith.record (id, source, key, content, revision, store, basis, purposes, refused,
           attributes, feature_version, features, first_seen_at, last_seen_at, dirty)
    SELECT n, 'pos', decode(md5(n::text), 'hex'), '', 1, 'S' || n % :stores, 'membership',
           '{service,marketing}', '{}', jsonb_build_object('orders', n % 7, 'spent', n::text),
           1, '', now(), now(), false
      FROM generate_series(1, :people) AS n;
    INSERT INTO kith.profile (id, anchor_id, revision, size, stores, golden, attributes, purposes,
           updated_at)
    SELECT 'p' || substr(md5(n::text), 1, 20), n, 0, 1, ARRAY['S' || n % :stores], '{}',
           jsonb_build_object('orders', n % 7, 'spent', n::text), '{service,marketing}', now()
      FROM generate_series(1, :people) AS n;
    INSERT INTO kith.membership SELECT anchor_id, id, now() FROM kith.profile;
    INSERT INTO kith.tag SELECT id, 'lifecycle', CASE anchor_id % 4 WHEN 0 THEN 'new'
           ELSE 'active' END, '1', now() FROM kith.profile;
    ANALYZE
"""


# ── a page ──────────────────────────────────────────────────────────────────


def page_ms(policy: Policy, subject: Subject, purpose: str, rounds: int = 30) -> float:
    """Return the policy's share of a page of 100 people with 10 fields, in ms: the median.

    What it takes to decide on the page, on each of its people and fields, and to treat and mask
    what is shown; not what the database and the vault take. Values come as the gate opens
    them: what is masked for the subject from its masked form.

    Args:
        policy: compiled.
        subject: who may list, with contact data masked, for ``purpose``.
        purpose: of the page.
        rounds: how often.
    """
    treatments = policy.treatments(subject, "read", purpose)
    held = {
        name: Sensitive(
            policy.mask(name, text) if treatments[FieldClass(name)] is Treatment.MASK else text
        )
        for name, text in FIELDS.items()
    }
    stores = frozenset({min(policy.organisation.stores_under(subject.node))})
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        shown = _paged(policy, subject, purpose, [(stores, held)] * PEOPLE_SHOWN)
        times.append((time.perf_counter() - begun) * 1000)
        if [len(one) for one in shown] != [len(FIELDS)] * PEOPLE_SHOWN:
            raise RuntimeError("the subject of the benchmark was not shown every field")
    return statistics.median(times)


def _paged(
    policy: Policy,
    subject: Subject,
    purpose: str,
    people: Iterable[tuple[frozenset[str], Mapping[str, Sensitive]]],
) -> list[Mapping[str, Shown]]:
    """Decide on a page as the gate does, on each person by itself too, and show the fields."""
    policy.decide(subject, "list", FieldClass.PROFILE_ID, purpose, None)
    policy.scope(subject, "list", purpose)
    terms = showing.Terms(purpose, policy.treatments(subject, "read", purpose), policy.masker)
    return [
        showing.fields(held, terms)
        for stores, held in people
        if policy.decide(subject, "read", "profile_id", purpose, stores).allowed
    ]


# ── row-level security ──────────────────────────────────────────────────────


@dataclass(frozen=True)
class List:
    """One list that somebody asks for: of which stores, under which filter."""

    stores: int | None  # how many; None: everybody
    listing: Listing


LISTS: Final = tuple(
    List(stores, listing)
    for stores in (None, STORES // 3, 1)
    for listing in (
        PLAIN,
        Listing(Filter((Criterion("tags", "lifecycle", "new"),))),
        Listing(Filter((Criterion("attributes", "orders", 5),))),
    )
)


def rls_overhead(people: int = 40_000, rounds: int = ROUNDS) -> float:
    """Return by what share list queries take longer with row-level security than without.

    The same pages of people are asked for as the gate asks for them: the page, their records and
    tags; for the role that is bound, also what tells the database its scope. In turn under a
    role that the policies bind, and as a superuser, whom they do not. Both filter by the scope.

    Args:
        people: in the database, over 200 stores.
        rounds: of each list; the medians are compared.
    """
    with tempfile.TemporaryDirectory(prefix="kith-rows-", ignore_cleanup_errors=True) as folder:
        engine = sa.create_engine(embedded.start(Path(folder)), hide_parameters=True)
        try:
            statements.follow(engine)
            return compared(engine, people, rounds)
        finally:
            engine.dispose()
            embedded.stop(Path(folder))


def compared(engine: sa.Engine, people: int, rounds: int) -> float:
    """Fill an empty database and compare; see `rls_overhead`."""
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text(_FILL), {"people": people, "stores": STORES})
    taken: dict[bool, float] = {True: 0.0, False: 0.0}
    # A connection each: what is prepared is planned anew when a connection changes its role.
    with engine.connect() as free, engine.connect() as held:
        for one in LISTS:
            times: dict[bool, list[float]] = {True: [], False: []}
            for number in range(2 * rounds + 2):
                bound = bool(number % 2)
                connection = held if bound else free
                seconds = timed(partial(_asked, connection, one, bound=bound))
                connection.rollback()
                if number > 1:  # the first of each plans its statements
                    times[bound].append(seconds)
            for bound, several in times.items():
                taken[bound] += statistics.median(several)
    return taken[True] / taken[False] - 1


def timed(work: Callable[[], int]) -> float:
    """Return how long it takes, in seconds; there must be somebody."""
    begun = time.perf_counter()
    if not work():
        raise RuntimeError("a list of the benchmark is empty")
    return time.perf_counter() - begun


def _asked(connection: sa.Connection, one: List, *, bound: bool) -> int:
    stores = None if one.stores is None else [f"S{number}" for number in range(one.stores)]
    scope = Scope(all=stores is None, stores=frozenset(stores or ()))
    if bound:
        many = stores is None or len(stores) * 20 > STORES
        scopes.narrow(connection, roles.SENSITIVE, stores, many=many)
    found = page(People(connection, scope, "service"), one.listing, "service", None, PAGE)
    ids = [person.id for person in found]
    reader.tags_of(connection, ids)
    return len(reader.load_many(connection, ids, ("pos",)))
