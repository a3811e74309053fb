"""What clients ask of presence, and what they get; the answers' shapes are for the OpenAPI schema alone."""

from typing import Any

from rest_framework import serializers

from convalloc.api.cursors import PageSize
from convalloc.api.fields import Instant
from operators.models import Status

Shape = serializers.Serializer[Any]
MORNING, NOON = "2026-01-05T09:00:00.000000Z", "2026-01-05T12:00:00.000000Z"


class AskedWindow(PageSize):
    """From when to when; and which page of the periods."""

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name that Python lets an attribute have."""
        since = Instant(required=False, help_text="RFC 3339; 24 hours before `to` unless told otherwise.")
        until = Instant(required=False, help_text="RFC 3339; now unless told otherwise. What has not come yet is left out.")
        return {"from": since, "to": until, **super().get_fields()}


class Seconds(Shape):
    """How long, by status."""

    AVAILABLE = serializers.FloatField()
    AWAY = serializers.FloatField()
    OFFLINE = serializers.FloatField()


class Period(Shape):
    """A stretch of time in one status, cut to the window."""

    status = serializers.ChoiceField(choices=Status.choices)
    reason = serializers.CharField(help_text="Why it was set; `lost`: the lease ran out. Empty: nobody said.")
    actor_id = serializers.IntegerField(allow_null=True, help_text="Who set it; null: the clock.")
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True, help_text="null: it goes on.")
    seconds = serializers.FloatField()


class Timesheet(Shape):
    """An operator's time within a window: seconds by status, of all of it, and a page of the periods, newest first."""

    operator_id = serializers.IntegerField()
    seconds = Seconds(help_text="What lies before the operator's history counts for no status.")
    periods = Period(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="Send it as `cursor` for the next page; null at the end.")
    has_more = serializers.BooleanField()

    example = {
        "operator_id": 1,
        "from": MORNING,
        "to": NOON,
        "seconds": {"AVAILABLE": 9000.0, "AWAY": 1800.0, "OFFLINE": 0.0},
        "periods": [
            {
                "status": "AVAILABLE",
                "reason": "",
                "actor_id": 1,
                "started_at": "2026-01-05T09:30:00.000000Z",
                "ended_at": None,
                "seconds": 9000.0,
            },
            {
                "status": "AWAY",
                "reason": "team meeting",
                "actor_id": 3,
                "started_at": MORNING,
                "ended_at": "2026-01-05T09:30:00.000000Z",
                "seconds": 1800.0,
            },
        ],
        "next_cursor": None,
        "has_more": False,
    }

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name that Python lets an attribute have."""
        return {"from": serializers.DateTimeField(), "to": serializers.DateTimeField(), **super().get_fields()}


class Lease(Shape):
    """Until when an operator counts as there without another sign of life."""

    operator_id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=Status.choices)
    lease_expires_at = serializers.DateTimeField(allow_null=True, help_text="null: the tenant has no leases.")

    example = {"operator_id": 1, "status": "AVAILABLE", "lease_expires_at": NOON}
