"""In production the API is asked over TLS. Without it the API refuses, where a page sends the browser on.

A redirect would hide from whoever writes a client that it sends its password or its key for all to read.
Source: OWASP ASVS 5.0, 4.1.2.
"""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from convalloc.api import answers
from convalloc.errors import Forbidden

FOR_PROGRAMS = re.compile(r"/api/v1/(?!docs|health)|/\.well-known/")  # people read the documentation, probes come from inside


class TlsRequired(Forbidden):
    """Use https: this came unencrypted, and what it held may have been read on its way"""

    code = "https_required"


class OverTls:
    """Middleware: what programs ask without TLS is a 403."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and FOR_PROGRAMS.match(request.path_info):
            return answers.refuse(request, TlsRequired())
        return self.get_response(request)
