"""Every event knows its conversation, its inbox and who holds the conversation: also those that were told before it had columns for it.

An inbox and a holder stand as the last event said that told of them. Reasons are found by the conversation from now on.
"""

from django.db import migrations

from tenants.walls import BOUND_TENANT

# Row level security binds the owner too, and no tenant is bound here.
TABLES = ("events", "labels", "grace_period_assignments")
BEYOND_THE_WALL = [f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table in TABLES]
BEHIND_THE_WALL = [f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in TABLES]
OF_CONVERSATIONS = """
    WITH told AS (
        SELECT e.tenant_id, e.id, e.after, g.operator_id AS keeper, coalesce(g.conversation_id, e.subject_id) AS conversation_id
          FROM events e
          LEFT JOIN grace_period_assignments g ON e.subject_type = 'graceperiod' AND g.tenant_id = e.tenant_id AND g.id = e.subject_id
         WHERE e.subject_type = 'conversation' OR g.id IS NOT NULL
    ), stretches AS (
        SELECT *, count(*) FILTER (WHERE after ? 'inbox_id') OVER story AS place,
               count(*) FILTER (WHERE after ? 'assigned_operator_id') OVER story AS hand
          FROM told WINDOW story AS (PARTITION BY tenant_id, conversation_id ORDER BY id)
    ), filled AS (
        SELECT tenant_id, id, conversation_id,
               (first_value(after ->> 'inbox_id') OVER (PARTITION BY tenant_id, conversation_id, place ORDER BY id))::bigint AS inbox_id,
               coalesce(keeper, (first_value(after ->> 'assigned_operator_id')
                                   OVER (PARTITION BY tenant_id, conversation_id, hand ORDER BY id))::bigint) AS holder_id
          FROM stretches
    )
    UPDATE events e SET conversation_id = f.conversation_id, inbox_id = f.inbox_id, holder_id = f.holder_id
      FROM filled f WHERE e.tenant_id = f.tenant_id AND e.id = f.id
"""
OF_LABELS = """
    WITH home AS (
        SELECT e.tenant_id, e.subject_id, max(coalesce(l.inbox_id, (e.after ->> 'inbox_id')::bigint, (e.before ->> 'inbox_id')::bigint)) AS inbox_id
          FROM events e LEFT JOIN labels l ON l.tenant_id = e.tenant_id AND l.id = e.subject_id
         WHERE e.subject_type = 'label' GROUP BY 1, 2
    )
    UPDATE events e SET inbox_id = h.inbox_id FROM home h
     WHERE e.tenant_id = h.tenant_id AND e.subject_type = 'label' AND e.subject_id = h.subject_id
"""
OF_INBOXES = "UPDATE events SET inbox_id = subject_id WHERE subject_type = 'inbox'"
FILL = [*BEYOND_THE_WALL, OF_CONVERSATIONS, OF_LABELS, OF_INBOXES, *BEHIND_THE_WALL]

HEAD = """
    CREATE OR REPLACE FUNCTION erase_words(conversation_ids bigint[]) RETURNS bigint LANGUAGE sql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$"""
WORDS = """
               AND e.kind NOT IN ('conversation.labelled', 'conversation.unlabelled', 'conversation.erased',
                                  'grace.opened', 'grace.cancelled', 'grace.expired')
               AND e.cause NOT IN ('', 'grace_expired', 'account_closed', 'erased', 'forced: erased')
            RETURNING e.id
        )
        SELECT count(*) FROM erased
    $$"""
ERASE_WORDS = f"""{HEAD}
        WITH forgotten AS (
            SELECT id FROM conversations
             WHERE tenant_id = {BOUND_TENANT} AND id = ANY (conversation_ids) AND customer_phone_number ~ '^[+]999[0-9]{{12}}$'
        ), erased AS (
            UPDATE events e SET cause = CASE WHEN e.cause LIKE 'forced: %' THEN 'forced: erased' ELSE 'erased' END
              FROM forgotten f
             WHERE e.tenant_id = {BOUND_TENANT} AND e.conversation_id = f.id{WORDS}"""
BEFORE = f"""{HEAD}
        WITH forgotten AS (
            SELECT id FROM conversations
             WHERE tenant_id = {BOUND_TENANT} AND id = ANY (conversation_ids) AND customer_phone_number ~ '^[+]999[0-9]{{12}}$'
        ), told AS (
            SELECT 'conversation' AS subject_type, id AS subject_id FROM forgotten
            UNION ALL
            SELECT 'graceperiod', g.id FROM grace_period_assignments g JOIN forgotten f ON f.id = g.conversation_id
             WHERE g.tenant_id = {BOUND_TENANT}
        ), erased AS (
            UPDATE events e SET cause = CASE WHEN e.cause LIKE 'forced: %' THEN 'forced: erased' ELSE 'erased' END
              FROM told t
             WHERE e.tenant_id = {BOUND_TENANT} AND e.subject_type = t.subject_type AND e.subject_id = t.subject_id{WORDS}"""


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0009_nearest_deadline"),
        ("labels", "0001_initial"),
        ("tenants", "0012_whereabouts_of_events"),
    ]

    operations = [
        migrations.RunSQL(FILL, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(ERASE_WORDS, reverse_sql=BEFORE),
        migrations.RemoveIndex(model_name="graceperiod", name="grace_by_conversation"),  # erase_words was the last who needed it
    ]
