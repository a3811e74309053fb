"""The event log against the rows that it tells of: each change once, none missing, and the fold of the log is the row.

The queries of invariants, but for a stretch of conversations (or of what conversations.doctor.histories follows): ids above
%(after)s, up to %(upto)s. A log only grows.
"""

from django.db import models

from conversations.doctor.invariants import Invariant
from conversations.models import Conversation
from conversations.states import TRANSITIONS
from operators.models import Status

# Whether the tenant's log has forgotten something. A conversation's events are forgotten together, and so are those of its
# grace periods; what is told of it later goes on where the forgotten ended.
FORGETFUL = "(SELECT forgotten_id > 0 FROM tenants WHERE id = %(tenant_id)s)"
STRETCH = "{0} WHERE tenant_id = %(tenant_id)s AND id > %(after)s AND id <= %(upto)s"

TOLD = """
    told AS MATERIALIZED (
        SELECT e.subject_id, e.id, e.kind, e.before, e.after, row_number() OVER (PARTITION BY e.subject_id ORDER BY e.id) AS number
          FROM events e
         WHERE e.tenant_id = %(tenant_id)s AND e.conversation_id > %(after)s AND e.conversation_id <= %(upto)s
           AND e.subject_type = 'conversation'
    ), stretch AS MATERIALIZED (
        SELECT c.* FROM conversations c WHERE c.tenant_id = %(tenant_id)s AND c.id > %(after)s AND c.id <= %(upto)s
    )"""
