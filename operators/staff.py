"""Who works here: people are hired, their accounts change or are closed. Nobody is deleted: their work is history.

What becomes of the work of somebody whose account is closed is decided a floor above (conversations.grace.dismiss).
"""

from typing import Any

from operators import presence
from operators.errors import OwnRights
from operators.models import Operator, Role
from tenants import eventlog

ACCOUNT = ("email", "name", "role", "is_active")  # how much they may hold is the affair of operators.desk


def hire(email: str, *, password: str | None = None, name: str = "", role: str = Role.OPERATOR) -> Operator:
    """A new account of the bound tenant, offline at first; without a password it cannot sign in.

    The database refuses a taken address (EmailTaken), with one answer whoever holds it, a colleague or another tenant.
    """
    operator: Operator = Operator.objects.create_user(email, password, name=name, role=role)
    eventlog.append("operator.created", operator, after={name: getattr(operator, name) for name in ACCOUNT})
    return operator


def change(operator_id: int, *, by: Operator, **wished: Any) -> Operator:
    """Another email, name or role, or an account closed or opened again. Under the operator's lock.

    Repeating what is changes nothing. Raises Missing, and OwnRights: nobody locks themselves out; a taken address as `hire`.
    """
    operator = _locked(operator_id)
    wished = {name: value.lower() if name == "email" else value for name, value in wished.items()}
    before = {name: getattr(operator, name) for name in ACCOUNT if getattr(operator, name) != wished.get(name, getattr(operator, name))}
    if not before:
        return operator
    if by.pk == operator_id and before.keys() & {"role", "is_active"}:
        raise OwnRights

    for name in before:
        setattr(operator, name, wished[name])
    operator.save(update_fields=list(before))
    eventlog.append("operator.changed", operator, before=before, after={name: wished[name] for name in before})
    return operator


def set_password(operator_id: int, password: str) -> Operator:
    """Another password; it ends the account's sessions. The event tells that it happened, and nothing more. Raises Missing."""
    operator = _locked(operator_id)
    operator.set_password(password)
    operator.save(update_fields=["password"])
    eventlog.append("operator.password_changed", operator)
    return operator


def _locked(operator_id: int) -> Operator:
    """The account under the operator's lock."""
    operator: Operator = presence.lock(operator_id).operator
    return operator
