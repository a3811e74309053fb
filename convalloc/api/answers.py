"""How a refusal becomes an HTTP answer: the one table from kinds to statuses, for every door of the API."""

import logging
import sys
from typing import Any

from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from rest_framework import exceptions
from rest_framework.response import Response

from convalloc import limits
from convalloc.api.envelope import EnvelopeRenderer, error
from convalloc.api.requests import current_request_id
from convalloc.errors import REFUSAL_OF_CONSTRAINT, DomainError, Kind, OutcomeUnknown
from convalloc.limits import RateLimited

log = logging.getLogger(__name__)

STATUS = {
    Kind.INVALID: 400,
    Kind.UNKNOWN_CALLER: 401,
    Kind.FORBIDDEN: 403,
    Kind.MISSING: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.STALE: 412,
    Kind.OTHERWISE: 422,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.UNKNOWN_OUTCOME: 503,
}
CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
# SQLSTATEs, or what they begin with, under which PostgreSQL did nothing, though nothing is wrong with the question: ask again.
# Source: PostgreSQL's documentation, appendix A.
PASSING_FAULTS = (
    "08",  # the connection was lost, or a pooler had none to give
    "53",  # no more connections, memory, disk
    "57P",  # the server starts, stops or has crashed; the administrator ended the session
    "58",  # the server's own files fail it
    "25006",  # it may only be read: a standby, until it takes over
    "25P03",  # the session idled for too long in its transaction: a process was stopped
    "25P04",  # the transaction took too long
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock timeout
    "57014",  # statement timeout
)
RETRY_AFTER_SECONDS = 1
CHALLENGE = 'Bearer realm="convalloc"'  # RFC 6750
SAFE = {"GET", "HEAD", "OPTIONS"}

CONSOLE = "/admin/"
# No template: those of the console ask the database who is signed in.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{0}</title>
<h1>{0}</h1>
<p><a href="{1}">Back to the console</a></p>
<p>Request {2}</p>
</html>
"""


def explain(problem: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None leaves it to DatabaseAway; what that does not know either is a bug: 500, logged."""
    if isinstance(problem, IntegrityError):
        problem = translate(problem) or problem
    if isinstance(problem, DomainError):
        return _refusal(problem)
    if isinstance(problem, exceptions.ValidationError):
        return error("Validation failed", "validation_failed", status=400, fields=dict(_flatten(problem.get_full_details())))
    if isinstance(problem, Http404):
        return error("Not found", "not_found", status=404)
    if isinstance(problem, PermissionDenied):
        return error("You do not have permission to do this", "forbidden", status=403)
    if isinstance(problem, exceptions.APIException):
        return _framework_refusal(problem)
    return None


def translate(problem: IntegrityError) -> DomainError | None:
    """The refusal that a violated constraint stands for; None for a constraint that only a bug can violate."""
    name = getattr(getattr(problem.__cause__, "diag", None), "constraint_name", None)
    refusal = REFUSAL_OF_CONSTRAINT.get(name or "")
    return refusal() if refusal else None


def is_passing(problem: DatabaseError | InterfaceError) -> bool:
    """Whether the database is away or busy, rather than asked something wrong."""
    sqlstate = getattr(problem.__cause__, "sqlstate", None)
    if sqlstate is None:  # psycopg's own word: no session, or none any more
        return isinstance(problem, OperationalError | InterfaceError)
    return bool(sqlstate.startswith(PASSING_FAULTS))  # whatever its class: a session that was ended for idling is an InternalError


def unavailable() -> Response:
    """503: not now, ask again soon. Nothing was changed."""
    response = error("The service is busy or its database is away: try again", "unavailable", status=503)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _refusal(problem: DomainError) -> Response:
    response = error(problem.message, problem.code, status=STATUS[problem.kind], fields=problem.fields, details=problem.details)
    if problem.kind is Kind.UNKNOWN_CALLER:
        response["WWW-Authenticate"] = CHALLENGE
    if problem.kind is Kind.UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(problem, RateLimited):
        response["Retry-After"] = str(problem.details["retry_after_seconds"])
        limits.tell(response, problem.standings)
    return response


def _framework_refusal(problem: exceptions.APIException) -> Response:
    code = "malformed_json" if isinstance(problem, exceptions.ParseError) else CODES.get(problem.status_code, "error")
    response = error(str(problem.detail), code, status=problem.status_code)
    if header := getattr(problem, "auth_header", None):
        response["WWW-Authenticate"] = header
    return response


def _flatten(details: Any, path: str = "") -> list[tuple[str, str]]:
    """DRF's nested details as (field, message); what a field does not take is worded by convalloc.api.fields."""
    if isinstance(details, dict) and "message" in details and "code" in details and isinstance(details["message"], str):
        return [(path or "body", str(details["message"]))]
    found: list[tuple[str, str]] = []
    items = details.items() if isinstance(details, dict) else ((None, item) for item in details)
    for key, value in items:
        name = path if key in (None, "non_field_errors") else f"{path}.{key}" if path else str(key)
        found += [pair for pair in _flatten(value, name) if pair[0] not in dict(found)]
    return found


def _outside_views(request: HttpRequest, answer: Response) -> HttpResponse:
    """An answer given outside DRF's views, by the URL resolver or a middleware: JSON, but to people in the console a page."""
    if request.path_info.startswith(CONSOLE):
        page: str | bytes = format_html(PAGE, answer.data["message"], CONSOLE, current_request_id())
        answer["Content-Type"] = "text/html; charset=utf-8"
    else:
        page = EnvelopeRenderer().render(answer.data)
        answer["Content-Type"] = EnvelopeRenderer.media_type
    return HttpResponse(page, status=answer.status_code, headers=dict(answer.items()))


def refuse(request: HttpRequest, problem: DomainError) -> HttpResponse:
    """A refusal given outside DRF's views."""
    return _outside_views(request, _refusal(problem))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400: a malformed request that never reached a view; or a session that was not saved, also where the database was away."""
    if isinstance(exception, SessionInterrupted) and exception.__context__:
        away = _away(request, exception.__context__.__context__)  # what Django's UpdateError was raised for
        if away is not None:
            return away
    message = "The request is too large or malformed" if isinstance(exception, SuspiciousOperation) else "Bad request"
    return _outside_views(request, error(message, "bad_request", status=400))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 403."""
    return _outside_views(request, error("You do not have permission to do this", "forbidden", status=403))


def no_such_route(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404: no route has this path."""
    return _outside_views(request, error(f"Cannot {request.method} {request.path}", "not_found", status=404))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500: a bug of ours, which rolled back and is in the log; or a database that was away before any view began."""
    problem = sys.exc_info()[1]  # Django calls this while it handles the exception, and does not pass it
    return _away(request, problem) or _outside_views(request, error("Internal server error", "internal_error", status=500))


def _away(request: HttpRequest, problem: BaseException | None) -> HttpResponse | None:
    """503 for a database that is away or busy. Retry-After only where nothing can have been done: a client may obey it blindly."""
    if isinstance(problem, OutcomeUnknown) and request.method not in SAFE:
        return refuse(request, problem)
    if isinstance(problem, OutcomeUnknown) or (isinstance(problem, DatabaseError | InterfaceError) and is_passing(problem)):
        return _outside_views(request, unavailable())
    return None


class DatabaseAway:
    """Middleware: a database that is away or busy in a view is a 503; beside a view, `server_error` tells it."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, problem: Exception) -> HttpResponse | None:
        answer = _away(request, problem)
        if answer is not None:
            log.warning("database away or busy: %s", problem.__cause__ or problem)
        return answer
