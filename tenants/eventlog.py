"""The event log: each change once, in the transaction that made it. It is the audit, the timeline and the feed.

`append` is called by rooms only, never by doors. `read` and `page` follow the log without ever skipping a slow transaction.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.models.expressions import RawSQL

from convalloc import clock
from tenants import isolation
from tenants.errors import BadPosition, PositionExpired
from tenants.models import Event, Tenant, TenantOwned, Whereabouts

Position = tuple[int, int]  # (transaction, id)
BEGINNING: Position = (0, 0)
BIGGEST = 2**63 - 1
SPELLED = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")
WINDOW = 5000  # events that one page looks through for those that it wants
FINISHED = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"  # transactions below this are over, all of them
# Where a page stops looking: at the window's last event, or else at the end of what is final.
HORIZON = f"""
    SELECT h.finished, w.transaction, w.id FROM (SELECT {FINISHED} AS finished) h
      LEFT JOIN LATERAL (
        SELECT e.transaction, e.id FROM events e
         WHERE e.tenant_id = %(tenant_id)s AND (e.transaction, e.id) > (%(transaction)s, %(id)s) AND e.transaction < h.finished
         ORDER BY e.transaction, e.id LIMIT 1 OFFSET %(window)s - 1) w ON true
"""
OF_A_CONVERSATION = "id, inbox_id, assigned_operator_id"  # where the rows are conversations, as they are after the change


class Origin(NamedTuple):
    """Who stands behind the changes of a scope: None is the system itself, such as the beat."""

    actor_id: int | None = None
    request_id: str = ""


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039  immutable


@contextmanager
def caused_by(actor_id: int | None, request_id: str = "") -> Iterator[None]:
    """Every event appended inside carries this actor and request."""
    token = _origin.set(Origin(actor_id, request_id))
    try:
        yield
    finally:
        _origin.reset(token)


@contextmanager
def acting(actor_id: int) -> Iterator[None]:
    """Every event appended inside carries this actor, and the request of the scope around."""
    with caused_by(actor_id, _origin.get().request_id):
        yield


def name_actor(actor_id: int) -> None:
    """Inside caused_by: the actor is known now. Ends with that scope."""
    _origin.set(_origin.get()._replace(actor_id=actor_id))


def append(
    kind: str, subject: models.Model, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None, cause: str = ""
) -> None:
    """Add one event to the caller's transaction. `before` and `after` hold the fields that changed, by their names in the table."""
    append_all([record(kind, subject, before=before, after=after, cause=cause)])


def record(
    kind: str, subject: models.Model, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None, cause: str = ""
) -> Event:
    """An event that is not written yet, for rooms that change many rows and write their events together."""
    origin = _origin.get()
    whereabouts = subject.whereabouts() if isinstance(subject, TenantOwned) else Whereabouts()
    return Event(
        tenant_id=isolation.current_tenant_id(),
        kind=kind,
        subject_type=subject._meta.model_name or "",
        subject_id=subject.pk,
        actor_id=origin.actor_id,
        cause=cause,
        before=_spelled(before or {}),
        after=_spelled(after or {}),
        request_id=origin.request_id,
        **whereabouts._asdict(),
    )


def _spelled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Times to the microsecond: Django's own JSON drops half of it, and the fold of the log must be the row. Numbers are numbers."""
    return {name: _as_json(value) for name, value in fields.items()}


def _as_json(value: Any) -> Any:
    return clock.instant(value) if isinstance(value, datetime) else float(value) if isinstance(value, Decimal) else value


def append_sql(
    kind: str,
    subject_type: str,
    *,
    subject_id: str,
    before: str,
    after: str,
    rows: str,
    cause: str = "''",
    whereabouts: str = OF_A_CONVERSATION,
) -> str:
    """An INSERT of one event for each of `rows`, which have a tenant_id, for a statement that makes its changes by itself.

    The rest are SQL, `whereabouts` three expressions in the order of models.Whereabouts; its parameters are those of `origin`.
    """
    return f"""
        INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, inbox_id, holder_id,
                            before, after, cause, actor_id, request_id)
        SELECT tenant_id, {kind}, '{subject_type}', {subject_id}, {whereabouts},
               {before}, {after}, {cause}, %(actor_id)s::bigint, %(request_id)s::text
          FROM {rows}"""


def origin() -> dict[str, Any]:
    """Who stands behind the changes of this scope, as parameters of `append_sql`."""
    return _origin.get()._asdict()


def append_all(events: list[Event]) -> None:
    """Write many events in one statement, in the caller's transaction."""
    Event.objects.bulk_create(events)


# --- following it ---------------------------------------------------------------------------------


class Page(NamedTuple):
    """Events in order, where to go on from, and whether there is more already: a page of few may have none that is wanted."""

    events: list[Event]
    next_after: Position
    has_more: bool


