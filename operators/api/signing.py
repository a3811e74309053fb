"""/signing-secrets: what programs sign with, for administrators who are signed in. /signatures: for who wants to try it out."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.bodies import checked
from convalloc.api.envelope import listing, success
from convalloc.api.fields import Id
from convalloc.api.schema import documented
from convalloc.errors import Missing
from operators import signing_secrets
from operators.api.doors import TenantDoor
from operators.api.permissions import SCOPES
from operators.errors import ApiKeyEnded, EnoughSecrets


class NewSecret(serializers.Serializer[Any]):
    """A secret to make."""

    api_key_id = Id(help_text="Whose requests it signs: as whom they act, their scopes and their end are the key's.")

    example = {"api_key_id": 1}


class SecretRow(serializers.Serializer[Any]):
    """A signing secret, without the secret."""

    id = serializers.IntegerField()
    api_key_id = serializers.IntegerField()
    sign_as = serializers.CharField(help_text="Send it as `X-Api-Key-Id` beside the three headers of Standard Webhooks.")
    created_by = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    dropped_at = serializers.DateTimeField(allow_null=True)

    example = {
        "id": 1,
        "api_key_id": 1,
        "sign_as": "cvk_1_1",
        "created_by": 4,
        "created_at": "2026-01-05T10:00:00.000000Z",
        "dropped_at": None,
    }


class MadeSecret(SecretRow):
    """A signing secret that was just made."""

    secret = serializers.CharField(help_text="Sign with it, by any library of Standard Webhooks. It is shown here, once.")

    example = SecretRow.example | {"secret": "whsec_…"}


class Checked(serializers.Serializer[Any]):
    """Whose signature it was."""

    api_key_id = serializers.IntegerField()
    signing_secret_id = serializers.IntegerField()
    operator_id = serializers.IntegerField(help_text="As whom the key acts.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))

    example = {"api_key_id": 1, "signing_secret_id": 1, "operator_id": 3, "scopes": ["conversations:read"]}


class SigningSecrets(TenantDoor):
    """The signing secrets of the caller's organisation."""

    basename = "signing-secret"

    @documented(SecretRow, many=True)
    def list(self, request: Request) -> Response:
        """Every signing secret, the newest first, also those that were dropped."""
        return listing([signing_secrets.described(secret) for secret in signing_secrets.all_of_them()])

    @documented(
        MadeSecret,
        body=NewSecret,
        message="Signing secret created successfully",
        statuses=(201,),
        refuses=(Missing, ApiKeyEnded, EnoughSecrets),
    )
    def create(self, request: Request) -> Response:
        """Make a signing secret of an API key, which may have several. It is told in this answer and never again."""
        secret, text = signing_secrets.make(checked(NewSecret, request.data)["api_key_id"], by=self.caller)
        told = signing_secrets.described(secret) | {"secret": text}
        return success(told, message="Signing secret created successfully", status=201)

    @documented(SecretRow, message="Signing secret dropped successfully", refuses=(Missing,))
    def destroy(self, request: Request, pk: str) -> Response:
        """Drop a signing secret: what it signs is refused from now on."""
        return success(signing_secrets.described(signing_secrets.drop(int(pk))), message="Signing secret dropped successfully")


class Signatures(TenantDoor):
    """For integrators: does our signing work?"""

    basename = "signature"

    @documented(Checked, nullable=True)
    @action(detail=False, methods=["post"])
    def check(self, request: Request) -> Response:
        """Which API key and which of its secrets signed this request, whatever its body; null where it was not signed."""
        credential = self.credential
        if credential.signing_secret_id is None:
            return success(None)
        return success(
            {
                "api_key_id": credential.api_key_id,
                "signing_secret_id": credential.signing_secret_id,
                "operator_id": self.caller.pk,
                "scopes": sorted(credential.scopes or ()),
            }
        )
