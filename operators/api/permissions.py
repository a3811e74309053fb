"""The role matrix, as data: which role may do what, and for whom. The tests walk the same table.

A route without a row is refused (and fails a test). OWN means: for themselves; whose it is, is known only after the
row was found, so that another tenant's id stays a 404: the doors then call `refuse_for_others`.
"""

from enum import Enum
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from convalloc.errors import DomainError
from convalloc.limits import RateLimited
from operators.errors import (
    OthersWork,
    PlatformAccount,
    RoleTooLow,
    ScopeMissing,
    SignatureInvalid,
    SignatureReplayed,
    TokenExpired,
    UnknownCaller,
)
from operators.models import Operator, Role


class Reach(Enum):
    """How far a role's right to an operation goes."""

    NOBODY = "nobody"
    OWN = "own"
    TENANT = "tenant"


ALL = {Role.OPERATOR: Reach.TENANT, Role.MANAGER: Reach.TENANT, Role.ADMIN: Reach.TENANT}
SELF = {Role.OPERATOR: Reach.OWN, Role.MANAGER: Reach.TENANT, Role.ADMIN: Reach.TENANT}
MANAGERS = {Role.OPERATOR: Reach.NOBODY, Role.MANAGER: Reach.TENANT, Role.ADMIN: Reach.TENANT}
HOLDER = dict.fromkeys(Role, Reach.OWN)
ADMINS = {Role.OPERATOR: Reach.NOBODY, Role.MANAGER: Reach.NOBODY, Role.ADMIN: Reach.TENANT}

MATRIX: dict[str, dict[Role, Reach]] = {
    "conversation-list": ALL,  # operators: their inboxes and what they hold
    "conversation-retrieve": ALL,
    "conversation-priority": ALL,
    "conversation-timeline": ALL,
    "conversation-search": ALL,
    "conversation-allocate": SELF,
    "conversation-claim": SELF,
    "conversation-manager-allocate": MANAGERS,
    "conversation-resolve": SELF,  # own: what they hold
    "conversation-deallocate": MANAGERS,
    "conversation-release": HOLDER,
    "conversation-reassign": MANAGERS,
    "conversation-move-inbox": MANAGERS,
    "recalculation-update-priorities": ADMINS,
    "contact-erase": ADMINS,
    "ingest-messages": ADMINS,  # a program's work: an API key that acts as an admin, and has this scope alone
    "me-retrieve": ALL,
    "api-key-list": ADMINS,
    "api-key-create": ADMINS,
    "api-key-destroy": ADMINS,
    "session-running": SELF,
    "session-end": SELF,
    "session-end-all": SELF,
    "signing-secret-list": ADMINS,
    "signing-secret-create": ADMINS,
    "signing-secret-destroy": ADMINS,
    "signature-check": ALL,
    "webhook-list": MANAGERS,
    "webhook-retrieve": MANAGERS,
    "webhook-deliveries": MANAGERS,
    "webhook-create": ADMINS,
    "webhook-partial-update": ADMINS,
    "webhook-destroy": ADMINS,
    "webhook-secret": ADMINS,
    "webhook-test": ADMINS,
    "webhook-retry": ADMINS,
    "webhook-replay": ADMINS,
    "tenant-retrieve": ALL,
    "tenant-change": ADMINS,
    "operator-list": MANAGERS,
    "operator-status": SELF,
    "operator-change-status": SELF,
    "operator-stats": SELF,
    "operator-inboxes": SELF,
    "grace-period-list": MANAGERS,
    "grace-period-extend": MANAGERS,
    "grace-period-expire-now": MANAGERS,
    "operator-capacity": SELF,
    "operator-change-capacity": MANAGERS,
    "presence-timesheet": SELF,
    "presence-heartbeat": HOLDER,  # nobody is alive in somebody else's place
    "inbox-list": ALL,
    "label-list": ALL,
    "label-create": ALL,
    "label-update": SELF,  # own: what they created
    "label-destroy": SELF,
    "label-attach": ALL,
    "label-detach": ALL,
    "event-list": ALL,  # operators: what happens at their inboxes, to what they hold, and to themselves
}