def read(
    after: Position = BEGINNING,
    limit: int = 100,
    *,
    kinds: Collection[str] = (),
    conversation_id: int | None = None,
    upto: Position | None = None,
    which: models.Q = models.Q(),  # noqa: B008  immutable
) -> list[Event]:
    """The next events of the bound tenant after a position, oldest first; go on from `position(events[-1])`.

    Rows of transactions that began before the oldest still running one are final; younger ones wait until it ends.
    A plain `id > last` would lose the slower of two transactions for ever. The order is the transactions': where one waited for
    another's lock, its later event can stand first. The order of one subject's events is that of their ids, and of `version`.
    Source: PostgreSQL's documentation, "Transaction ID and Snapshot Information Functions".

    Only of these `kinds`, if there are any; of this conversation; up to a position; of what a filter lets through.
    """
    rows = Event.objects.filter(which, compared(">", after), transaction__lt=RawSQL(FINISHED, (), output_field=models.BigIntegerField()))
    if upto is not None:
        rows = rows.filter(compared("<=", upto))
    if kinds:
        rows = rows.filter(kind__in=sorted(kinds))
    if conversation_id is None:
        return list(rows.order_by("transaction", "id")[:limit])
    # The sum keeps the planner from looking for one conversation's events all through the log, because that is in order.
    return list(rows.filter(conversation_id=conversation_id).order_by(models.F("transaction") + 0, "id")[:limit])


def page(
    after: Position | None = None,
    limit: int = 100,
    *,
    kinds: Collection[str] = (),
    conversation_id: int | None = None,
    which: models.Q = models.Q(),  # noqa: B008  immutable
) -> Page:
    """As `read`, at the same cost however rare the wanted events are: it looks through WINDOW events and no further.

    What it skipped, `next_after` skips too: whoever follows the log reads nothing twice. None begins with the oldest that is kept.
    Raises BadPosition for a position that the log has not reached, which it never gave, and PositionExpired.
    """
    known, after = after is not None, after or BEGINNING
    if conversation_id is not None:
        edge, final = end(), True
    else:
        edge, final = _horizon(after, WINDOW if kinds or which else limit + 1)
    if after > edge:
        raise BadPosition(fields={"after": BadPosition.told})
    events = read(after, limit + 1, kinds=kinds, conversation_id=conversation_id, upto=edge, which=which)
    if known:
        refuse_expired(after)
    if len(events) > limit:
        return Page(events[:limit], position(events[limit - 1]), has_more=True)
    return Page(events, edge, has_more=not final)


def refuse_expired(after: Position) -> None:
    """Raises PositionExpired where the log has forgotten something that comes after this. To be asked once the events are read:
    what is forgotten meanwhile is missing there.
    """
    forgotten = Tenant.objects.filter(pk=isolation.current_tenant_id()).values_list("forgotten_transaction", "forgotten_id").first()
    if forgotten is not None and after < forgotten:
        raise PositionExpired(kept_from=spell(forgotten))


def end() -> Position:
    """The end of what is final: whoever goes on from here hears of everything that is committed later."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {FINISHED}")
        return _last_of(cursor.fetchone()[0])


def _horizon(after: Position, window: int) -> tuple[Position, bool]:
    """Up to where the next so many events reach, and whether that is the end of what is final."""
    transaction, id_ = after
    asked = {"tenant_id": isolation.current_tenant_id(), "transaction": transaction, "id": id_, "window": window}
    with connection.cursor() as cursor:
        cursor.execute(HORIZON, asked)
        finished, transaction, id_ = cursor.fetchone()
    return (_last_of(finished), True) if transaction is None else ((transaction, id_), False)


def _last_of(finished: int) -> Position:
    return finished - 1, BIGGEST


def compared(sign: str, place: Position) -> RawSQL:
    """A row's position against another, as one comparison, which the index serves at any depth."""
    return RawSQL(f"(events.transaction, events.id) {sign} (%s, %s)", place, output_field=models.BooleanField())


def position(event: Event) -> Position:
    """Where an event stands in the log."""
    return event.transaction, event.pk


def spell(place: Position) -> str:
    """A position as clients know it: to them it is opaque."""
    transaction, id_ = place
    return f"{transaction}-{id_}"


def parse(text: str) -> Position:
    """The position that was spelled so. Raises BadPosition."""
    found = SPELLED.fullmatch(text)
    place = (int(found[1]), int(found[2])) if found else (-1, -1)
    if not found or max(place) > BIGGEST:
        raise BadPosition(fields={"after": BadPosition.told})
    return place


def as_told(event: Event) -> dict[str, Any]:
    """An event as it is told to others: by the API, the live stream and the webhooks. Nothing in it but JSON."""
    return {
        "id": event.pk,
        "position": spell(position(event)),
        "kind": event.kind,
        "at": clock.instant(event.at),
        "subject": {"type": event.subject_type, "id": event.subject_id},
        "conversation_id": event.conversation_id,
        "inbox_id": event.inbox_id,
        "actor_id": event.actor_id,
        "cause": event.cause,
        "before": event.before,
        "after": event.after,
        "request_id": event.request_id,
    }
