"""Whose data is it: binds one tenant to the ORM's scope and to the Postgres setting that row level security reads.

Every door enters here. Without a tenant the ORM raises `NoTenant` and Postgres shows no row.
The setting is always SET LOCAL: it ends with its transaction, so that a pooled connection carries nothing over.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import InterfaceError, OperationalError, connection, transaction

from convalloc.errors import OutcomeUnknown

_tenant_id: ContextVar[int | None] = ContextVar("tenant_id", default=None)


class NoTenant(RuntimeError):
    """A query on a tenant's table was built before anybody said for which tenant: a bug, never a caller's fault."""


def current_tenant_id() -> int:
    """The bound tenant's id. Raises NoTenant outside every scope."""
    tenant_id = _tenant_id.get()
    if tenant_id is None:
        raise NoTenant("No tenant is bound. Enter one with isolation.act_as(tenant_id) before you query a tenant's table.")
    return tenant_id


@contextmanager
def transaction_without_tenant() -> Iterator[None]:
    """One transaction in which nothing of any tenant is visible until `enter` is called: a request's outermost room.

    Raises OutcomeUnknown when the session is lost at its COMMIT. Lost before that, everything was rolled back.
    """
    nested = connection.in_atomic_block
    before = _tenant_id.get()
    token = _tenant_id.set(None)
    keeping = False
    try:
        with transaction.atomic():
            if nested:  # raw SQL too sees nothing of the outer tenant
                _tell_postgres(None)
            yield
            # A savepoint's end keeps SET LOCAL; its rollback, and a transaction's end, do not.
            if nested and not transaction.get_rollback():
                _tell_postgres(before)
            keeping = not nested and not transaction.get_rollback()
    except (OperationalError, InterfaceError) as problem:
        if keeping and was_cut_off(problem):
            raise OutcomeUnknown from problem
        raise
    finally:
        _tenant_id.reset(token)


def enter(tenant_id: int) -> None:
    """From here to the end of the open transaction, act as this tenant. Raises RuntimeError outside a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("SET LOCAL needs an open transaction: use act_as, or enter transaction_without_tenant first.")
    _tell_postgres(tenant_id)
    _tenant_id.set(tenant_id)


@contextmanager
def act_as(tenant_id: int) -> Iterator[None]:
    """One transaction as one tenant. What was bound outside is bound again afterwards, whatever happened inside."""
    with transaction_without_tenant():
        enter(tenant_id)
        yield


def was_cut_off(problem: OperationalError | InterfaceError) -> bool:
    """Whether the session ended, rather than the server answering that it would not commit (a deadlock, a timeout)."""
    sqlstate = getattr(problem.__cause__, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith(("08", "57P0"))


def _tell_postgres(tenant_id: int | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL app.tenant_id = %s", ["" if tenant_id is None else str(int(tenant_id))])
