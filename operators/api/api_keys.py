"""/api-keys: what programs of the organisation may call with. For administrators who are signed in themselves."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.bodies import checked
from convalloc.api.envelope import listing, success
from convalloc.api.fields import Id, WholeNumber
from convalloc.api.schema import documented
from convalloc.errors import Missing
from operators import api_keys
from operators.api.doors import TenantDoor
from operators.api.permissions import SCOPES
from operators.errors import AccountClosed


class NewKey(serializers.Serializer[Any]):
    """A key to make."""

    name = serializers.CharField(max_length=100, help_text="What for; only people read it.")
    operator_id = Id(required=False, help_text="Whom it acts as; the caller unless told otherwise. Their role bounds it.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), allow_empty=False, max_length=len(SCOPES))
    expires_in_days = WholeNumber(min_value=1, max_value=api_keys.LONGEST_DAYS, required=False, help_text="90 unless told otherwise.")

    example = {"name": "CRM", "operator_id": 3, "scopes": ["conversations:read"], "expires_in_days": 90}


class KeyRow(serializers.Serializer[Any]):
    """A key, without its secret."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    operator_id = serializers.IntegerField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))
    created_by = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute; null: never.")
    revoked_at = serializers.DateTimeField(allow_null=True)

    example = {
        "id": 1,
        "name": "CRM",
        "operator_id": 3,
        "scopes": ["conversations:read"],
        "created_by": 4,
        "created_at": "2026-01-05T10:00:00.000000Z",
        "expires_at": "2026-04-05T10:00:00.000000Z",
        "last_used_at": None,
        "revoked_at": None,
    }


class MadeKey(KeyRow):
    """A key that was just made."""

    key = serializers.CharField(
        help_text="Send it as `Authorization: Bearer …`. Shown here, once, and kept nowhere where it could be read."
    )

    example = KeyRow.example | {"key": "cvk_1_1_…"}


class ApiKeys(TenantDoor):
    """The keys of the caller's organisation."""

    basename = "api-key"

    @documented(KeyRow, many=True)
    def list(self, request: Request) -> Response:
        """Every key, the newest first, also those that open nothing any more."""
        return listing([api_keys.described(key) for key in api_keys.all_of_them()])

    @documented(MadeKey, body=NewKey, message="API key created successfully", statuses=(201,), refuses=(Missing, AccountClosed))
    def create(self, request: Request) -> Response:
        """Make a key. It is told in this answer and never again."""
        wish = checked(NewKey, request.data)
        key, text = api_keys.make(
            wish["name"],
            acts_as=wish.get("operator_id", self.caller.pk),
            scopes=wish["scopes"],
            days=wish.get("expires_in_days", 90),
            by=self.caller,
        )
        return success(api_keys.described(key) | {"key": text}, message="API key created successfully", status=201)

    @documented(KeyRow, message="API key revoked successfully", refuses=(Missing,))
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke a key: it opens nothing from now on."""
        return success(api_keys.described(api_keys.revoke(int(pk))), message="API key revoked successfully")
