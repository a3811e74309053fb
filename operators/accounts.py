"""Accounts of any tenant, found by narrow functions of the database before a tenant is known; nothing stays bound."""

from django.db import connection

from convalloc import security
from operators.errors import WrongPassword
from operators.models import Operator
from tenants import isolation


def find(operator_id: int) -> Operator | None:
    """An account, with its tenant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_of_operator(%s)", [operator_id])
        (tenant_id,) = cursor.fetchone()
    if tenant_id is None:
        return None
    with isolation.act_as(tenant_id):
        operator: Operator | None = Operator.objects.select_related("tenant").filter(pk=operator_id).first()
    return operator


def find_by_email(email: str) -> Operator | None:
    """The account of an address, however it is written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT operator_of_email(%s)", [email.strip().lower().replace("\0", "")])
        (operator_id,) = cursor.fetchone()
    return find(operator_id) if operator_id is not None else None


def prove(email: str, password: str) -> Operator | None:
    """The account whose password this is, be it closed or without rights; None takes as long for an unknown address, and is noted."""
    operator = find_by_email(email)
    if operator is None:
        Operator().set_password(password)  # as much work as for an account that exists: the clock tells nothing
        security.tell("authn_login_fail")
        return None
    with isolation.act_as(operator.tenant_id):  # an outdated hash is renewed
        if operator.check_password(password):
            return operator
    security.tell("authn_login_fail", operator_id=operator.pk)
    return None


def confirm(operator: Operator, password: str) -> None:
    """Whoever is signed in shows the password once more, before a step that an unattended browser must not take. Raises WrongPassword."""
    if not operator.check_password(password):
        security.tell("authn_login_fail", operator_id=operator.pk, door="own_account")
        raise WrongPassword
