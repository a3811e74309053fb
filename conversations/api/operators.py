"""/operators: who is there, what they hold and have done. The status is set here, because work follows from it."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api import versions
from convalloc.api.bodies import checked
from convalloc.api.envelope import listing, success
from convalloc.api.schema import documented
from convalloc.errors import Missing
from conversations import capacity, grace, statistics
from conversations.api import bodies, people, shapes
from conversations.errors import OperatorDisabled
from conversations.grace import Release
from operators import desk, presence
from operators.api.doors import TenantDoor
from operators.errors import NotSubscribed, RoleTooLow
from operators.models import OperatorStatus, Role, Status
from tenants.models import Inbox


class Operators(TenantDoor):
    """Operators of the caller's tenant."""

    basename = "operator"

    @documented(people.OperatorRow, many=True)
    def list(self, request: Request) -> Response:
        """Everybody of the tenant, with status and number of conversations held."""
        return listing(statistics.of_operators())

    @documented(people.OperatorStatus, refuses=(Missing,), versioned=True)
    @action(detail=True, methods=["get"])
    def status(self, request: Request, pk: str) -> Response:
        """Whether an operator takes work."""
        return _status_answer(request, presence.status_of(self.on_behalf_of(int(pk))))

    @documented(
        people.OperatorStatus,
        body=bodies.NewStatus,
        message="Operator status updated successfully",
        refuses=(Missing, RoleTooLow, OperatorDisabled),
        versioned=True,
    )
    @status.mapping.put
    def change_status(self, request: Request, pk: str) -> Response:
        """Come, go away, leave. OFFLINE starts the grace period of what the operator holds; coming back ends it.

        A manager may have all that the operator holds put back into the queue at once instead: `release: now`.
        """
        operator_id = self.on_behalf_of(int(pk))
        wish = checked(bodies.NewStatus, request.data)
        release = Release(wish.get("release", Release.GRACE))
        if release is Release.NOW and not self.caller.is_manager:
            raise RoleTooLow(needed=Role.MANAGER)
        row = grace.change_status(operator_id, Status(wish["status"]), self.caller.tenant, reason=wish["reason"], release=release)
        return _status_answer(request, row, message="Operator status updated successfully")

    @documented(people.OperatorStats, refuses=(Missing,))
    @action(detail=True, methods=["get"])
    def stats(self, request: Request, pk: str) -> Response:
        """What an operator holds and has resolved."""
        return success(statistics.of_operator(presence.find(self.on_behalf_of(int(pk)))))

    @documented(shapes.InboxRow, many=True, refuses=(Missing,))
    @action(detail=True, methods=["get"])
    def inboxes(self, request: Request, pk: str) -> Response:
        """The inboxes that an operator answers at."""
        operator_id = self.on_behalf_of(int(pk))
        return listing(statistics.of_inboxes(Inbox.objects.filter(pk__in=desk.inboxes_of(operator_id))))

    @documented(people.OperatorCapacity, refuses=(Missing,), versioned=True)
    @action(detail=True, methods=["get"])
    def capacity(self, request: Request, pk: str) -> Response:
        """How much an operator may hold and holds, in all and of each inbox they answer at."""
        return versions.shown(request, capacity.of_operator(presence.find(self.on_behalf_of(int(pk)))))

    @documented(
        people.OperatorCapacity,
        body=bodies.NewLimits,
        message="Limits changed successfully",
        shows=people.LIMITED,
        refuses=(Missing, NotSubscribed),
        versioned=True,
    )
    @capacity.mapping.patch
    def change_capacity(self, request: Request, pk: str) -> Response:
        """Set how much an operator may hold. A lower number takes nothing away: until they hold less, they get nothing more."""
        operator_id = self.on_behalf_of(int(pk))
        body = checked(bodies.NewLimits, request.data)
        operator = desk.limit(
            operator_id, own=body.get("own_limit", ...), inboxes={row["inbox_id"]: row["limit"] for row in body.get("inboxes", [])}
        )
        return versions.shown(request, capacity.of_operator(operator), message="Limits changed successfully")


def _status_answer(request: Request, row: OperatorStatus, message: str | None = None) -> Response:
    names = ("operator_id", "status", "last_status_change_at", "version")
    status: dict[str, Any] = {name: getattr(row, name) for name in names}
    return versions.shown(request, {"status": status}, status, message=message)
