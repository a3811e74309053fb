"""/grace-periods: what offline operators keep for now, and for how long."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F, Q, TextField, Value
from django.db.models.functions import Coalesce, NullIf
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import clock
from convalloc.api import cursors
from convalloc.api.bodies import checked
from convalloc.api.cursors import PageSize
from convalloc.api.envelope import listing, success
from convalloc.api.fields import Id, WholeNumber
from convalloc.api.schema import documented
from convalloc.errors import Missing
from conversations import grace
from conversations.api import shapes, wire
from conversations.errors import GraceEnded, GraceTooLong
from conversations.models import GracePeriod
from conversations.priority import Weights
from operators import desk, presence
from operators.api.doors import TenantDoor

OWN = ("id", "conversation_id", "operator_id", "reason", "opened_at", "expires_at")
JOINED = {
    "external_conversation_id": F("conversation__external_conversation_id"),
    "inbox_id": F("conversation__inbox_id"),
    "inbox_name": F("conversation__inbox__name"),
    "operator_name": Coalesce(NullIf("operator__name", Value("")), "operator__email", output_field=TextField()),
}
PARSERS: list[Callable[[str], Any]] = [cursors.point_in_time, cursors.whole_number]


class Which(PageSize):
    """Whose, and of which inbox; everything without them."""

    operator_id = Id(required=False, help_text="What one operator keeps.")
    inbox_id = Id(required=False, help_text="What is kept of one inbox.")


class Reasoned(serializers.Serializer[Any]):
    """Why, for the audit."""

    reason = serializers.CharField(default="", allow_blank=True, max_length=500)

    example: dict[str, Any] = {"reason": "will not come back today"}


class Longer(Reasoned):
    """For how much longer, and why."""

    minutes = WholeNumber(min_value=1, max_value=grace.LONGEST_EXTENSION, help_text="From the deadline, or from now where that has passed.")

    example = {"minutes": 30, "reason": "on the train, back at noon"}


class GracePeriods(TenantDoor):
    """Open grace periods of the caller's tenant."""

    basename = "grace-period"

    @documented(shapes.GracePeriodRow, many=True, meta=shapes.PageMeta, query=(Which,), refuses=(Missing,))
    def list(self, request: Request) -> Response:
        """Who keeps what, and how long still: the nearest deadline first."""
        wish = checked(Which, request.query_params)
        rows = GracePeriod.objects.filter(ended_at__isnull=True)
        filters: dict[str, Any] = {name: wish[name] for name in ("operator_id", "inbox_id") if name in wish}
        if "operator_id" in filters:
            rows = rows.filter(operator_id=presence.find(wish["operator_id"]).pk)
        if "inbox_id" in filters:
            rows = rows.filter(conversation__inbox_id=desk.visible_inbox(self.caller, wish["inbox_id"]).pk)
        binding = cursors.digest("expires_at", filters)
        if wish["cursor"]:
            expires_at, pk = cursors.read(wish["cursor"], PARSERS, binding)
            rows = rows.filter(Q(expires_at__gt=expires_at) | Q(expires_at=expires_at, pk__gt=pk), expires_at__gte=expires_at)
        found = list(rows.order_by("expires_at", "pk").values(*OWN, **JOINED)[: wish["limit"] + 1])
        shown, now = found[: wish["limit"]], clock.now()
        last = shown[-1] if len(found) > len(shown) else None
        cursor = cursors.write([last["expires_at"], last["id"]], binding) if last else None
        return listing([_spell(row, now) for row in shown], next_cursor=cursor, has_more=cursor is not None)

    @documented(
        shapes.GracePeriodRow, body=Longer, message="Grace period extended successfully", refuses=(Missing, GraceEnded, GraceTooLong)
    )
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: str) -> Response:
        """Let the operator keep it for longer."""
        body = checked(Longer, request.data)
        period = grace.extend(int(pk), body["minutes"], reason=body["reason"])
        (row,) = GracePeriod.objects.filter(pk=period.pk).values(*OWN, **JOINED)
        return success(_spell(row, clock.now()), message="Grace period extended successfully")

    @documented(shapes.Conversation, body=Reasoned, message="Conversation returned to the queue", refuses=(Missing, GraceEnded))
    @action(detail=True, methods=["post"], url_path="expire-now")
    def expire_now(self, request: Request, pk: str) -> Response:
        """Do not wait: the conversation goes back to the queue."""
        tenant = self.caller.tenant
        conversation = grace.expire_now(int(pk), tenant, by=self.caller, reason=checked(Reasoned, request.data)["reason"])
        return success(wire.one(conversation.pk, Weights.of(tenant)), message="Conversation returned to the queue")


def _spell(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {**row, "seconds_left": max(0.0, round((row["expires_at"] - now).total_seconds(), 3))}
