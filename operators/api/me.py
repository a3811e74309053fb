"""/me: who the caller is, for a front end that has just started."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.envelope import success
from convalloc.api.schema import documented
from operators import desk, presence
from operators.api.doors import TenantDoor
from operators.models import Role, Status


class Seat(serializers.Serializer[Any]):
    """An inbox that the caller answers at."""

    inbox_id = serializers.IntegerField()
    name = serializers.CharField()


class MeRow(serializers.Serializer[Any]):
    """The caller."""

    id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()
    tenant_name = serializers.CharField()
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    status = serializers.ChoiceField(choices=Status.choices)
    inboxes = Seat(many=True)
    scopes = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="What an API key is good for; null: whatever the role may."
    )

    example = {
        "id": 1,
        "tenant_id": 1,
        "tenant_name": "Demo Tenant",
        "email": "operator1@example.com",
        "name": "Operator One",
        "role": "OPERATOR",
        "status": "AVAILABLE",
        "inboxes": [{"inbox_id": 1, "name": "Customer Support"}],
        "scopes": None,
    }


class Me(TenantDoor):
    """The caller's own account."""

    basename = "me"

    @documented(MeRow)
    def retrieve(self, request: Request) -> Response:
        """Who the caller is: account, organisation, role, status, and the inboxes that they answer at."""
        caller = self.caller
        seats = [{"inbox_id": seat.inbox_id, "name": seat.inbox.name} for seat in desk.seats_of(caller.pk)]
        scopes = self.credential.scopes
        return success(
            {
                "id": caller.pk,
                "tenant_id": caller.tenant_id,
                "tenant_name": caller.tenant.name,
                "email": caller.email,
                "name": caller.name,
                "role": caller.role,
                "status": presence.status_of(caller.pk).status,
                "inboxes": seats,
                "scopes": None if scopes is None else sorted(scopes),
            }
        )
