"""The product's WSGI application, which answers before it has heard a client out: for a control."""

from convalloc.api.hearing import HeardOut
from convalloc.wsgi import application as application

HeardOut.__call__ = lambda self, request: self.get_response(request)  # type: ignore[method-assign]
