"""Where an operator answers: the inboxes they are subscribed to, and what of the tenant they may therefore see."""

from collections.abc import Iterable

from django.db.models import QuerySet

from convalloc.errors import Missing
from operators import presence
from operators.errors import NotYourInbox
from operators.models import Operator, Subscription
from tenants import eventlog, isolation
from tenants.models import Inbox


def inboxes_of(operator_id: int) -> QuerySet[Subscription, int]:
    """Ids of the inboxes that an operator answers at."""
    return Subscription.objects.filter(operator_id=operator_id).values_list("inbox_id", flat=True)


def answers_at(operator_id: int, inbox_id: int) -> bool:
    """Whether an operator is subscribed to an inbox."""
    return Subscription.objects.filter(operator_id=operator_id, inbox_id=inbox_id).exists()


def answer_at(operator_id: int, inbox_ids: Iterable[int]) -> None:
    """Let an operator answer at exactly these inboxes of the tenant; what they hold they keep. Under the operator's lock.

    Repeating what is changes nothing and appends no event. Raises Missing.
    """
    operator = presence.lock(operator_id).operator
    before, after = set(inboxes_of(operator_id)), set(inbox_ids)
    if before == after:
        return
    Subscription.objects.filter(operator_id=operator_id, inbox_id__in=before - after).delete()
    tenant_id = isolation.current_tenant_id()
    Subscription.objects.bulk_create(
        Subscription(tenant_id=tenant_id, operator_id=operator_id, inbox_id=inbox_id) for inbox_id in sorted(after - before)
    )
    eventlog.append("operator.inboxes_changed", operator, before={"inbox_ids": sorted(before)}, after={"inbox_ids": sorted(after)})


def visible_inboxes(operator: Operator) -> QuerySet[Inbox]:
    """Managers and admins see every inbox of their tenant, operators those they answer at."""
    inboxes = Inbox.objects.all()
    return inboxes if operator.is_manager else inboxes.filter(pk__in=inboxes_of(operator.pk))


def visible_inbox(operator: Operator, inbox_id: int) -> Inbox:
    """One inbox. Raises Missing, and NotYourInbox where the operator does not answer."""
    inbox = Inbox.objects.filter(pk=inbox_id).first()
    if inbox is None:
        raise Missing(what="Inbox")
    if not operator.is_manager and not answers_at(operator.pk, inbox_id):
        raise NotYourInbox
    return inbox
