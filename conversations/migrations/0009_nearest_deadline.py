"""Which tenants have a deadline to keep is one look per tenant, at the first entry of an index, however many periods are open."""

from django.db import migrations

# Redefined, not made anew: the runtime role keeps its right to call it. The owner may read `tenants` since tenants/0001.
REDEFINE = """
    CREATE OR REPLACE FUNCTION tenants_with_due_grace() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = public, pg_temp AS $$ {body} $$"""
NEAREST = """
        SELECT t.id FROM tenants t
         WHERE (SELECT min(g.expires_at) FROM grace_period_assignments g WHERE g.tenant_id = t.id AND g.ended_at IS NULL)
               <= statement_timestamp()
         ORDER BY 1"""
EVERY = """
        SELECT DISTINCT tenant_id FROM grace_period_assignments
         WHERE ended_at IS NULL AND expires_at <= clock_timestamp() ORDER BY 1"""


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0008_erasure"),
    ]

    operations = [migrations.RunSQL(REDEFINE.format(body=NEAREST), reverse_sql=REDEFINE.format(body=EVERY))]
