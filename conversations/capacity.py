"""How much an operator may hold: in all, and of one inbox. Counted under the operator's lock, on every way in.

What is held only ever grows under that lock; it shrinks without it, which errs on the safe side.
"""

from typing import Any

from django.db.models import Count

from conversations.errors import CapacityExceeded
from conversations.models import Conversation
from conversations.states import State
from operators import desk
from operators.models import Operator, OperatorStatus, Subscription

# Whether a subscription `s` has room left, in SQL.
HAS_ROOM = """(s.capacity IS NULL OR s.capacity > (
    SELECT count(*) FROM conversations h
     WHERE h.tenant_id = s.tenant_id AND h.assigned_operator_id = s.operator_id AND h.inbox_id = s.inbox_id AND h.state = 'ALLOCATED'))"""


def limit_of(operator: Operator) -> int | None:
    """Most conversations that an operator may hold at a time: their own number, or the tenant's; None: no limit."""
    own: int | None = operator.capacity
    tenants: int | None = operator.tenant.operator_capacity
    return tenants if own is None else own


def refuse_full(target: OperatorStatus, inbox_id: int | None = None) -> None:
    """Refuse who holds as much as they may, in all or of this inbox. Under the operator's lock. Raises CapacityExceeded."""
    held = Conversation.objects.filter(assigned_operator_id=target.operator_id, state=State.ALLOCATED)
    limit = limit_of(target.operator)
    if limit is not None and (current := held.count()) >= limit:
        raise CapacityExceeded(limit=limit, current=current)
    if inbox_id is None:
        return
    subscription = Subscription.objects.filter(operator_id=target.operator_id, inbox_id=inbox_id).first()
    if subscription is None or subscription.capacity is None:
        return
    if (current := held.filter(inbox_id=inbox_id).count()) >= subscription.capacity:
        raise CapacityExceeded(limit=subscription.capacity, current=current, inbox_id=inbox_id)


def of_operator(operator: Operator) -> dict[str, Any]:
    """What an operator may hold and holds, in all and of each inbox they answer at. Not locked: for looking at.

    `held` counts what they hold of other inboxes too, such as those they no longer answer at.
    """
    rows = Conversation.objects.filter(assigned_operator_id=operator.pk, state=State.ALLOCATED).order_by()
    held = dict(rows.values_list("inbox_id").annotate(n=Count("pk")))
    return {
        "operator_id": operator.pk,
        "version": operator.limits_version,
        "limit": limit_of(operator),
        "own_limit": operator.capacity,
        "tenant_limit": operator.tenant.operator_capacity,
        "held": sum(held.values()),
        "inboxes": [
            {"inbox_id": seat.inbox_id, "inbox_name": seat.inbox.name, "limit": seat.capacity, "held": held.get(seat.inbox_id, 0)}
            for seat in desk.seats_of(operator.pk)
        ],
    }
