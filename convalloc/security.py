"""Security events: a line each in the log, for whoever watches, with ids and whence they came, and never with a secret.

Names as in OWASP's Logging Vocabulary where it has one: authn_, authz_ and so on.
"""

import logging
from contextvars import ContextVar
from typing import Any

log = logging.getLogger("convalloc.security")

asked_from: ContextVar[str | None] = ContextVar("asked_from", default=None)  # the address of the request that is answered


def tell(event: str, **facts: Any) -> None:
    """`event` and its facts, as `name key=value …`; None is left out. The request's id is on every line anyway."""
    facts["address"] = asked_from.get()
    log.warning("%s %s", event, " ".join(f"{name}={value}" for name, value in facts.items() if value is not None))
