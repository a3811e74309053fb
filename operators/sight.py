"""Who may see which events: one rule, as a filter for the database and as a question about one event for the live stream.

Managers and admins see their tenant's; what touches signing in, keys and secrets, admins alone. Operators see what happens at
the inboxes that they answer at, what happens to conversations that they hold, and what is done to them. A change counts for
both of its sides: what leaves an inbox or a holder is told there, too. An API key sees what the account sees that it acts as.
"""

from typing import NamedTuple, Self

from django.db.models import Q

from operators import desk
from operators.models import Operator, Role
from tenants.kinds import FOR_ADMINS
from tenants.models import Event


class Viewer(NamedTuple):
    """Somebody who looks at the log. Managers need no inboxes."""

    operator_id: int
    role: str
    inbox_ids: frozenset[int] = frozenset()

    @classmethod
    def of(cls, operator: Operator) -> Self:
        """As they are now: whoever looks for long asks again."""
        return cls(operator.pk, operator.role, frozenset() if operator.is_manager else frozenset(desk.inboxes_of(operator.pk)))

    def sees(self, event: Event) -> bool:
        """Whether this event is for their eyes."""
        if self.role != Role.ADMIN and event.kind in FOR_ADMINS:
            return False
        if self.role != Role.OPERATOR:
            return True
        return (
            not self.inbox_ids.isdisjoint({event.inbox_id, event.before.get("inbox_id")})
            or self.operator_id in (event.holder_id, event.before.get("assigned_operator_id"))
            or (event.subject_type == "operator" and event.subject_id == self.operator_id)
        )

    def filter(self) -> Q:
        """The same, of many."""
        if self.role == Role.ADMIN:
            return Q()
        known = ~Q(kind__in=sorted(FOR_ADMINS))
        if self.role != Role.OPERATOR:
            return known
        inboxes = sorted(self.inbox_ids)
        return known & (
            Q(inbox_id__in=inboxes)
            | Q(before__inbox_id__in=inboxes)
            | Q(holder_id=self.operator_id)
            | Q(before__assigned_operator_id=self.operator_id)
            | Q(subject_type="operator", subject_id=self.operator_id)
        )
