"""Every request has an id (X-Request-Id where it is well formed, else made up; answered back), a trace, and an address."""

import ipaddress
import logging
import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from convalloc import security, tracing
from convalloc.tracing import current_request_id as current_request_id

WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
WITH_PORT = re.compile(r"^(?:\[(.*)\]|([0-9.]+))(?::[0-9]{1,5})?$")  # some proxies name it: RFC 7239, section 6
PREFIX_V6 = 64  # a household has all of it


def address_of(request: HttpRequest) -> str:
    """Whom a question came from: the address that the outermost of our proxies saw, an IPv6 one without its last half.

    TRUSTED_PROXIES of them append to X-Forwarded-For; what stands further left, anybody may have written.
    """
    told = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    offered = told[-settings.TRUSTED_PROXIES] if 0 < settings.TRUSTED_PROXIES <= len(told) else request.META.get("REMOTE_ADDR", "")
    try:
        address = ipaddress.ip_address(WITH_PORT.sub(r"\1\2", offered))
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, PREFIX_V6), strict=False).network_address)
    return str(address)


class RequestIdentity:
    """Middleware: names the request for the log, the event log and the caller, and for whoever watches where it came from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-Id", "")
        request_id = offered if WELL_FORMED.fullmatch(offered) else uuid.uuid4().hex
        trace = [request.headers.get(name, "") for name in (tracing.PARENT, tracing.STATE)]
        address = security.asked_from.set(address_of(request))
        try:
            with tracing.within(request_id, *trace):
                response = self.get_response(request)
        finally:
            security.asked_from.reset(address)
        response["X-Request-Id"] = request_id
        return response


class RequestIdFilter(logging.Filter):
    """Puts the ids of the request and of its trace on every line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id() or "-"
        record.trace_id = tracing.current_trace_id() or "-"
        return True
