"""Signing in to the console (/admin/) with an operator's account, and acting as their tenant there."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse

from convalloc.api.requests import current_request_id
from operators.api.authentication import sign_in
from operators.models import Operator
from tenants import eventlog, isolation

PATH = "/admin/"


class ConsoleBackend(BaseBackend):
    """Email and password. Whoever is found has their tenant bound for the rest of the request."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Operator | None:
        """The account, if the password is right and it is active."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT operator_of_email(%s)", [(username or "").strip().lower().replace("\0", "")])
            (operator_id,) = cursor.fetchone()
        operator = sign_in(operator_id) if operator_id is not None else None
        if operator is None:
            Operator().set_password(password)  # as much work as for an account that exists: the clock tells nothing
            return None
        return operator if operator.check_password(password or "") else None

    def get_user(self, user_id: int) -> Operator | None:
        """The session's account, with its tenant bound."""
        return sign_in(user_id)


class ActAsSignedIn:
    """Middleware: one transaction per console page, as the tenant of whoever is signed in; an error page rolls back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PATH):
            return self.get_response(request)
        with isolation.transaction_without_tenant():
            actor_id = request.user.pk  # looks the session's operator up, which binds their tenant
            with eventlog.caused_by(actor_id, current_request_id()):
                response = self.get_response(request)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()  # lazy otherwise: it must run while the tenant is bound
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response
