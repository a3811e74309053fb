"""The log forgets what its tenant keeps no longer: by one narrow function of the owner, which decides by itself what that is.

Within the bound tenant, by the database's clock: of these events those that no conversation is about, and all events of those of
these conversations that are resolved and whose last event is old enough. It answers how many, and the furthest position.
"""

from django.db import migrations

from tenants.walls import BOUND_TENANT

FORGET_EVENTS = f"""
    CREATE FUNCTION forget_events(event_ids bigint[], conversation_ids bigint[]) RETURNS bigint[] LANGUAGE sql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$
        WITH term AS (
            SELECT statement_timestamp() - events_kept_days * interval '1 day' AS ends FROM tenants
             WHERE id = {BOUND_TENANT} AND events_kept_days IS NOT NULL
        ), over AS (
            SELECT c.id FROM unnest(conversation_ids) AS c (id) CROSS JOIN term
             WHERE NOT EXISTS (SELECT FROM conversations o WHERE o.tenant_id = {BOUND_TENANT} AND o.id = c.id AND o.state <> 'RESOLVED')
               AND NOT EXISTS (SELECT FROM events y WHERE y.tenant_id = {BOUND_TENANT} AND y.conversation_id = c.id AND y.at >= term.ends)
        ), alone AS (
            DELETE FROM events e USING term
             WHERE e.tenant_id = {BOUND_TENANT} AND e.id = ANY (event_ids) AND e.conversation_id IS NULL AND e.at < term.ends
            RETURNING e.transaction, e.id
        ), together AS (
            DELETE FROM events e USING term, over
             WHERE e.tenant_id = {BOUND_TENANT} AND e.conversation_id = over.id AND e.at < term.ends
            RETURNING e.transaction, e.id
        ), gone AS (
            SELECT * FROM alone UNION ALL SELECT * FROM together
        ), furthest AS (
            SELECT transaction, id FROM gone ORDER BY transaction DESC, id DESC LIMIT 1
        )
        SELECT ARRAY[(SELECT count(*) FROM gone), coalesce((SELECT transaction FROM furthest), 0), coalesce((SELECT id FROM furthest), 0)]
    $$"""


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0010_whereabouts_of_events"),
        ("tenants", "0013_events_kept"),
    ]

    operations = [
        migrations.RunSQL(
            [FORGET_EVENTS, "REVOKE ALL ON FUNCTION forget_events(bigint[], bigint[]) FROM PUBLIC"],
            reverse_sql="DROP FUNCTION forget_events(bigint[], bigint[])",
        ),
    ]
