"""Who works here: people are hired, their accounts change or are closed. Nobody is deleted: their work is history.

What becomes of the work of somebody whose account is closed is decided a floor above (conversations.grace.dismiss).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction

from operators import presence
from operators.errors import EmailTaken, OwnRights
from operators.models import Operator
from tenants import eventlog

ACCOUNT = ("email", "name", "role", "is_active")


def hire(email: str, *, password: str | None = None, **fields: Any) -> Operator:
    """A new account of the bound tenant, offline at first; without a password it cannot sign in. Raises EmailTaken."""
    with _email_at_stake():
        operator: Operator = Operator.objects.create_user(email, password, **fields)
    eventlog.append("operator.created", operator, after={name: getattr(operator, name) for name in ACCOUNT})
    return operator


def change(operator_id: int, *, by: Operator, **wished: Any) -> Operator:
    """Another email, name or role, or an account closed or opened again. Under the operator's lock.

    Repeating what is changes nothing. Raises Missing, EmailTaken, and OwnRights: nobody locks themselves out.
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
    with _email_at_stake():
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
    """The account under the operator's lock. Read after it: the row that a lock's own statement joins may be an older one."""
    presence.lock(operator_id)
    return presence.find(operator_id)


@contextmanager
def _email_at_stake() -> Iterator[None]:
    """One answer whoever holds the address, a colleague or another tenant."""
    try:
        with transaction.atomic():  # a savepoint: after a refusal the transaction goes on
            yield
    except IntegrityError as error:
        if "operators_email_key" in str(error):
            raise EmailTaken from error
        raise
