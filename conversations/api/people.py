"""What clients get about operators, for the OpenAPI schema alone, as shapes does about the rest."""

from rest_framework import serializers

from conversations.api.shapes import NOON, Shape
from operators.models import Role, Status


class OperatorRow(Shape):
    """A person of the tenant."""

    id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    is_active = serializers.BooleanField()
    status = serializers.ChoiceField(choices=Status.choices)
    last_status_change_at = serializers.DateTimeField()
    active_conversations = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    example = {
        "id": 1,
        "tenant_id": 1,
        "email": "operator1@example.com",
        "name": "Operator One",
        "role": "OPERATOR",
        "is_active": True,
        "status": "AVAILABLE",
        "last_status_change_at": NOON,
        "active_conversations": 1,
        "created_at": NOON,
    }


class StatusRow(Shape):
    """Whether a person takes work."""

    operator_id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=Status.choices)
    last_status_change_at = serializers.DateTimeField()
    version = serializers.IntegerField(help_text="Counts every change of the status: see `If-Match`.")


class OperatorStatus(Shape):
    """Whether a person takes work."""

    status = StatusRow()

    example = {"status": {"operator_id": 1, "status": "AVAILABLE", "last_status_change_at": NOON, "version": 4}}


class InboxCapacity(Shape):
    """How much a person may hold, and holds, of one inbox they answer at."""

    inbox_id = serializers.IntegerField()
    inbox_name = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True, help_text="null: no limit of its own.")
    held = serializers.IntegerField()


class OperatorCapacity(Shape):
    """How much a person may hold, and holds."""

    operator_id = serializers.IntegerField()
    version = serializers.IntegerField(help_text="Counts every change of the limits and of the inboxes: see `If-Match`.")
    limit = serializers.IntegerField(allow_null=True, help_text="The one in force: their own, or else the tenant's. null: no limit.")
    own_limit = serializers.IntegerField(allow_null=True)
    tenant_limit = serializers.IntegerField(allow_null=True)
    held = serializers.IntegerField(help_text="Of every inbox; more than `limit` after that was lowered, or by a manager's force.")
    inboxes = InboxCapacity(many=True)

    example = {
        "operator_id": 1,
        "version": 2,
        "limit": 8,
        "own_limit": None,
        "tenant_limit": 8,
        "held": 1,
        "inboxes": [{"inbox_id": 1, "inbox_name": "Customer Support", "limit": None, "held": 1}],
    }


LIMITED = {"version": 3, "limit": 5, "own_limit": 5, "inboxes": [{"inbox_id": 1, "inbox_name": "Customer Support", "limit": 2, "held": 1}]}


class OperatorStats(Shape):
    """What a person holds and has done. Days and weeks (from Monday) are UTC's."""

    operator_id = serializers.IntegerField()
    active_conversations = serializers.IntegerField()
    resolved_today = serializers.IntegerField()
    resolved_this_week = serializers.IntegerField()
    resolved_total = serializers.IntegerField()
    avg_resolution_time_minutes = serializers.FloatField(help_text="From the assignment to the resolution; 0 where nothing is resolved.")
    oldest_active_since = serializers.DateTimeField(allow_null=True)
    waiting_in_inboxes = serializers.IntegerField(help_text="Conversations that this operator could be given now.")

    example = {
        "operator_id": 1,
        "active_conversations": 1,
        "resolved_today": 4,
        "resolved_this_week": 19,
        "resolved_total": 240,
        "oldest_active_since": NOON,
        "avg_resolution_time_minutes": 12.5,
        "waiting_in_inboxes": 4,
    }
