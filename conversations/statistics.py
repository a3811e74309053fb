"""Numbers for people: what operators hold and have done, what waits in an inbox. Counted from assignments, so that they reconcile."""

from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from convalloc import clock
from conversations import queue
from conversations.models import Assignment, Conversation
from conversations.states import State
from operators.models import Operator, OperatorStatus
from tenants.models import Inbox

MINUTE = timedelta(minutes=1)


def of_operator(operator: Operator) -> dict[str, Any]:
    """What an operator holds and has resolved; days and weeks (from Monday) are UTC's, durations are minutes.

    A resolution's time runs from the assignment to the resolution: waiting in the queue is not the operator's.
    """
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    assignments = Assignment.objects.filter(operator_id=operator.pk)
    done = Q(end_reason=Assignment.EndReason.RESOLVED)
    numbers = assignments.aggregate(
        active_conversations=Count("pk", filter=Q(ended_at__isnull=True)),
        resolved_today=Count("pk", filter=done & Q(ended_at__gte=today)),
        resolved_this_week=Count("pk", filter=done & Q(ended_at__gte=today - timedelta(days=today.weekday()))),
        resolved_total=Count("pk", filter=done),
        average=Avg(ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField()), filter=done),
        oldest_active_since=Min("started_at", filter=Q(ended_at__isnull=True)),
    )
    average = numbers.pop("average") or timedelta()
    return {
        "operator_id": operator.pk,
        **numbers,
        "avg_resolution_time_minutes": round(average / MINUTE, 2),
        "waiting_in_inboxes": queue.waiting_for(operator.pk).count(),
    }


def of_inboxes(inboxes: QuerySet[Inbox]) -> list[dict[str, Any]]:
    """Inboxes with the number of conversations that wait and that are being answered."""

    def count(state: State) -> Coalesce:
        rows = Conversation.objects.filter(inbox_id=OuterRef("pk"), state=state).order_by().values("inbox_id")
        return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0)

    counted = inboxes.annotate(queued_conversations=count(State.QUEUED), allocated_conversations=count(State.ALLOCATED))
    columns = ("id", "tenant_id", "name", "phone_number", "queued_conversations", "allocated_conversations", "created_at")
    return [dict(row) for row in counted.order_by("pk").values(*columns)]


def of_operators() -> list[dict[str, Any]]:
    """Everybody of the tenant with their status and the number of conversations they hold."""
    status = OperatorStatus.objects.filter(operator_id=OuterRef("pk"))
    held = Conversation.objects.filter(assigned_operator_id=OuterRef("pk"), state=State.ALLOCATED).order_by().values("assigned_operator_id")
    rows = Operator.objects.annotate(
        status=Subquery(status.values("status")),
        last_status_change_at=Subquery(status.values("last_status_change_at")),
        active_conversations=Coalesce(Subquery(held.annotate(n=Count("pk")).values("n")), 0),
    )
    columns = (
        "id",
        "tenant_id",
        "email",
        "name",
        "role",
        "is_active",
        "status",
        "last_status_change_at",
        "active_conversations",
        "created_at",
    )
    return [dict(row) for row in rows.order_by("pk").values(*columns)]
