"""What every answer says to browsers: what its page may load, who may frame it, and that nobody keeps a copy.

An answer of the API is no page: it may load nothing. The console and the documentation may load what is ours. SecurityMiddleware
adds HSTS, nosniff, the referrer's and the opener's policy. /health/live, where granian answers it without us
(convalloc.pulse), has none of these: a constant of ours, which nobody renders, frames or may not keep.
Sources: W3C, Content Security Policy Level 3; OWASP's HTTP Headers cheat sheet.
"""

from collections.abc import Callable
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from convalloc.api.answers import CONSOLE

Policy = dict[str, list[str]]

NOTHING: Policy = {"default-src": [NONE], "base-uri": [NONE], "form-action": [NONE], "frame-ancestors": [NONE]}
OF_DOCS: Policy = NOTHING | {
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],  # Swagger UI's style sheet holds its arrows
    "connect-src": [SELF],  # "Try it out", and the schema
}
OF_CONSOLE: Policy = NOTHING | {
    # django-unfold's Alpine turns attributes of its own templates into functions. No inline script is allowed, so that text
    # of a tenant's that would become one does nothing; and Django's templates let none become an attribute.
    "script-src": [SELF, UNSAFE_EVAL],
    # Its theme stands in a <style> without a nonce, widths and colours in style attributes, which no nonce can allow.
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],  # icons within style sheets
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
}
DOCS = "/api/v1/docs"
# Of what a browser can do beside showing a page, none is asked for.
PERMISSIONS = ", ".join(
    f"{name}=()" for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "publickey-credentials-get", "usb")
)


class ContentSecurity(CSPMiddleware):
    """Content-Security-Policy, by the kind of page."""

    def get_policy_parts(self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False) -> PolicyParts:
        return PolicyParts(config=None if report_only else policy_of(request.path_info))


def policy_of(path: str) -> Policy:
    """What an answer at this path may load."""
    return OF_CONSOLE if path.startswith(CONSOLE) else OF_DOCS if path.startswith(DOCS) else NOTHING


class NobodyElse:
    """Middleware: no cache keeps an answer that does not say it may, no other site embeds it, no page gets a camera or the like."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: Any = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response["Permissions-Policy"] = PERMISSIONS
        response["Cross-Origin-Resource-Policy"] = "same-origin"  # a CORS request is no embedding: ALLOWED_ORIGINS goes on
        return response  # type: ignore[no-any-return]
