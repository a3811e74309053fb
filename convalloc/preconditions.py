"""What a caller has seen, and wants to change only as long as it is still so. Source: RFC 9110, 13.1.1 (If-Match).

The door tells which versions the caller named; the room that is about to change the row asks, under the row's lock and after
everything that it refuses anyway. Who says nothing, and whoever acts without a request, changes what there is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from convalloc.errors import DomainError, Kind

# Versions, one of which must be the row's; None: any will do.
_seen: ContextVar[frozenset[int] | None] = ContextVar("seen_versions", default=None)


class Changed(DomainError):
    """It has changed since you saw it: look again, and decide anew"""

    kind = Kind.STALE
    code = "version_mismatch"


@contextmanager
def of_one_request() -> Iterator[None]:
    """What the caller has seen is asked for in here, and forgotten at the end."""
    token = _seen.set(None)
    try:
        yield
    finally:
        _seen.reset(token)


def have_seen(versions: frozenset[int]) -> None:
    """From here to the end of the request, change a row only if it has one of these versions."""
    _seen.set(versions)


def refuse_changed(version: int) -> None:
    """Refuse to change a row of this version for a caller who saw another. Under its lock. Raises Changed."""
    seen = _seen.get()
    if seen is not None and version not in seen:
        raise Changed
