"""What a room says when it refuses: one base class, one kind per family, one class per refusal.

No HTTP here. `convalloc.api.answers` turns a kind into a status.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any


class Kind(Enum):
    """Families of refusals. A caller can tell from the kind whether asking again makes sense."""

    INVALID = "invalid"  # the question is malformed: never ask it again
    UNKNOWN_CALLER = "unknown_caller"  # we do not know who asks
    FORBIDDEN = "forbidden"  # we know who asks, and they may not
    MISSING = "missing"  # no such thing, or another tenant's: the answers are the same
    CONFLICT = "conflict"  # the world is in another state than the question assumes
    STALE = "stale"  # the caller decided on what is so no more
    OTHERWISE = "otherwise"  # what stands for one question already was sent with another
    GONE = "gone"  # it was there, and never comes back
    LIMITED = "limited"  # too often; ask again later
    UNAVAILABLE = "unavailable"  # not now; ask again soon
    UNKNOWN_OUTCOME = "unknown_outcome"  # done or not, nobody knows: look before you ask again


class DomainError(Exception):
    """A refusal. A subclass's docstring is its message; it may name its details in braces.

    `code` is a stable machine word, `fields` maps a field of the question to what is wrong with it,
    `details` are further facts for the caller, such as who holds a conversation.
    """

    kind = Kind.CONFLICT
    code = "conflict"

    def __init__(self, *, fields: Mapping[str, str] | None = None, **details: Any) -> None:
        self.fields = dict(fields or {})
        self.details = details
        self.message = (type(self).__doc__ or "").strip().splitlines()[0].format(**details)
        super().__init__(self.message)


class Missing(DomainError):
    """{what} not found"""

    kind = Kind.MISSING
    code = "not_found"

    def __init__(self, *, what: str, sought: Iterable[int] = ()) -> None:
        super().__init__(what=what)
        self.what = what
        self.sought = tuple(sought)  # ids, for whoever watches: no caller learns more than that one of them is not there


class Forbidden(DomainError):
    """You do not have permission to do this"""

    kind = Kind.FORBIDDEN
    code = "forbidden"


class Invalid(DomainError):
    """Validation failed"""

    kind = Kind.INVALID
    code = "validation_failed"


class OutcomeUnknown(DomainError):
    """The database went away while it was told to keep this: it may be done, or not. Look before you try again"""

    kind = Kind.UNKNOWN_OUTCOME
    code = "outcome_unknown"


# A constraint of the database that a caller can run into, and what it means. Each app's errors.py adds its own.
REFUSAL_OF_CONSTRAINT: dict[str, type[DomainError]] = {}


def violates(constraint: str) -> Callable[[type[DomainError]], type[DomainError]]:
    """Class decorator: this refusal is what a violation of the named constraint means."""

    def register(refusal: type[DomainError]) -> type[DomainError]:
        REFUSAL_OF_CONSTRAINT[constraint] = refusal
        return refusal

    return register
