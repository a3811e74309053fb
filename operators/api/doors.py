"""What every door of the API stands in: one transaction, the caller's tenant, the caller's name on every event."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from convalloc import limits, preconditions
from convalloc.api import links, rates, versions
from convalloc.api.bodies import refuse_unknown
from convalloc.api.requests import current_request_id
from convalloc.api.schema import noted
from convalloc.errors import DomainError
from convalloc.limits import Standing
from operators import presence, repeats
from operators.api import repeating, trespass
from operators.api.authentication import Credential
from operators.api.permissions import operation_of, refusals_of, refuse_for_others, who_may
from operators.errors import KeyInUse, KeyReused
from operators.models import Operator
from operators.repeats import Question
from tenants import eventlog, isolation

Act = Callable[..., Response]


class TenantDoor(ViewSet):
    """A viewset that works for one operator of one tenant. An error answer rolls everything back."""

    lookup_value_regex = "[0-9]{1,19}"
    standings: Sequence[Standing] = ()  # how the caller stands with their limits

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with isolation.transaction_without_tenant(), eventlog.caused_by(None, current_request_id()), preconditions.of_one_request():
            response = cast(HttpResponse, super().dispatch(request, *args, **kwargs))
            if getattr(response, "exception", False):
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
        verb = str(request.method).lower()
        if verb not in self.action_map:  # it is refused next
            return
        told = noted(self, str(request.method))
        refuse_unknown(request.query_params, told.query)
        versions.note_seen(request, taken=told.versioned)
        if question := repeating.question_of(self, request):
            setattr(self, verb, partial(self.once, question, getattr(self, verb)))  # as DRF bound the operation to the verb

    def once(self, question: Question, act: Act, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do what is asked, or answer as the first time. What a room refuses is undone; that it was refused is kept."""
        if answer := repeats.claim(question):
            return repeating.told(answer, again=True)
        response = self.tried(act, request, *args, **kwargs)
        answer = repeating.kept(response)
        repeats.settle(question, answer)
        return repeating.told(answer, again=False) if answer else response

    def tried(self, act: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The answer of an operation; where it refuses, its effects alone are rolled back."""
        try:
            with transaction.atomic():
                return act(request, *args, **kwargs)
        except Exception as problem:
            return self.handle_exception(problem)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        links.link_next(request, response)
        return super().finalize_response(request, response, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """DRF's; whoever watches hears of it first, while the tenant is bound."""
        trespass.tell(self, exc)
        return super().handle_exception(exc)

    def who(self) -> str:
        """For the OpenAPI schema: who may do this."""
        return who_may(operation_of(self))

    def refusals(self, method: str) -> tuple[type[DomainError], ...]:
        """For the OpenAPI schema: the ways in which this door refuses a caller, whatever the question."""
        of_keys = (KeyReused, KeyInUse) if repeating.is_open_to(operation_of(self), method) else ()
        return (*refusals_of(operation_of(self)), *of_keys)

    def headers_of(self, method: str) -> list[OpenApiParameter]:
        """For the OpenAPI schema: the headers that this door reads or writes, whatever the question."""
        return repeating.HEADERS if repeating.is_open_to(operation_of(self), method) else []

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

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with eventlog.caused_by(None, current_request_id()):
            response = cast(HttpResponse, super(TenantDoor, self).dispatch(request, *args, **kwargs))
        limits.tell(response, self.standings)
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        with isolation.transaction_without_tenant():
            super().initial(request, *args, **kwargs)

    def once(self, question: Question, act: Act, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """As TenantDoor's, but the claim stands while the room is at work: a copy that comes meanwhile is a 409 and does not wait.

        The rooms behind these doors may be asked again: where a process dies between the effect and the answer, the copy that takes
        the key over does once more what changes nothing more.
        """
        tenant_id = self.caller.tenant_id
        with isolation.act_as(tenant_id):
            answer = repeats.claim(question, repeats.HELD)
        if answer:
            return repeating.told(answer, again=True)
        try:
            response = self.tried(act, request, *args, **kwargs)
            answer = repeating.kept(response)
        finally:
            with isolation.act_as(tenant_id):
                repeats.settle(question, answer)
        return repeating.told(answer, again=False) if answer else response

    def tried(self, act: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The answer of an operation, which commits what it does by itself."""
        try:
            return act(request, *args, **kwargs)
        except Exception as problem:
            return self.handle_exception(problem)
