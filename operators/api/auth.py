"""/auth: signing in, going on, signing out. Open to anyone: who calls is what is found out here."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from convalloc.api.bodies import checked
from convalloc.api.envelope import success
from convalloc.api.requests import address_of, current_request_id
from convalloc.api.schema import documented
from convalloc.limits import RateLimited
from operators import sessions, signing_keys
from operators.errors import SessionEnded, TotpRequired, WrongCredentials, WrongTotp
from operators.sessions import Granted
from operators.sign_in_guard import SignInClosed
from tenants import eventlog

AN_ACCESS_TOKEN, A_REFRESH_TOKEN = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9…", "cvr_1_1_…"
LONGEST_PASSWORD = 4096  # what the console takes, the API takes too
SIGN_IN_REFUSED = (WrongCredentials, TotpRequired, WrongTotp, RateLimited, SignInClosed)


class Credentials(serializers.Serializer[Any]):
    """Who signs in."""

    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
    totp = serializers.CharField(
        max_length=40, default="", allow_blank=True, help_text="The code of the second factor, or a recovery code, if the account has one."
    )

    example = {"email": "operator1@example.com", "password": "convalloc-demo"}


class HeldToken(serializers.Serializer[Any]):
    """The refresh token that was given last."""

    refresh_token = serializers.CharField(max_length=200, trim_whitespace=False)

    example = {"refresh_token": A_REFRESH_TOKEN}


class Tokens(serializers.Serializer[Any]):
    """What a client calls with, and what it goes on with."""

    access_token = serializers.CharField(help_text="Send it as `Authorization: Bearer …`.")
    token_type = serializers.CharField(help_text="Always `Bearer`.")
    expires_in = serializers.IntegerField(help_text="Seconds that the access token is good for.")
    refresh_token = serializers.CharField(help_text="Good for one POST /auth/refresh. Keep the newest, forget the others.")
    refresh_expires_in = serializers.IntegerField(help_text="Seconds that the refresh token is good for.")
    operator_id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()

    example = {
        "access_token": AN_ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 600,
        "refresh_token": A_REFRESH_TOKEN,
        "refresh_expires_in": 604800,
        "operator_id": 1,
        "tenant_id": 1,
    }


class AuthDoor(APIView):
    """Asks nobody for a name."""

    authentication_classes = ()
    permission_classes = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with eventlog.caused_by(None, current_request_id()):
            return super().dispatch(request, *args, **kwargs)


class Token(AuthDoor):
    """Signing in."""

    @documented(Tokens, body=Credentials, message="Signed in successfully", refuses=SIGN_IN_REFUSED)
    def post(self, request: Request) -> Response:
        """Sign in with email and password: an access token for the calls, and a refresh token to go on with.

        An account with a second factor answers `totp_required` until its code comes along as `totp`. A code serves once.
        """
        wish = checked(Credentials, request.data)
        granted = sessions.begin(wish["email"], wish["password"], address_of(request._request), wish["totp"])
        return success(_spell(granted), message="Signed in successfully")


class Refresh(AuthDoor):
    """Going on."""

    @documented(Tokens, body=HeldToken, message="Tokens renewed successfully", refuses=(SessionEnded,))
    def post(self, request: Request) -> Response:
        """New tokens for a refresh token. Each serves once: offered again, it ends the session, because it may have been stolen."""
        return success(_spell(sessions.go_on(checked(HeldToken, request.data)["refresh_token"])), message="Tokens renewed successfully")


class Logout(AuthDoor):
    """Signing out."""

    @documented(None, body=HeldToken, message="Signed out successfully")
    def post(self, request: Request) -> Response:
        """End the session of this refresh token, with its access tokens. Also 200 where there is nothing to end."""
        sessions.end(checked(HeldToken, request.data)["refresh_token"])
        return success(None, message="Signed out successfully")


@require_safe
@cache_control(public=True, max_age=60)
def jwks(request: HttpRequest) -> JsonResponse:
    """The public keys of our access tokens, as a JSON Web Key Set. Look again when a token names a key that is not among them."""
    return JsonResponse(signing_keys.published(), content_type="application/jwk-set+json")


def _spell(granted: Granted) -> dict[str, Any]:
    return {
        "access_token": granted.access_token,
        "token_type": "Bearer",
        "expires_in": settings.ACCESS_TOKEN_SECONDS,
        "refresh_token": granted.refresh_token,
        "refresh_expires_in": granted.refresh_seconds,
        "operator_id": granted.session.operator_id,
        "tenant_id": granted.session.tenant_id,
    }
