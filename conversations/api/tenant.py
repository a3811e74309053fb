"""/tenant: the settings of the caller's organisation, what its weights mean, and how far the queue follows them."""

import re
from decimal import Decimal
from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api import versions
from convalloc.api.bodies import checked
from convalloc.api.fields import WholeNumber
from convalloc.api.schema import documented
from conversations import recalculation, tasks
from conversations.api import shapes
from conversations.priority import Weights
from operators import desk
from operators.api.doors import TenantDoor
from tenants.errors import BadSetting
from tenants.models import Tenant

NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")


class Weight(serializers.DecimalField):
    """0 to 100 with at most four decimals, as JSON's number or in ASCII digits. DRF's own field takes `1_0` and every script's digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=7, decimal_places=4, min_value=Decimal(0), max_value=Decimal(100), coerce_to_string=False, **options)

    def to_internal_value(self, data: Any) -> Decimal:
        written = isinstance(data, str) and NUMBER.fullmatch(data)
        if not written and (not isinstance(data, int | float) or isinstance(data, bool)):
            self.fail("invalid")
        return super().to_internal_value(data)


class Settings(serializers.Serializer[Any]):
    """Settings to change; what is not named stays."""

    name = serializers.CharField(max_length=200, required=False)
    priority_alpha = Weight(required=False, help_text="The weight of the number of messages.")
    priority_beta = Weight(required=False, help_text="The weight of the waiting time. Not both weights are 0.")
    message_cap = WholeNumber(min_value=1, max_value=1_000_000, required=False, help_text="More messages add nothing.")
    delay_cap_minutes = WholeNumber(min_value=1, max_value=43_200, required=False, help_text="Waiting longer adds nothing.")
    waiting_clock = serializers.ChoiceField(choices=Tenant.WaitingClock.choices, required=False)
    grace_period_minutes = WholeNumber(min_value=1, max_value=10_080, required=False, help_text="An offline operator keeps the work.")
    lease_seconds = WholeNumber(min_value=30, max_value=3600, required=False, allow_null=True, help_text=shapes.LEASE)
    operator_capacity = WholeNumber(min_value=1, max_value=10_000, required=False, allow_null=True, help_text="null: no limit.")
    cooldown_minutes = WholeNumber(min_value=0, max_value=1440, required=False, help_text="What one released comes to them last.")
    resolved_conversations_days = WholeNumber(min_value=1, max_value=3650, required=False, allow_null=True, help_text=shapes.RETENTION)
    events_kept_days = WholeNumber(min_value=7, max_value=3650, required=False, allow_null=True, help_text=shapes.EVENTS_KEPT)

    example = {"priority_alpha": 0.5, "priority_beta": 0.5, "operator_capacity": 8}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError({"name": ['"name" or another setting is required']})
        return attrs


class OwnTenant(TenantDoor):
    """The caller's organisation."""

    basename = "tenant"

    @documented(shapes.TenantRow, versioned=True)
    def retrieve(self, request: Request) -> Response:
        """The settings of one's organisation, what its weights mean, and how far the queue is ranked by them."""
        return versions.shown(request, _spell(self.caller.tenant))

    @documented(
        shapes.TenantRow, body=Settings, message="Settings changed successfully", shows=shapes.TUNED, refuses=(BadSetting,), versioned=True
    )
    def change(self, request: Request) -> Response:
        """Change settings. After other weights, caps or another clock the queue is ranked anew at once; `ranking` tells how far it is."""
        before = self.caller.tenant.weights_version
        tenant = desk.tune(**checked(Settings, request.data))
        if tenant.weights_version != before:
            _rank_soon(tenant.pk)
        return versions.shown(request, _spell(tenant), message="Settings changed successfully")


def _rank_soon(tenant_id: int) -> None:
    """Send the task once the settings are committed. Robust: without a broker they stand, and the next tick ranks the queue."""

    def send() -> None:
        tasks.rank_anew.delay(tenant_id)

    transaction.on_commit(send, robust=True)


def _spell(tenant: Tenant) -> dict[str, Any]:
    """A tenant as clients know it; weights are numbers."""
    plain = (
        "message_cap",
        "delay_cap_minutes",
        "waiting_clock",
        "grace_period_minutes",
        "lease_seconds",
        "operator_capacity",
        "cooldown_minutes",
        "resolved_conversations_days",
        "events_kept_days",
    )
    return {
        "id": tenant.pk,
        "name": tenant.name,
        "priority_alpha": float(tenant.priority_alpha),
        "priority_beta": float(tenant.priority_beta),
        **{name: getattr(tenant, name) for name in plain},
        "in_words": Weights.of(tenant).in_words(tenant.waiting_clock),
        "ranking": {
            "up_to_date": recalculation.up_to_date(tenant),
            "done": tenant.ranking_done,
            "total": tenant.ranking_total,
            "started_at": tenant.ranking_started_at,
        },
        "created_at": tenant.created_at,
        "version": tenant.settings_version,
    }
