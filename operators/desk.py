"""Where an operator answers and how much they may hold there, and what of the tenant they may therefore see."""

from collections.abc import Iterable, Mapping
from types import EllipsisType, MappingProxyType
from typing import Any

from django.db.models import QuerySet

from convalloc.errors import Missing
from convalloc.preconditions import refuse_changed
from operators import presence
from operators.errors import NotSubscribed, NotYourInbox
from operators.models import Operator, Subscription
from tenants import eventlog, isolation, tuning
from tenants.models import Inbox, Tenant


def inboxes_of(operator_id: int) -> QuerySet[Subscription, int]:
    """Ids of the inboxes that an operator answers at."""
    return Subscription.objects.filter(operator_id=operator_id).values_list("inbox_id", flat=True)


def seats_of(operator_id: int) -> QuerySet[Subscription]:
    """Where an operator answers, with the inboxes, by their names."""
    return Subscription.objects.filter(operator_id=operator_id).select_related("inbox").order_by("inbox__name", "inbox_id")


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
    operator.limits_version += 1
    operator.save(update_fields=["limits_version"])
    Subscription.objects.filter(operator_id=operator_id, inbox_id__in=before - after).delete()
    tenant_id = isolation.current_tenant_id()
    Subscription.objects.bulk_create(
        Subscription(tenant_id=tenant_id, operator_id=operator_id, inbox_id=inbox_id) for inbox_id in sorted(after - before)
    )
    eventlog.append("operator.inboxes_changed", operator, before={"inbox_ids": sorted(before)}, after={"inbox_ids": sorted(after)})


def limit(operator_id: int, *, own: int | EllipsisType | None = ..., inboxes: Mapping[int, int | None] = MappingProxyType({})) -> Operator:
    """How much an operator may hold: in all (None: the tenant's number) and of an inbox (None: no limit); what is not named stays.

    Under the operator's lock, as every hand-out: after this nothing is given beyond a new limit, and nothing is taken away
    that was held before. Repeating what is changes nothing and appends no event. Raises Missing, Changed, NotSubscribed.
    """
    operator: Operator = presence.lock(operator_id).operator
    refuse_changed(operator.limits_version)
    seats = [seat for seat in _seats_at(operator_id, inboxes) if seat.capacity != inboxes[seat.inbox_id]]
    wished: dict[str, Any] = {} if own is ... or own == operator.capacity else {"capacity": own}
    before = {name: getattr(operator, name) for name in wished} | _limits(seats)
    if not before:
        return operator

    operator.capacity = wished.get("capacity", operator.capacity)
    operator.limits_version += 1
    operator.save(update_fields=["capacity", "limits_version"])
    for seat in seats:
        seat.capacity = inboxes[seat.inbox_id]
    Subscription.objects.bulk_update(seats, ["capacity"])
    eventlog.append("operator.limits_changed", operator, before=before, after=wished | _limits(seats))
    return operator


def tune(**wished: Any) -> Tenant:
    """tenants.tuning.tune, with every hand-out waited for when it sets another limit for who has none of their own. Raises BadSetting.

    A hand-out that is under way has read the old limit. After this nothing is given beyond the new one.
    """
    limit_before = tuning.lock().operator_capacity
    if wished.get("operator_capacity", limit_before) != limit_before:
        presence.hold_everybody()
    return tuning.tune(**wished)


def _seats_at(operator_id: int, inbox_ids: Iterable[int]) -> list[Subscription]:
    """The subscriptions to these inboxes, all of them. Raises Missing, NotSubscribed."""
    wanted = set(inbox_ids)
    seats = list(Subscription.objects.filter(operator_id=operator_id, inbox_id__in=wanted).order_by("inbox_id"))
    if elsewhere := wanted - {seat.inbox_id for seat in seats}:
        known = Inbox.objects.filter(pk__in=elsewhere).count() == len(elsewhere)
        raise NotSubscribed if known else Missing(what="Inbox", sought=elsewhere)
    return seats


def _limits(seats: list[Subscription]) -> dict[str, Any]:
    return {"inboxes": [{"inbox_id": seat.inbox_id, "capacity": seat.capacity} for seat in seats]} if seats else {}


def visible_inboxes(operator: Operator) -> QuerySet[Inbox]:
    """Managers and admins see every inbox of their tenant, operators those they answer at."""
    inboxes = Inbox.objects.all()
    return inboxes if operator.is_manager else inboxes.filter(pk__in=inboxes_of(operator.pk))


def visible_inbox(operator: Operator, inbox_id: int) -> Inbox:
    """One inbox. Raises Missing, and NotYourInbox where the operator does not answer."""
    inbox = Inbox.objects.filter(pk=inbox_id).first()
    if inbox is None:
        raise Missing(what="Inbox", sought=[inbox_id])
    if not operator.is_manager and not answers_at(operator.pk, inbox_id):
        raise NotYourInbox
    return inbox
