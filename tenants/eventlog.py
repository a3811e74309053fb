"""The event log: each change once, in the transaction that made it. It is the audit, the timeline and the feed.

`append` is called by rooms only, never by doors. `read` follows the log without ever skipping a slow transaction.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models.expressions import RawSQL

from convalloc import clock
from tenants import isolation
from tenants.models import Event

Position = tuple[int, int]  # (transaction, id)
BEGINNING: Position = (0, 0)


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
    )


def _spelled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Times to the microsecond: Django's own JSON drops half of it, and the fold of the log must be the row."""
    return {name: clock.instant(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def append_sql(kind: str, subject_type: str, *, subject_id: str, before: str, after: str, rows: str, cause: str = "''") -> str:
    """An INSERT of one event for each of `rows`, which have a tenant_id, for a statement that makes its changes by itself.

    The rest are SQL; its parameters are those of `origin`.
    """
    return f"""
        INSERT INTO events (tenant_id, kind, subject_type, subject_id, before, after, cause, actor_id, request_id)
        SELECT tenant_id, {kind}, '{subject_type}', {subject_id}, {before}, {after}, {cause}, %(actor_id)s::bigint, %(request_id)s::text
          FROM {rows}"""


def origin() -> dict[str, Any]:
    """Who stands behind the changes of this scope, as parameters of `append_sql`."""
    return _origin.get()._asdict()


def append_all(events: list[Event]) -> None:
    """Write many events in one statement, in the caller's transaction."""
    Event.objects.bulk_create(events)


def read(after: Position = BEGINNING, limit: int = 100) -> list[Event]:
    """The next events of the bound tenant after a position, oldest first; go on from `position(events[-1])`.

    Rows of transactions that began before the oldest still running one are final; younger ones wait until it ends.
    A plain `id > last` would lose the slower of two transactions for ever. The order is the transactions': where one waited for
    another's lock, its later event can stand first. The order of one subject's events is that of their ids, and of `version`.
    Source: PostgreSQL's documentation, "Transaction ID and Snapshot Information Functions".
    """
    finished = RawSQL("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", (), output_field=models.BigIntegerField())
    transaction, id_ = after
    later = models.Q(transaction__gt=transaction) | models.Q(transaction=transaction, id__gt=id_)
    return list(Event.objects.filter(later, transaction__lt=finished).order_by("transaction", "id")[:limit])


def position(event: Event) -> Position:
    """Where an event stands in the log."""
    return event.transaction, event.pk