LEGAL = ", ".join(sorted({f"('conversation.{move.event}', '{move.leaves}', '{move.enters}')" for move in TRANSITIONS}))
TIMES = ", ".join(
    f"""'{field.column}', to_char({field.column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    for field in Conversation._meta.local_fields
    if isinstance(field, models.DateTimeField)
)
# Labels that are gone count as never worn: the one event label.deleted stands for all of it.
STILL_THERE = """
    CASE WHEN key = 'label_ids' AND {0} IS NOT NULL
         THEN (SELECT coalesce(jsonb_agg(l ORDER BY l), '[]') FROM jsonb_array_elements({0}) l WHERE l NOT IN (SELECT id FROM gone))
         ELSE {0} END"""

# As what is begun that no event tells at first.
NEVER_TOLD = "('assigned_operator_id', 'null'), ('resolved_at', 'null'), ('episode', '1'), ('label_ids', '[]')"
THE_ROW = 2**62  # comes after every event

VERSIONS = Invariant(
    name="versions",
    holds="the log tells every version of a conversation once, from its creation on",
    of="conversations",
    among=STRETCH.format("conversations"),
    offenders=f"""
    WITH {TOLD}, counted AS (
        SELECT subject_id, max(number) + min(before_it) AS last,
               bool_and(coalesce(after -> 'version' = to_jsonb(number + before_it), false)) AS gapless,
               bool_and((kind = 'conversation.created') = (number + before_it = 1)) AS created_once
          FROM (SELECT *, CASE WHEN {FORGETFUL} THEN coalesce((first_value(before ->> 'version')
                                  OVER (PARTITION BY subject_id ORDER BY id))::bigint, 0) ELSE 0 END AS before_it FROM told) t
         GROUP BY subject_id)
    SELECT coalesce(c.id, n.subject_id) AS id
      FROM stretch c FULL JOIN counted n ON n.subject_id = c.id
     WHERE (n.gapless AND n.created_once AND n.last = c.version) IS NOT TRUE
       AND NOT (n.subject_id IS NULL AND c.state = 'RESOLVED' AND {FORGETFUL})""",
    advice="Changes that nobody was told of, or told twice: followers of the log have missed them. Read their events; report a bug.",
)
MOVES = Invariant(
    name="moves",
    holds="every change of state that the log tells is a move of the state machine",
    of="conversations",
    among=STRETCH.format("conversations"),
    offenders=f"""
    WITH {TOLD}
    SELECT DISTINCT subject_id AS id FROM told
     WHERE number > 1 AND after ? 'state'
       AND (kind, coalesce(before ->> 'state', ''), after ->> 'state') NOT IN ({LEGAL})""",
    advice="Somebody changed states past the product. Read their events; report a bug.",
)
# The story of each column: what it was before the first event, what each event says it was and became, and what it is in the
# row, which is a last step that changes nothing. Of what no event tells, the row may say what it likes.
FOLD = Invariant(
    name="fold",
    holds="every event begins where the last one ended, and the fold of the log is the row",
    of="conversations",
    among=STRETCH.format("conversations"),
    offenders=f"""
    WITH {TOLD}, gone AS (
        SELECT DISTINCT to_jsonb(subject_id) AS id FROM events
         WHERE tenant_id = %(tenant_id)s AND subject_type = 'label' AND kind = 'label.deleted'
        UNION
        SELECT DISTINCT l FROM told CROSS JOIN LATERAL jsonb_array_elements(before -> 'label_ids' || (after -> 'label_ids')) l
         WHERE {FORGETFUL} AND NOT EXISTS (SELECT FROM labels w WHERE w.tenant_id = %(tenant_id)s AND w.id = l::bigint)
    ), spelled AS (
        SELECT id AS subject_id, 0 AS number, key, NULL AS was, became::jsonb FROM stretch
         CROSS JOIN (VALUES {NEVER_TOLD}) never (key, became)
         WHERE EXISTS (SELECT FROM told WHERE subject_id = stretch.id AND kind = 'conversation.created') OR NOT {FORGETFUL}
        UNION ALL
        SELECT subject_id, number, key, before -> key, after -> key
          FROM told CROSS JOIN LATERAL (SELECT jsonb_object_keys(before) UNION SELECT jsonb_object_keys(after)) k (key)
        UNION ALL
        SELECT c.id, {THE_ROW}, key, value, value
          FROM stretch c CROSS JOIN LATERAL jsonb_each(to_jsonb(c) || jsonb_build_object({TIMES}, 'label_ids', (
               SELECT coalesce(jsonb_agg(w.label_id ORDER BY w.label_id), '[]') FROM conversation_labels w
                WHERE w.tenant_id = %(tenant_id)s AND w.conversation_id = c.id)))
    ), story AS (
        SELECT subject_id, number, key, {STILL_THERE.format("was")} AS was, {STILL_THERE.format("became")} AS became FROM spelled
    ), checked AS (
        SELECT *, lag(became) OVER (PARTITION BY subject_id, key ORDER BY number) AS stood FROM story
    )
    SELECT DISTINCT subject_id AS id FROM checked
     WHERE CASE WHEN number = {THE_ROW} THEN was <> stood
                ELSE was <> coalesce(stood, CASE WHEN {FORGETFUL} THEN was ELSE 'null' END) OR became IS NULL END""",
    advice="The row and its log contradict each other: one was changed without the other. Read their events; report a bug.",
)

# Both are written under the operator's lock, so the order of ids is theirs.
TAKEN = Invariant(
    name="taken",
    holds="the clock took nothing from an operator who was back",
    of="conversations",
    among=STRETCH.format("conversations"),
    offenders=f"""
    WITH {TOLD}
    SELECT DISTINCT t.subject_id AS id FROM told t CROSS JOIN LATERAL (
        SELECT s.after ->> 'status' AS status FROM events s
         WHERE s.tenant_id = %(tenant_id)s AND s.subject_type = 'operator' AND s.kind = 'operator.status_changed'
           AND s.subject_id = (t.before ->> 'assigned_operator_id')::bigint AND s.id < t.id
         ORDER BY s.id DESC LIMIT 1) last
     WHERE t.kind = 'conversation.requeued' AND last.status <> '{Status.OFFLINE}'""",
    advice="A grace period outlived a return: the work was given away under its operator's hands. Read both logs; report a bug.",
)

# What came before the log tells of single messages, or past them (demo data), is what the conversation was created with.
MESSAGES = Invariant(
    name="messages",
    holds="a conversation counts the messages that are kept of it, and knows the latest, since it was created",
    of="conversations",
    among=STRETCH.format("conversations"),
    offenders=f"""
    WITH {TOLD}
    SELECT c.id FROM stretch c JOIN told t ON t.subject_id = c.id AND t.kind = 'conversation.created'
      LEFT JOIN (SELECT m.conversation_id, count(*) AS kept, max(m.sent_at) AS latest FROM received_messages m
                  WHERE m.tenant_id = %(tenant_id)s AND m.conversation_id > %(after)s AND m.conversation_id <= %(upto)s
                  GROUP BY 1) m ON m.conversation_id = c.id
     WHERE c.message_count <> (t.after ->> 'message_count')::bigint + coalesce(m.kept, 0)
        OR c.last_message_at <> greatest((t.after ->> 'last_message_at')::timestamptz, m.latest)""",
    advice="A message counts twice or not at all: the priority of these conversations is wrong. Read their events; report a bug.",
)

CHRONICLE = (VERSIONS, MOVES, FOLD, TAKEN, MESSAGES)
