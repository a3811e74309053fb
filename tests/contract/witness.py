"""What a call said, and what it left behind: the exact refusal, the events it appended, the rows it did not touch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from conversations import allocation, grace, lifecycle
from conversations.models import Conversation, GracePeriod
from operators.models import Operator, OperatorStatus, Status, Subscription
from tenants import eventlog, isolation
from tenants.checks import owned_models
from tenants.models import Event, Inbox, Tenant
from tests.conftest import Answer, Cast

REQUEST = {"X-Request-Id": "request-of-the-test"}


def said(answer: Answer) -> tuple[int, Any]:
    """Status and body."""
    return answer.status, answer.body


def refusal(status: int, code: str, message: str, fields: dict[str, str] | None = None, /, **details: Any) -> tuple[int, Any]:
    """What a refused call says, to the last word."""
    errors = [{"field": field, "message": text} for field, text in (fields or {}).items()]
    body = {"status": "error", "message": message, "code": code, "errors": errors}
    return status, body | ({"details": details} if details else {})


def invalid(**fields: str) -> tuple[int, Any]:
    """400: these fields, with these messages."""
    return refusal(400, "validation_failed", "Validation failed", fields)


def required(*fields: str) -> tuple[int, Any]:
    """400: these fields are missing."""
    return invalid(**{field: f'"{field}" is required' for field in fields})


def missing(what: str) -> tuple[int, Any]:
    """404."""
    return refusal(404, "not_found", f"{what} not found", what=what)


def role_too_low(needed: str) -> tuple[int, Any]:
    """403: the caller's role never does this."""
    return refusal(403, "role_too_low", f"You do not have permission to do this: it takes the role {needed}", needed=needed)


UNKNOWN_CALLER = refusal(401, "not_authenticated", "Authentication required")
OTHERS_WORK = refusal(403, "not_yourself", "You do not have permission to act for another operator")
NOT_YOUR_INBOX = refusal(403, "not_your_inbox", "You do not have permission to see this inbox: you are not subscribed to it")
NOT_SUBSCRIBED = refusal(403, "not_subscribed", "Operator is not subscribed to this inbox")
ALREADY_RESOLVED = refusal(409, "already_resolved", "Conversation is already resolved")
OPERATOR_DISABLED = refusal(409, "operator_disabled", "Operator's account is disabled: it gets no work")


def not_available(status: str) -> tuple[int, Any]:
    """409: the operator does not take work now."""
    return refusal(409, "operator_not_available", f"Operator is {status}, and only an AVAILABLE operator gets work", status=status)


def held_by(operator: Operator) -> tuple[int, Any]:
    """409: somebody else has it."""
    message = f"Conversation is already allocated to {operator}"
    return refusal(409, "already_allocated", message, holder=str(operator), operator_id=operator.pk)


# --- what a call left behind ----------------------------------------------------------------------


@contextmanager
def appended(cast: Cast) -> Iterator[list[dict[str, Any]]]:
    """The events that the block appends, in their order; filled when it ends."""
    found: list[dict[str, Any]] = []
    names = ("kind", "subject_type", "subject_id", "actor_id", "cause", "before", "after", "request_id")
    with isolation.act_as(cast.tenant.pk):
        last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    yield found
    with isolation.act_as(cast.tenant.pk):
        found += Event.objects.filter(pk__gt=last).order_by("pk").values(*names)


def event(kind: str, subject: Any, actor: Operator, before: Any, after: Any, *, cause: str = "", request_id: str = "") -> dict[str, Any]:
    """An event as `appended` tells it; called with REQUEST unless it says otherwise."""
    return {
        "kind": kind,
        "subject_type": subject._meta.model_name,
        "subject_id": subject.pk,
        "actor_id": actor.pk,
        "cause": cause,
        "before": before,
        "after": after,
        "request_id": request_id or REQUEST["X-Request-Id"],
    }


def everything_of(tenant: Tenant) -> dict[str, Any]:
    """Every row of a tenant, table by table. In one statement and past the ORM: some tests look after each statement of a call."""
    tables = [*(model._meta.db_table for model in owned_models()), Tenant._meta.db_table]
    look = " UNION ALL ".join(f"SELECT '{table}', (SELECT coalesce(json_agg(t ORDER BY t.id), '[]') FROM {table} t)" for table in tables)
    with isolation.act_as(tenant.pk), connection.cursor() as cursor:
        cursor.execute(look)
        return dict(cursor.fetchall())


@contextmanager
def untouched(*casts: Cast) -> Iterator[None]:
    """Inside, no row of these tenants may change: a refusal, a repetition, a look."""
    before = [everything_of(cast.tenant) for cast in casts]
    yield
    assert [everything_of(cast.tenant) for cast in casts] == before


# --- how things came to stand ---------------------------------------------------------------------


def held(cast: Cast, holder: Operator, **facts: Any) -> Conversation:
    """A conversation that this operator claimed."""
    conversation: Conversation = cast.conversation(**facts)
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(holder.pk):
        return allocation.claim(holder.pk, conversation.pk)


def kept(cast: Cast, operator: Operator, **facts: Any) -> GracePeriod:
    """The grace period of a conversation that this operator claimed before they went offline."""
    subscribe(cast, operator, cast.support)
    conversation = held(cast, operator, **facts)
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(operator.pk, Status.OFFLINE, cast.tenant)
        return GracePeriod.objects.get(conversation_id=conversation.pk, ended_at__isnull=True)


def resolved(cast: Cast, by: Operator, **facts: Any) -> Conversation:
    """A conversation that this operator claimed and resolved."""
    conversation = held(cast, by, **facts)
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(by.pk):
        return lifecycle.resolve(conversation.pk, by=by)


def subscribe(cast: Cast, operator: Operator, inbox: Inbox) -> None:
    """Let an operator answer at an inbox."""
    with isolation.act_as(cast.tenant.pk):
        Subscription.objects.get_or_create(operator=operator, inbox=inbox)


def change(cast: Cast, row: Any, **values: Any) -> None:
    """Set columns of a row behind the product's back."""
    with isolation.act_as(cast.tenant.pk):
        type(row).objects.filter(pk=row.pk).update(**values)


def set_status(cast: Cast, operator: Operator, status: str) -> None:
    """Set an operator's status, without what follows from it."""
    with isolation.act_as(cast.tenant.pk):
        OperatorStatus.objects.filter(operator_id=operator.pk).update(status=status)