# The scopes of API keys: a noun, to read or to write. None of these: for any key (me), or for none (what makes keys and secrets).
READS = {"list", "retrieve", "search", "priority", "status", "stats", "inboxes", "capacity", "timesheet", "timeline", "deliveries"}
NOUNS = {
    "conversation": "conversations",
    "recalculation": "conversations",
    "grace-period": "conversations",
    "contact": "contacts",
    "ingest": "messages",
    "label": "labels",
    "inbox": "inboxes",
    "operator": "operators",
    "presence": "operators",
    "tenant": "settings",
    "event": "events",
    "webhook": "webhooks",
}
FOR_ANY_KEY = {"me-retrieve", "signature-check"}
# To repeat these is harmless whatever came of them: an Idempotency-Key on one is not looked at.
CHANGES_NOTHING = {"conversation-search", "signature-check"}


def scope_of(operation: str) -> str | None:
    """What an API key must have for this; None: no scope opens it."""
    noun = next((noun for noun in NOUNS if operation.startswith(f"{noun}-")), None)
    if noun is None:
        return None
    return f"{NOUNS[noun]}:{'read' if operation.removeprefix(f'{noun}-') in READS else 'write'}"


SCOPES = sorted({scope for operation in MATRIX if (scope := scope_of(operation))})


def reach(operation: str, role: str) -> Reach:
    """How far this role may go with this operation; NOBODY for an operation without a row."""
    return MATRIX.get(operation, {}).get(Role(role), Reach.NOBODY)


def operation_of(view: Any) -> str:
    """The matrix's name of the operation that a view is about to do: basename-action."""
    return f"{view.basename}-{view.action}".replace("_", "-")


def lowest_role(operation: str) -> str:
    """The lowest role that may do this at all, for the refusal's message."""
    return next((role.value for role in Role if reach(operation, role) is not Reach.NOBODY), "none")


def who_may(operation: str) -> str:
    """One sentence for people: which roles may do this, and for whom."""
    words = {Reach.OWN: "{} for themselves", Reach.TENANT: "{}"}
    able = [words[reach(operation, role)].format(role.value) for role in Role if reach(operation, role) in words]
    return f"Roles: {', '.join(able)}."


def refusals_of(operation: str) -> tuple[type[DomainError], ...]:
    """The refusals that follow from a row of the matrix."""
    reaches = {reach(operation, role) for role in Role}
    low = (RoleTooLow,) if Reach.NOBODY in reaches else ()
    others = (OthersWork,) if Reach.OWN in reaches else ()
    nobody = (UnknownCaller, TokenExpired, SignatureInvalid, SignatureReplayed)
    return (*nobody, PlatformAccount, ScopeMissing, *low, *others, RateLimited)


def refuse_for_others(view: Any, owner_id: int | None) -> None:
    """Where the caller's reach is OWN, the thing must be theirs. Raises OthersWork (403)."""
    caller: Operator = view.caller
    if reach(operation_of(view), caller.role) is Reach.OWN and owner_id != caller.pk:
        raise OthersWork


class RoleMatrix(BasePermission):
    """Lets a caller in whose role has a row for the operation. Raises RoleTooLow (403)."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if view.action in (None, "metadata"):
            return True  # no such method here: DRF answers 405 right after
        operation = operation_of(view)
        if reach(operation, view.caller.role) is Reach.NOBODY:
            raise RoleTooLow(needed=lowest_role(operation))
        scopes = view.credential.scopes
        if scopes is not None and operation not in FOR_ANY_KEY and scope_of(operation) not in scopes:
            raise ScopeMissing(scope=scope_of(operation) or "of a person who is signed in")
        return True
