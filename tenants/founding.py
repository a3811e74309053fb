"""A new tenant: its id comes first, because the wall lets a tenant's row in only under its own id."""

from typing import Any

from django.db import connection

from tenants import eventlog, isolation
from tenants.models import Tenant


def found(name: str, **settings: Any) -> Tenant:
    """Create a tenant with the deployment's defaults, or with these settings of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('tenants', 'id'))")
        (tenant_id,) = cursor.fetchone()
    with isolation.act_as(tenant_id):
        tenant = Tenant.objects.create(pk=tenant_id, name=name, **settings)
        eventlog.append("tenant.created", tenant, after={"name": name})
    return tenant
