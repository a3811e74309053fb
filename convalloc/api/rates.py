"""Limits of the API and the console: by address before anybody is asked for a name, and by caller and organisation once they are known.

Valkey away: whoever is signed in goes on uncounted. Signing in itself is closed then (operators.sign_in_guard).
"""

import re
from collections.abc import Callable, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from convalloc import limits, security
from convalloc.api import answers
from convalloc.api.requests import address_of
from convalloc.limits import Limit, RateLimited, Standing

MINUTE = 60
OPEN = re.compile(r"/api/v1/health(/live|/ready)?/?")  # probes are not counted


def of_caller(operator_id: int, tenant_id: int, api_key_id: int | None) -> list[Limit]:
    """What counts for a caller: their own limit, a program's apart from its operator's, and their organisation's."""
    who = f"key:{api_key_id}" if api_key_id else f"operator:{operator_id}"
    wanted = [
        Limit("caller", f"rate:{who}", settings.RATE_LIMIT_CALLER, MINUTE),
        Limit("tenant", f"rate:tenant:{tenant_id}", settings.RATE_LIMIT_TENANT, MINUTE),
    ]
    return [limit for limit in wanted if limit.quota]


def count(wanted: Sequence[Limit]) -> list[Standing]:
    """One question; without Valkey nobody is counted. Raises RateLimited."""
    try:
        return limits.take(wanted)
    except limits.Away:
        return []


class PerAddress:
    """Middleware: who asks too often from one address hears 429 before anything else is looked at."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        quota = settings.RATE_LIMIT_ADDRESS
        if not quota or OPEN.fullmatch(request.path_info):
            return self.get_response(request)
        address = address_of(request)
        try:
            count([Limit("address", f"rate:address:{address}", quota, MINUTE)])
        except RateLimited as refusal:
            security.tell("rate_limit_exceeded", limit="address")
            return answers.refuse(request, refusal)
        return self.get_response(request)
