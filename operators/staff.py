"""Who works here: people are hired, their accounts change or are closed. Nobody is deleted: their work is history.

What becomes of the work of somebody whose account is closed is decided a floor above (conversations.grace.dismiss).
"""

from typing import TypedDict, Unpack

from operators import presence, sessions
from operators.errors import OwnRights
from operators.models import Operator, Role, Session
from tenants import eventlog


class Account(TypedDict, total=False):
    """What can be said of an account; how much they may hold is the affair of operators.desk."""

    email: str
    name: str
    role: str
    is_active: bool


EndReason = Session.EndReason
ACCOUNT = tuple(Account.__annotations__)


def hire(email: str, *, password: str | None = None, name: str = "", role: str = Role.OPERATOR) -> Operator:
    """A new account of the bound tenant, offline at first; without a password it cannot sign in.

    The database refuses a taken address (EmailTaken), with one answer whoever holds it, a colleague or another tenant.
    """
    operator: Operator = Operator.objects.create_user(email, password, name=name, role=role)
    eventlog.append("operator.created", operator, after={name: getattr(operator, name) for name in ACCOUNT})
    return operator


def change(operator_id: int, *, by: Operator, **wished: Unpack[Account]) -> Operator:
    """Another email, name or role, or an account closed or opened again. Under the operator's lock.

    Repeating what is changes nothing. Raises Missing, and OwnRights: nobody locks themselves out; a taken address as `hire`.
    """
    operator = _locked(operator_id)
    if "email" in wished:
        wished["email"] = wished["email"].lower()
    after = {name: value for name, value in wished.items() if getattr(operator, name) != value}
    if not after:
        return operator
    if by.pk == operator_id and after.keys() & {"role", "is_active"}:
        raise OwnRights

    before = {name: getattr(operator, name) for name in after}
    for name, value in after.items():
        setattr(operator, name, value)
    operator.save(update_fields=list(after))
    if not operator.is_active:
        sessions.end_all(operator_id, EndReason.ACCOUNT_CLOSED)
    eventlog.append("operator.changed", operator, before=before, after=after)
    return operator


def set_password(operator_id: int, password: str) -> Operator:
    """Another password; it ends the account's sessions. The event tells that it happened, and nothing more. Raises Missing."""
    operator = _locked(operator_id)
    operator.set_password(password)
    operator.save(update_fields=["password"])
    sessions.end_all(operator_id, EndReason.PASSWORD_CHANGED)
    eventlog.append("operator.password_changed", operator)
    return operator


def _locked(operator_id: int) -> Operator:
    """The account under the operator's lock."""
    operator: Operator = presence.lock(operator_id).operator
    return operator
