"""What every door of the API stands in: one transaction, the caller's tenant, the caller's name on every event."""

from collections.abc import Sequence
from typing import Any, cast

from django.db import transaction
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from convalloc import limits
from convalloc.api import rates
from convalloc.api.bodies import refuse_unknown
from convalloc.api.requests import current_request_id
from convalloc.api.schema import noted
from convalloc.errors import DomainError
from convalloc.limits import Standing
from operators import presence
from operators.api import trespass
from operators.api.authentication import Credential
from operators.api.permissions import operation_of, refusals_of, refuse_for_others, who_may
from operators.models import Operator
from tenants import eventlog, isolation


class TenantDoor(ViewSet):
    """A viewset that works for one operator of one tenant. An error answer rolls everything back."""

    lookup_value_regex = "[0-9]{1,19}"
    standings: Sequence[Standing] = ()  # how the caller stands with their limits

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        with isolation.transaction_without_tenant(), eventlog.caused_by(None, current_request_id()):
            response = cast(Response, super().dispatch(request, *args, **kwargs))
            if response.exception:
                transaction.set_rollback(True)
        limits.tell(response, self.standings)
        return response

    def perform_authentication(self, request: Request) -> None:
        """DRF's; whoever is known is counted before it is looked at what they may: what is refused counts too."""
        super().perform_authentication(request)
        eventlog.name_actor(self.caller.pk)
        self.standings = rates.count(rates.of_caller(self.caller.pk, self.caller.tenant_id, self.credential.api_key_id))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if str(request.method).lower() in self.action_map:  # else it is refused next
            refuse_unknown(request.query_params, noted(self, str(request.method)).query)

    def handle_exception(self, exc: Exception) -> Response:
        """DRF's; whoever watches hears of it first, while the tenant is bound."""
        trespass.tell(self, exc)
        return super().handle_exception(exc)

    def who(self) -> str:
        """For the OpenAPI schema: who may do this."""
        return who_may(operation_of(self))

    def refusals(self) -> tuple[type[DomainError], ...]:
        """For the OpenAPI schema: the ways in which this door refuses a caller, whatever the question."""
        return refusals_of(operation_of(self))

    @property
    def caller(self) -> Operator:
        """The authenticated operator; `caller.tenant` is loaded."""
        operator: Operator = self.request.user  # type: ignore[assignment]
        return operator

    @property
    def credential(self) -> Credential:
        """By what the caller was let in."""
        credential: Credential = self.request.auth  # type: ignore[assignment]
        return credential

    def on_behalf_of(self, operator_id: int) -> int:
        """The operator that the caller acts for: themselves, or whoever their role lets them. Raises Missing, OthersWork."""
        if operator_id != self.caller.pk:
            presence.find(operator_id)
        refuse_for_others(self, operator_id)
        return operator_id


class LongDoor(TenantDoor):
    """A door to a room that takes many short transactions of its own: only the signing in happens in one."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        with eventlog.caused_by(None, current_request_id()):
            response = cast(Response, super(TenantDoor, self).dispatch(request, *args, **kwargs))
        limits.tell(response, self.standings)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        with isolation.transaction_without_tenant():
            super().initial(request, *args, **kwargs)
